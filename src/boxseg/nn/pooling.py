"""Stage 1: pool box features without the background inside a box (BAP), or with it (GAP).

A box says little about its inside and all about its outside: what resembles the known background of the same
image gets less weight. All images, boxes, bins and queries of a batch are computed at once.

Only class scores of the pooled features are needed, and pooling is linear: each cell is scored once, and its
scores, one per class, are pooled instead of its C features. So the cost of a box does not grow with C.

Source: Oh, Kim, Ham, "Background-Aware Pooling and Noise-Aware Loss", CVPR 2021, section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from boxseg.nn.upsample import cell_edges

# A bin whose foreground is less than this share of its area is pooled as a whole: its weighted mean would be
# a quotient of two rounding errors.
VANISHING = 1e-4


@dataclass(frozen=True, kw_only=True)
class PoolingOptions:
    """How features are pooled.

    Attributes:
        stride: Stride of the network.
        grid: N; queries are taken in N x N cells of the feature map.
        roi_bins: Each box is pooled in roi_bins x roi_bins equal parts.
        min_background: Share of background an image must exceed for BAP.
        pooling: `bap`, or `gap` for every image.
    """

    stride: int
    grid: int
    roi_bins: int
    min_background: float
    pooling: Literal["bap", "gap"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pooled:
    """Class scores, w · r and w · q, of the features that the box classifier is trained on.

    Attributes:
        roi: (R * bins, K), scores of r, the foreground feature of each bin of each box, box after box.
        roi_box: (R * bins,) int64, the box of each row of `roi`.
        query: (J, K), scores of q, the background features of all grid cells with background, by image.
        query_image: (J,) int64, the image of each row of `query`.
    """

    roi: Tensor
    roi_box: Tensor
    query: Tensor
    query_image: Tensor


def background_aware_pooling(
    features: Tensor,
    weight: Tensor,
    boxes: Tensor,
    batch_index: Tensor,
    background: Tensor,
    options: PoolingOptions,
    *,
    valid: Tensor | None = None,
) -> Pooled:
    """Score the background queries and box features pooled from a batch of feature maps.

    With M the share of background in a cell's footprint, q_j = Σ M f / Σ M over grid cell j, A the mean over
    the image's queries of ReLU(cos(f, q_j)), and w the exact area of a feature cell inside a box bin:
    r = Σ w (1 - A) f / Σ w (1 - A). GAP has A = 0; its queries are returned too, as the background's examples.

    An image uses GAP where its background is at most `min_background` of its valid pixels or no grid cell
    holds any; so does a single bin whose foreground vanishes (every cell of it looks like background). A box
    without area in the image has r = 0.

    Args:
        features: (B, C, h, w) floating; half precisions are widened to float32.
        weight: (K, C), the classifier, without bias; the identity matrix gives the features r and q themselves.
        boxes: (R, 4) floating, x1 y1 x2 y2, pixel edges.
        batch_index: (R,) int64, the image 0..B-1 of each box, in any order.
        background: (B, H, W) bool, pixels outside every box and not padding.
        options: Pooling options.
        valid: (B, H, W) bool, pixels of the photo, False on padding; None where all are.

    Returns:
        Scores differentiable with respect to `features`, through the attention too, and to `weight`.

    Source: section 3.1; bins and the background threshold as in the authors' experiments.
    """
    with torch.autocast(features.device.type, enabled=False):
        if features.dtype not in (torch.float32, torch.float64):
            features = features.float()
        weight = weight.to(features.dtype)
        size = (background.shape[1], background.shape[2])
        cells = (features.shape[2], features.shape[3])
        rows, columns = (
            cell_edges(n, count, options.stride).to(features) for n, count in zip(size, cells, strict=True)
        )
        flat = features.flatten(2)
        valid = torch.ones_like(background) if valid is None else valid
        share = background_share(background, valid, rows, columns).flatten(1)
        query, present = _queries(flat, share, cells, options.grid)
        aware = _has_enough(background, valid, options) & present.any(1)
        foreground = torch.where(aware[:, None], 1 - _attention(flat, query, present), 1)
        # One product per image: a batched one would copy the features to another layout first.
        maps = (weight.expand(len(flat), -1, -1) @ flat).reshape(len(flat), len(weight), *cells)
        high, wide = bin_sides(boxes.to(features), rows, columns, options.roi_bins)
        roi = _pool(maps, foreground.reshape(-1, *cells), high, wide, batch_index)
        query = query[present] @ weight.T
    return Pooled(
        roi=roi.flatten(0, 1),
        roi_box=torch.arange(len(boxes), device=features.device).repeat_interleave(options.roi_bins**2),
        query=query,
        query_image=present.nonzero()[:, 0],
    )


def pooling_loss(pooled: Pooled, labels: Tensor, total: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of the box classifier over all r (class of their box) and all q (class 0); a scalar.

    Scores are (·, L + 1), `labels` (R,) int64 the classes 1..L of the boxes. `total` divides the sum if the
    batch is part of a larger one; None divides by the number of terms. Without terms it is 0, with zero
    gradients.

    Source: section 3.1.
    """
    logits = torch.cat([pooled.roi, pooled.query])
    targets = torch.cat([labels[pooled.roi_box], labels.new_zeros(len(pooled.query))])
    count = max(len(targets), 1) if total is None else torch.where(total > 0, total, 1)
    return F.cross_entropy(logits, targets, reduction="sum") / count


