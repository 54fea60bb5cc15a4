"""Features of one image as if upsampled to its full size, without ever making that tensor.

Bilinear upsampling f↑ = U f is linear and touches four neighbouring cells, so what stage 2 asks of the
C x H x W features has an exact form on the C x h x w ones: projections commute with U, means over a mask
are weighted means over cells, and |f↑|² is a quadratic form in products of neighbouring cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from boxseg.nn.bands import bands
from boxseg.nn.upsample import from_columns, interpolation_matrix, to_columns

# Pixels that are worked on at once: what is made on the way to a result takes no more memory than of so many.
BAND = 2**20


class UpsampledFeatures:
    """Features f of one image, seen at every pixel as f↑: bilinear, corners aligned to the padded image.

    Args:
        features: (C, h, w) floating; half precisions are widened to float32.
        size: (H, W) of the image, pixels.
        stride: Stride of the network (cell (i, j) lies over pixel (s * i, s * j)), or None for corners
            aligned with the image itself.

    Raises:
        ValueError: The features are not (C, h, w) or do not reach the end of the image.
    """

    def __init__(self, features: Tensor, size: tuple[int, int], stride: int | None) -> None:
        if features.dim() != 3:
            raise ValueError(f"features of one image, (C, h, w), expected; got shape {tuple(features.shape)}")
        if features.dtype not in (torch.float32, torch.float64):
            features = features.float()
        self.features = features
        self.size = size
        self._rows, self._columns = (
            interpolation_matrix(pixels, cells, stride, dtype=features.dtype, device=features.device)
            for pixels, cells in zip(size, features.shape[1:], strict=True)
        )

    def bands(self) -> Iterator[slice]:
        """Rows of a large image, a few at a time, to be given to `dot` and `cosine`; all of a small one."""
        return (slice(*edges) for edges in bands(*self.size, pixels=BAND))

    def dot(self, vectors: Tensor, rows: slice = slice(None)) -> Tensor:
        """Inner products v · f↑(p) with vectors (K, C), on these rows of the image; (K, n, W)."""
        # Plain matrix products over cells: an einsum copies the features to another layout first.
        maps = vectors.to(self.features.dtype) @ self.features.flatten(1)
        return _expand(maps.reshape(-1, *self.features.shape[1:]), self._rows[rows], self._columns)

    def norm(self, rows: slice = slice(None)) -> Tensor:
        """Lengths |f↑(p)| on these rows of the image, (n, W).

        |f↑|² = Σ over pairs of the four cells around p of w_i w_j (f_i · f_j), separable in rows × columns.

        Exact up to rounding relative to the largest of the four cells: where their features cancel (never
        after a ReLU), a length near zero keeps few digits.
        """
        squared = _expand(self._products, _pair_weights(self._rows[rows]), self._column_pairs)
        return squared.clamp_min_(0).sqrt_()

    def cosine(self, vectors: Tensor, rows: slice = slice(None)) -> Tensor:
        """Cosines of f↑(p) with vectors (K, C), on these rows; (K, n, W) in [-1, 1], 0 where either is zero."""
        tiny = torch.finfo(self.features.dtype).tiny
        unit = F.normalize(vectors.to(self.features.dtype), dim=1, eps=tiny)
        return self.dot(unit, rows).div_(self.norm(rows).clamp_min_(tiny)).clamp_(-1, 1)

    def mean(self, masks: Tensor) -> Tensor:
        """Means of f↑ over the pixels of each mask, weighted if the masks are.

        Args:
            masks: (K, H, W) bool or non-negative floating.

        Returns:
            (K, C); zeros for an empty mask.
        """
        return self._mean(lambda rows: masks[:, rows], len(masks))[0]

    def means(self, labels: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Means of f↑ over the pixels of each label, and whether it has any.

        Args:
            labels: (H, W) integer.
            values: (K,), the labels that are meant, of the same type.

        Returns:
            (K, C), zeros for a label without pixels, and (K,) bool.
        """
        means, total = self._mean(lambda rows: labels[rows] == values[:, None, None], len(values))
        return means, total > 0

    def _mean(self, masks: Callable[[slice], Tensor], count: int) -> tuple[Tensor, Tensor]:
        """Means over masks, of which the rows are asked for in turn, and their sums."""
        share = self.features.new_zeros(count, *self.features.shape[1:])
        total = self.features.new_zeros(count, 1)
        for rows in self.bands():
            part = masks(rows).to(self.features.dtype)
            # Uᵀ mask: how much each cell contributes to the sum over the mask.
            share += self._rows[rows].T @ from_columns(part, self._columns)
            total += part.sum(dim=(1, 2)).unsqueeze(1)
        sums = share.flatten(1) @ self.features.flatten(1).T
        return sums / torch.where(total > 0, total, 1), total.flatten()

    @cached_property
    def _column_pairs(self) -> Tensor:
        return _pair_weights(self._columns)

    @cached_property
    def _products(self) -> Tensor:
        """Inner products of neighbouring cells, (2 h - 1, 2 w - 1).

        A pair of cells is (self), (self, right), (self, below), or one of the two diagonals; each kind is a
        small map of inner products, and its weight a row factor times a column factor.
        """
        f = self.features
        own = (f * f).sum(0)
        right = (f[:, :, :-1] * f[:, :, 1:]).sum(0)
        below = (f[:, :-1] * f[:, 1:]).sum(0)
        diagonals = (f[:, :-1, :-1] * f[:, 1:, 1:]).sum(0) + (f[:, :-1, 1:] * f[:, 1:, :-1]).sum(0)
        # Each factor 2 w_i w_(i+1) counts a pair in both orders; on the diagonals both factors have it.
        return torch.cat([torch.cat([own, right], 1), torch.cat([below, diagonals / 2], 1)], 0)


def _expand(maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Maps (..., h, w) at pixels, for weights of rows (n, h) and columns (W, w); (..., n, W)."""
    used = rows.any(0)
    return to_columns(rows[:, used] @ maps[..., used, :], columns)


def _pair_weights(weights: Tensor) -> Tensor:
    """(size, 2 n - 1): squares of interpolation weights (size, n), then doubled products of neighbours."""
    return torch.cat([weights**2, 2 * weights[:, :-1] * weights[:, 1:]], 1)
