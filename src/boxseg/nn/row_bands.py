"""A network's first layers on one band of rows of a large photo after the other.

They have the finest maps, and so take the most memory, but see little around each place: on bands that overlap
by that much they give what they give on the whole photo.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

# How many pixels are worked on at once: of a batch, by the first layers; of a photo, at its full size.
LAYER_PIXELS = 2**22
FULL_SIZE_PIXELS = 2**20


def bands(rows: int, width: int, *, pixels: int, step: int = 1) -> Iterator[tuple[int, int]]:
    """Parts of an image, of about equal height: first row, and one past the last.

    Args:
        rows: Height of the image, in `step` pixels.
        width: Its width, pixels.
        pixels: Size of a part, unless a single row is larger.
        step: What `rows` are counted in: 1, or the stride of a feature map.
    """
    most = max(1, pixels // (step * width))
    count = -(-rows // most)
    edges = [rows * place // count for place in range(count + 1)]
    return itertools.pairwise(edges)


def in_bands(layers: Callable[[Tensor], Tensor], x: Tensor, *, stride: int, reach: int) -> Tensor:
    """`layers(x)`, in bands where x is large and no gradient is wanted; equal up to the order of sums.

    Args:
        layers: Convolutions and the like, padded so that cell (i, j) lies over pixel (stride · i, stride · j).
        x: (B, C, H, W), H and W one more than a multiple of the stride.
        stride: Of the layers, pixels.
        reach: How far from its own place a cell depends on pixels, at most.

    Returns:
        (B, C', (H - 1) / stride + 1, (W - 1) / stride + 1).
    """
    # A compiled or exported graph is one for photos of all sizes.
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