def count_queries(
    background: Tensor, valid: Tensor, cells: tuple[int, int], *, stride: int, grid: int
) -> Tensor:
    """J, the number of queries of a batch, from its boxes alone; scalar int64.

    The masks are those of `background_aware_pooling`, `cells` is (h, w) of the feature maps, `grid` N.
    """
    rows, columns = (
        cell_edges(n, count, stride).to(background.device, torch.float32)
        for n, count in zip(background.shape[1:], cells, strict=True)
    )
    share = background_share(background, valid, rows, columns).flatten(1)
    return (share @ _membership(cells, grid, share) > 0).sum()


def background_share(background: Tensor, valid: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """M (B, h, w) in 0..1: share of background among the valid pixels in the footprint of each cell.

    The masks are (B, H, W) bool; `rows` (h + 1,) and `columns` (w + 1,) are the edges of the footprints,
    pixels. A cell without a valid pixel has 0.
    """

    def area(mask: Tensor) -> Tensor:
        over_rows = _overlaps(_pixel_edges(mask.shape[1], rows), rows)
        over_columns = _overlaps(_pixel_edges(mask.shape[2], columns), columns)
        covered: Tensor = over_rows.T @ mask.to(rows.dtype) @ over_columns
        return covered

    total = area(valid)
    return area(background & valid) / torch.where(total > 0, total, 1)


def bin_sides(boxes: Tensor, rows: Tensor, columns: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Overlap of every bin of every box with the footprints of the feature cells, along each side.

    Boxes (R, 4) are cut into bins x bins equal parts; `rows` (h + 1,) and `columns` (w + 1,) are the edges of
    the footprints. Returns lengths (R, bins, h) along the height and (R, bins, w) along the width, pixels. The
    area of cell (y, x) inside bin (i, j) is the product of two lengths.
    """
    parts = torch.linspace(0, 1, bins + 1, dtype=boxes.dtype, device=boxes.device)
    x1, y1, x2, y2 = boxes[:, :, None].unbind(1)
    return _overlaps(y1 + (y2 - y1) * parts, rows), _overlaps(x1 + (x2 - x1) * parts, columns)


def _overlaps(edges: Tensor, cells: Tensor) -> Tensor:
    """Overlaps (..., n, m) of intervals (..., n + 1 edges) and cells (m + 1 edges)."""
    left = torch.maximum(edges[..., :-1, None], cells[:-1])
    right = torch.minimum(edges[..., 1:, None], cells[1:])
    return (right - left).clamp_min(0)


def _pixel_edges(size: int, like: Tensor) -> Tensor:
    return torch.arange(size + 1, dtype=like.dtype, device=like.device)


def _queries(flat: Tensor, share: Tensor, cells: tuple[int, int], grid: int) -> tuple[Tensor, Tensor]:
    """Queries (B, N * N, C) of features (B, C, h w) and shares (B, h w), and which of them hold background."""
    weights = (_membership(cells, grid, flat) * share[:, :, None]).mT
    total = weights.sum(2, keepdim=True)
    present = total > 0
    return weights @ flat.mT / torch.where(present, total, 1), present[..., 0]


def _membership(cells: tuple[int, int], grid: int, like: Tensor) -> Tensor:
    """(h w, N * N): 1 where a cell of the feature map is in a cell of the grid."""
    row, column = (torch.arange(n, device=like.device) * grid // n for n in cells)
    return F.one_hot((row[:, None] * grid + column).flatten(), grid * grid).to(like.dtype)


def _has_enough(background: Tensor, valid: Tensor, options: PoolingOptions) -> Tensor:
    """(B,) bool: images to pool with BAP."""
    pixels = valid.flatten(1).sum(1).clamp_min(1)
    enough = background.flatten(1).sum(1) > options.min_background * pixels
    return enough & (options.pooling == "bap")


def _attention(flat: Tensor, query: Tensor, present: Tensor) -> Tensor:
    """A (B, h w) in [0, 1] up to rounding: mean over an image's queries of ReLU(cos(f, q))."""
    # Lengths divide the few maps of products, not the features, which would be copied twice in each pass.
    cosine = query @ flat / (_length(query, dim=2) * _length(flat, dim=1))
    weights = present.to(flat.dtype)
    total = (cosine.relu() * weights[:, :, None]).sum(1)
    return total / weights.sum(1, keepdim=True).clamp_min(1)


def _length(vectors: Tensor, dim: int) -> Tensor:
    """Lengths along a kept dimension; 1 for zeros, whose cosines are then 0 with finite gradients."""
    length = torch.linalg.vector_norm(vectors, dim=dim, keepdim=True)
    return torch.where(length > 0, length, 1)


def _pool(maps: Tensor, foreground: Tensor, high: Tensor, wide: Tensor, batch_index: Tensor) -> Tensor:
    """Means (R, bins * bins, K) of maps (B, K, h, w) over bins, weighted by area x foreground (B, h, w).

    Bins have sides `high` (R, bins, h) and `wide` (R, bins, w). Each image's list of boxes is padded to the
    longest, for one product per image without copies of its maps.
    """
    maps = F.pad(maps, (0, 0, 0, 0, 1, 0), value=1)  # a map of ones first, whose sums are the weights
    both = torch.stack([foreground[:, None] * maps, maps], 1)

    slot = _rank(batch_index, len(maps))
    lists = (len(maps), int(slot.max()) + 1 if len(slot) else 0)
    high, wide = (
        sides.new_zeros(*lists, *sides.shape[1:]).index_put((batch_index, slot), sides)
        for sides in (high, wide)
    )
    over_rows = torch.einsum("bsih,bmkhw->bsimkw", high, both)
    sums = torch.einsum("bsimkw,bsjw->bsijmk", over_rows, wide)[batch_index, slot]
    aware, plain = sums.flatten(1, 2).unbind(2)
    chosen = torch.where(aware[..., :1] > VANISHING * plain[..., :1], aware, plain)
    total, chosen = chosen[..., :1], chosen[..., 1:]
    return chosen / torch.where(total > 0, total, 1)


def _rank(group: Tensor, groups: int) -> Tensor:
    """Place (R,) of each element in its group (R,) of 0..groups - 1, from 0."""
    counts = torch.bincount(group, minlength=groups)
    order = group.argsort()
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[group[order]]
    return rank
