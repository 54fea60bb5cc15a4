"""Features of one image as if upsampled to its full size, without building that tensor.

Bilinear upsampling f↑ = U f is linear and touches four neighbouring cells, so all that stage 2 needs of the
full-size features follows exactly from the small ones: projections commute with U, means over a mask are
weighted means over cells, and |f↑|² is a quadratic form in products of neighbouring cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from boxseg.nn.row_bands import FULL_SIZE_PIXELS, bands
from boxseg.nn.upsample import from_columns, interpolation_matrices, neighbouring_cells, to_columns

# Rows and columns of a part of an image.
Window = tuple[slice, slice]
EVERYWHERE: Window = (slice(None), slice(None))


class UpsampledFeatures:
    """Features f of one image, seen at every pixel as f↑: bilinear, corners aligned to the padded image.

    Args:
        features: (C, h, w) floating; half precisions are widened to float32.
        size: (H, W) of the image, pixels.
        stride: Stride of the network: cell (i, j) lies over pixel (s * i, s * j).

    Raises:
        ValueError: The features are not (C, h, w) or do not reach the end of the image.
    """

    def __init__(self, features: Tensor, size: tuple[int, int], stride: int) -> None:
        if features.dim() != 3:
            raise ValueError(f"features of one image must be (C, h, w), got shape {tuple(features.shape)}")
        if features.dtype not in (torch.float32, torch.float64):
            features = features.float()
        self.features = features
        self.size = size
        self._rows, self._columns = interpolation_matrices(features, size, stride)

    def bands(self, window: Window = EVERYWHERE) -> Iterator[Window]:
        """Cut a window into parts of a few rows, for `dot` and `cosine`; a small window is one part."""
        (top, bottom, _), (left, right, _) = (
            side.indices(size) for side, size in zip(window, self.size, strict=True)
        )
        if left < right:
            for first, last in bands(bottom - top, right - left, pixels=FULL_SIZE_PIXELS):
                yield slice(top + first, top + last), window[1]

    def dot(self, vectors: Tensor, window: Window = EVERYWHERE) -> Tensor:
        """Inner products v · f↑(p) with vectors (K, C), in a window of n x m pixels; (K, n, m)."""
        # Plain matrix products over cells: an einsum copies the features to another layout first.
        maps = vectors.to(self.features.dtype) @ self.features.flatten(1)
        rows, columns = window
        return _expand(maps.reshape(-1, *self.features.shape[1:]), self._rows[rows], self._columns[columns])

    def norm(self, window: Window = EVERYWHERE) -> Tensor:
        """Lengths |f↑(p)| in a window of n x m pixels, (n, m).

        |f↑|² = Σ over pairs of the four cells around p of w_i w_j (f_i · f_j), separable in rows × columns.

        Exact up to rounding relative to the largest of the four cells: where their features cancel (never
        after a ReLU), a length near zero keeps few digits.
        """
        rows, columns = window
        squared = _expand(self._products, _pair_weights(self._rows[rows]), self._column_pairs[columns])
        return squared.clamp_min_(0).sqrt_()

    def cosine(self, vectors: Tensor, window: Window = EVERYWHERE) -> Tensor:
        """Cosines of f↑(p) with vectors (K, C), (K, n, m) in [-1, 1]; 0 where either is zero."""
        tiny = torch.finfo(self.features.dtype).tiny
        unit = F.normalize(vectors.to(self.features.dtype), dim=1, eps=tiny)
        return self.dot(unit, window).div_(self.norm(window).clamp_min_(tiny)).clamp_(-1, 1)

    def mean(self, masks: Tensor) -> Tensor:
        """Means (K, C) of f↑ over the pixels of masks (K, H, W), bool or weights; zeros for an empty mask."""
        return self._mean(lambda part: masks[:, part[0], part[1]], len(masks), EVERYWHERE)[0]

    def means(self, labels: Tensor, values: Tensor, window: Window = EVERYWHERE) -> tuple[Tensor, Tensor]:
        """Means (K, C) of f↑ over the pixels of each label, and whether it has any, (K,) bool.

        `labels` (H, W) and the wanted labels `values` (K,) are of one integer type; only pixels in the window
        count. Means without pixels are zeros.
        """
        means, total = self._mean(lambda part: labels[part] == values[:, None, None], len(values), window)
        return means, total > 0

    def _mean(self, masks: Callable[[Window], Tensor], count: int, window: Window) -> tuple[Tensor, Tensor]:
        """Means (count, C) over masks in a window, and sums of the masks; `masks` gives one part at a time."""
        share = self.features.new_zeros(count, *self.features.shape[1:])
        total = self.features.new_zeros(count, 1)
        for rows, columns in self.bands(window):
            part = masks((rows, columns)).to(self.features.dtype)
            # Uᵀ mask: how much each cell contributes to the sum over the mask.
            share += self._rows[rows].T @ from_columns(part, self._columns[columns])
            total += part.sum(dim=(1, 2)).unsqueeze(1)
        sums = share.flatten(1) @ self.features.flatten(1).T
        return sums / torch.where(total > 0, total, 1), total.flatten()

    @cached_property
    def _column_pairs(self) -> Tensor:
        return _pair_weights(self._columns)

    @cached_property
    def _products(self) -> Tensor:
        """Inner products of cells with themselves and their neighbours, interleaved; (2 h - 1, 2 w - 1)."""
        f = self.features
        own = (f * f).sum(0)
        right = (f[:, :, :-1] * f[:, :, 1:]).sum(0)
        below = (f[:, :-1] * f[:, 1:]).sum(0)
        diagonals = (f[:, :-1, :-1] * f[:, 1:, 1:]).sum(0) + (f[:, :-1, 1:] * f[:, 1:, :-1]).sum(0)
        # Each factor 2 w_i w_(i+1) counts a pair in both orders; on the diagonals both factors have it.
        return _alternate(_alternate(own, right, 1), _alternate(below, diagonals / 2, 1), 0)


def _expand(maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Maps (..., h, w) at pixels, for weights of rows (n, h) and columns (W, w); (..., n, W)."""
    used = neighbouring_cells(rows)
    return to_columns(rows[:, used] @ maps[..., used, :], columns, neighbouring_cells)


def _pair_weights(weights: Tensor) -> Tensor:
    """Squares of weights (size, n), with doubled products of neighbours between; (size, 2 n - 1)."""
    return _alternate(weights**2, 2 * weights[:, :-1] * weights[:, 1:], 1)


def _alternate(cells: Tensor, between: Tensor, dim: int) -> Tensor:
    """Interleave both along `dim`, so that values of neighbouring cells stay neighbours."""
    size = list(cells.shape)
    size[dim] = 2 * size[dim] - 1
    both = cells.new_empty(size)
    for start, part in enumerate((cells, between)):
        both[(slice(None),) * dim + (slice(start, None, 2),)] = part
    return both
