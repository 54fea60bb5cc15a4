"""The mean of what a network says of one image at several scales and mirrored, at the image's full size.

Upsampling a view to its own size, mirroring it back and resizing it to the image are linear, each a product
with a matrix along either side. So the views are never made at their sizes: what they say at feature
resolution is brought to the image's rows, laid side by side, and one product over all columns sums them.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from boxseg.nn.row_bands import FULL_SIZE_PIXELS, bands
from boxseg.nn.upsample import interpolation_matrices, to_columns


class Views:
    """Collects views of one image.

    Args:
        size: (H, W) of the image, pixels.
        stride: Stride of the network.
    """

    def __init__(self, size: tuple[int, int], stride: int) -> None:
        self.size = size
        self.stride = stride
        self._maps: list[tuple[Tensor, Tensor]] = []
        self._columns: list[Tensor] = []

    def add(self, maps: Tensor, size: tuple[int, int], *, mirrored: bool = False) -> None:
        """Take one view into account.

        Args:
            maps: (K, h, w) of the view, cells of the network's stride.
            size: Of the view, pixels.
            mirrored: Whether the view was mirrored left to right.
        """
        rows, columns = interpolation_matrices(maps, size, self.stride)
        columns = columns.flip(0) if mirrored else columns
        self._maps.append((resized(rows, self.size[0]), maps))
        self._columns.append(resized(columns, self.size[1]))

    def bands(self) -> Iterator[slice]:
        """Rows of a large image, a few at a time, to be given to `mean`; all of a small one."""
        return (slice(*edges) for edges in bands(*self.size, pixels=FULL_SIZE_PIXELS))

    def mean(self, rows: slice = slice(None)) -> Tensor:
        """The mean at these rows of the image, (K, n, W)."""
        parts = []
        for weights, maps in self._maps:
            block = weights[rows]
            used = block.any(0)
            parts.append(block[:, used] @ maps[:, used])
        return to_columns(torch.cat(parts, 2) / len(parts), torch.cat(self._columns, 1))


def resized(signals: Tensor, size: int) -> Tensor:
    """Signals (n, K) along a side of an image, resized to (size, K): bilinear, antialiased if they shrink."""
    if len(signals) == size:
        return signals
    # As rows of a picture: torch 2.13 resizes a single column wrongly if it is antialiased. No issue was found;
    # columns will do when tests/nn/test_views.py passes with them.
    rows = signals.T[None, :, None].contiguous()
    return F.interpolate(rows, (1, size), mode="bilinear", antialias=len(signals) > size)[0, :, 0].T
