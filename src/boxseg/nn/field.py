"""Features of one image as if upsampled to its full size, without ever making that tensor.

Bilinear upsampling f↑ = U f is linear and touches four neighbouring cells, so what stage 2 asks of the
C x H x W features has an exact form on the C x h x w ones: projections commute with U, means over a mask
are weighted means over cells, and |f↑|² is a quadratic form in products of neighbouring cells.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from boxseg.nn.upsample import interpolation_matrix


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

    def dot(self, vectors: Tensor) -> Tensor:
        """Inner products v · f↑(p) with vectors (K, C); (K, H, W)."""
        # Plain matrix products over cells: an einsum copies the features to another layout first.
        maps = vectors.to(self.features.dtype) @ self.features.flatten(1)
        full: Tensor = self._rows @ maps.reshape(-1, *self.features.shape[1:]) @ self._columns.T
        return full

    def norm(self) -> Tensor:
        """Lengths |f↑(p)|, (H, W).

        Exact up to rounding relative to the largest of the four cells: where their features cancel (never
        after a ReLU), a length near zero keeps few digits.
        """
        return self._norm

    def cosine(self, vectors: Tensor) -> Tensor:
        """Cosines of f↑(p) with vectors (K, C); (K, H, W) in [-1, 1], 0 where either is zero."""
        tiny = torch.finfo(self.features.dtype).tiny
        unit = F.normalize(vectors.to(self.features.dtype), dim=1, eps=tiny)
        return (self.dot(unit) / self._norm.clamp_min(tiny)).clamp(-1, 1)

    def mean(self, masks: Tensor) -> Tensor:
        """Means of f↑ over the pixels of each mask, weighted if the masks are.

        Args:
            masks: (K, H, W) bool or non-negative floating.

        Returns:
            (K, C); zeros for an empty mask.
        """
        masks = masks.to(self.features.dtype)
        # Uᵀ mask: how much each cell contributes to the sum over the mask.
        share = self._rows.T @ masks @ self._columns
        total = masks.sum(dim=(1, 2)).unsqueeze(1)
        sums = share.flatten(1) @ self.features.flatten(1).T
        return sums / torch.where(total > 0, total, 1)

    @cached_property
    def _norm(self) -> Tensor:
        """|f↑|² = Σ over pairs of the four cells around p of w_i w_j (f_i · f_j), separable in rows × columns.

        A pair of cells is (self), (self, right), (self, below), or one of the two diagonals; each kind is a
        small map of inner products, and its weight a row factor times a column factor.
        """
        f = self.features
        own = (f * f).sum(0)
        right = (f[:, :, :-1] * f[:, :, 1:]).sum(0)
        below = (f[:, :-1] * f[:, 1:]).sum(0)
        diagonals = (f[:, :-1, :-1] * f[:, 1:, 1:]).sum(0) + (f[:, :-1, 1:] * f[:, 1:, :-1]).sum(0)
        # Each factor 2 w_i w_(i+1) counts a pair in both orders; on the diagonals both factors have it.
        products = torch.cat([torch.cat([own, right], 1), torch.cat([below, diagonals / 2], 1)], 0)
        squared = _pair_weights(self._rows) @ products @ _pair_weights(self._columns).T
        return squared.clamp_min(0).sqrt()


def _pair_weights(weights: Tensor) -> Tensor:
    """(size, 2 n - 1): squares of interpolation weights (size, n), then doubled products of neighbours."""
    return torch.cat([weights**2, 2 * weights[:, :-1] * weights[:, 1:]], 1)
