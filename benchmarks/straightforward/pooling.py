"""Stage 1, section 3.1: pooling by loops over photos, grid cells, boxes and bins, and the classifier's loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Parts of a box along each side, and the share of background below which a photo's boxes have A = 0.
ROI_BINS, MIN_BACKGROUND = 2, 0.125


def bap(
    features: Tensor,
    boxes: Tensor,
    batch_index: Tensor,
    background: Tensor,
    valid: Tensor,
    *,
    stride: int,
    grid: int = 4,
) -> tuple[Tensor, Tensor]:
    """r (R * bins, C) of all boxes and q (J, C) of all photos.

    Args:
        features: (B, C, h, w).
        boxes: (R, 4) x1 y1 x2 y2, pixels.
        batch_index: (R,), the photo of each box.
        background: (B, H, W) bool, pixels outside every box; H and W are stride · k + 1.
        valid: (B, H, W) bool, pixels that are no padding.
        stride: Of the network.
        grid: N.
    """
    rows, columns = features.shape[2:]
    share = footprint_mean(background & valid, stride) / footprint_mean(valid, stride).clamp_min(1e-12)
    queries: list[Tensor] = []
    foreground = []
    for f, m, outside, inside in zip(features, share, background, valid, strict=True):
        own = []
        for i in range(grid):
            for j in range(grid):
                top, bottom = -(-i * rows // grid), -(-(i + 1) * rows // grid)
                left, right = -(-j * columns // grid), -(-(j + 1) * columns // grid)
                part = m[top:bottom, left:right]
                if part.sum() > 0:
                    own.append((part * f[:, top:bottom, left:right]).sum((1, 2)) / part.sum())
        aware = own and outside.sum() > MIN_BACKGROUND * inside.sum()
        cosines = [F.cosine_similarity(f, q[:, None, None], dim=0).relu() for q in own] if aware else []
        foreground.append(1 - sum(cosines) / len(cosines) if cosines else torch.ones_like(m))
        queries += own

    pooled = []
    for (x1, y1, x2, y2), b in zip(boxes.tolist(), batch_index.tolist(), strict=True):
        for i in range(ROI_BINS):
            for j in range(ROI_BINS):
                high = overlap(y1 + (y2 - y1) * i / ROI_BINS, y1 + (y2 - y1) * (i + 1) / ROI_BINS, rows, stride)
                wide = overlap(
                    x1 + (x2 - x1) * j / ROI_BINS, x1 + (x2 - x1) * (j + 1) / ROI_BINS, columns, stride
                )
                area = high[:, None] * wide
                weight = area * foreground[b]
                if weight.sum() <= 1e-4 * area.sum():  # every cell looks like background
                    weight = area
                pooled.append((weight * features[b]).sum((1, 2)) / weight.sum())
    return torch.stack(pooled), torch.stack(queries)


def bap_loss(roi: Tensor, query: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over r (the class of its box) and q (class 0), with weights (L + 1, C)."""
    bins = len(roi) // len(labels)
    targets = torch.cat([labels.repeat_interleave(bins), labels.new_zeros(len(query))])
    return F.cross_entropy(torch.cat([roi, query]) @ weight.T, targets)


def footprint_mean(mask: Tensor, stride: int) -> Tensor:
    """Share (B, h, w) of each cell's footprint that a mask (B, H, W) covers; pixels off the photo count as 0.

    The cell over pixel s · i reaches half a stride to either side of that pixel's middle, so it ends in the
    middle of pixels: they are cut into quarters first.
    """
    quarters = mask.float().repeat_interleave(2, 1).repeat_interleave(2, 2)
    return F.avg_pool2d(quarters[:, None], 2 * stride, padding=stride - 1)[:, 0]


def overlap(low: float, high: float, cells: int, stride: int) -> Tensor:
    """Pixels that each cell's footprint (of an even stride, inside the photo) shares with [low, high)."""
    middle = stride * torch.arange(cells) + 0.5
    left = (middle - stride / 2).clamp_min(0)
    right = (middle + stride / 2).clamp_max(stride * (cells - 1) + 1)
    return (right.clamp_max(high) - left.clamp_min(low)).clamp_min(0)
