"""Run a network's first layers on a large photo one band of rows at a time, to save memory.

These layers have the largest maps and see only a few pixels around each place: on bands that overlap by that
many pixels they give the same features as on the whole photo.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

# Pixels computed at once: of a batch in the first layers; of a photo at full size.
LAYER_PIXELS = 2**22
FULL_SIZE_PIXELS = 2**20


def bands(rows: int, width: int, *, pixels: int, step: int = 1) -> Iterator[tuple[int, int]]:
    """Split the rows of an image into parts of about equal height: first row, and one past the last.

    Rows are counted in `step` pixels (1, or the stride of a feature map), the width in pixels. A part has at
    most `pixels` pixels, but at least one row.
    """
    most = max(1, pixels // (step * width))
    count = -(-rows // most)
    edges = [rows * place // count for place in range(count + 1)]
    return itertools.pairwise(edges)


def in_bands(layers: Callable[[Tensor], Tensor], x: Tensor, *, stride: int, reach: int) -> Tensor:
    """`layers(x)`, in bands if x is large and needs no gradient; equal up to the order of sums.

    The layers are convolutions and the like, padded so that cell (i, j) lies over pixel (stride · i, stride ·
    j). x is (B, C, H, W), H and W one more than a multiple of the stride. `reach` is the largest distance, in
    pixels, at which a pixel affects a cell. Returns (B, C', (H - 1) / stride + 1, (W - 1) / stride + 1).
    """
    # A compiled or exported graph must hold for photos of all sizes.
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or x.numel() // x.shape[1] <= LAYER_PIXELS:
        return layers(x)
    batch, _, height, width = x.shape
    cells, margin = (height - 1) // stride + 1, -(-reach // stride)
    whole: Tensor | None = None
    for first, last in bands(cells, batch * width, pixels=LAYER_PIXELS, step=stride):
        top, bottom = max(0, first - margin), min(cells, last + margin)
        part = layers(x[:, :, stride * top : stride * (bottom - 1) + 1])[:, :, first - top : last - top]
        if whole is None:
            layout = torch.channels_last if part.is_contiguous(memory_format=torch.channels_last) else None
            whole = part.new_empty((batch, part.shape[1], cells, part.shape[3]))
            whole = whole if layout is None else whole.contiguous(memory_format=layout)
        whole[:, :, first:last] = part
    assert whole is not None
    return whole
