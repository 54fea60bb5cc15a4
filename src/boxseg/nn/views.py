"""The mean of a network's output for one image over scales and mirroring, at the image's full size.

Upsampling a view to its own size, mirroring it back and resizing it to the image are linear, each a product
with a matrix along either side. So views are never built at their own sizes: the network's output is brought to
the image's rows, laid side by side, and one product over all columns sums the views.
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
        """Add the output (K, h, w) for a view of `size` (H, W), pixels, maybe mirrored left to right."""
        rows, columns = interpolation_matrices(maps, size, self.stride)
        columns = columns.flip(0) if mirrored else columns
        self._maps.append((resized(rows, self.size[0]), maps))
        self._columns.append(resized(columns, self.size[1]))

    def bands(self) -> Iterator[slice]:
        """Row ranges for `mean`: a few rows each for a large image, all rows for a small one."""
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
    # Resized as rows: torch 2.13 antialiases a single column wrongly. No issue found; use columns when
    # tests/nn/test_views.py passes with them.
    rows = signals.T[None, :, None].contiguous()
    return F.interpolate(rows, (1, size), mode="bilinear", antialias=len(signals) > size)[0, :, 0].T
