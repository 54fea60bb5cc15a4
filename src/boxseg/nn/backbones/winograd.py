"""3x3 convolution of many channels by Winograd's method, where no gradient is wanted.

A tile of 4 x 4 output cells sees 6 x 6 of the input. In the bases of F(4x4, 3x3) a filter acts on these by 36
products, instead of 9 for each of the 16 cells. On a processor, whose time the products are, that is faster
than torch's own convolution. Results differ by rounding: by 5e-5 at most where outputs have a variance of 1.

Source: Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016, section 4.3.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TILE, SEEN, TAPS = 4, 6, 3

Basis = list[list[float]]

# To the bases of inputs and filters, and back to outputs, along one side.
INPUT: Basis = [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0]]
INPUT += [[0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]]
FILTER: Basis = [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6]]
FILTER += [[1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]]
OUTPUT: Basis = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]

# Tiles, and output channels, that are worked on at once: what lies between the steps takes little memory.
BLOCK, FILTERS = 256, 256

# Worth it, as measured: so many channels, in and out (the bases take time for each), so many cells (the
# filters' takes it for each call), and tiles that the output fills by half.
CHANNELS_IN, CHANNELS_OUT, CELLS, CELLS_OF_A_TILE = 128, 256, 1024, TILE**2 // 2


class Conv3x3(nn.Conv2d):
    """`nn.Conv2d` of 3x3, padded so that the output has the input's size.

    Args:
        channels: C, in.
        out: C', out.
        dilation: Between the taps.
        bias: Whether there is one.
    """

    def __init__(self, channels: int, out: int, *, dilation: int = 1, bias: bool = True) -> None:
        super().__init__(channels, out, TAPS, padding=dilation, dilation=dilation, bias=bias)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self._is_worth_it(input, weight):
            return convolve_tiles(input, weight, bias, dilation=self.dilation[0])
        y: Tensor = super()._conv_forward(input, weight, bias)
        return y

    def _is_worth_it(self, x: Tensor, weight: Tensor) -> bool:
        # A compiled or exported graph is one for photos of all sizes; autocast sees torch's own functions only.
        if torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
            return False
        images, channels, height, width = x.shape
        cells, dilation = images * height * width, self.dilation[0]
        tiles = images * dilation**2 * _tiles(height, dilation) * _tiles(width, dilation)
        return (
            x.device.type == "cpu"
            and x.dtype == weight.dtype == torch.float32
            and self.stride == (1, 1)
            and channels >= CHANNELS_IN
            and len(weight) >= CHANNELS_OUT
            and cells >= max(CELLS, CELLS_OF_A_TILE * tiles)
        )


def convolve_tiles(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, dilation: int = 1) -> Tensor:
    """`F.conv2d` with the padding that keeps the size, up to rounding.

    Args:
        x: (B, C, H, W).
        weight: (C', C, 3, 3).
        bias: (C',), or None.
        dilation: d, between the taps: d x d interleaved images, each convolved without.

    Returns:
        (B, C', H, W).
    """
    (images, channels, height, width), out, d = x.shape, len(weight), dilation
    rows, columns, step = _tiles(height, d), _tiles(width, d), TILE * d
    to_input, to_filter, to_output = (_both_sides(basis).to(x) for basis in (INPUT, FILTER, OUTPUT))
    shift = (x.new_zeros(out) if bias is None else bias)[:, None, None, None, None, None, None]
    y = x.new_empty(images, out, rows, TILE, d, columns, TILE, d)
    x = F.pad(x, (d, columns * step - width + d, d, rows * step - height + d))
    at_once = max(1, BLOCK // (images * d * d * columns))
    for block in (slice(first, min(first + at_once, rows)) for first in range(0, rows, at_once)):
        seen = to_input @ _tiles_of(x[:, :, block.start * step :], block.stop - block.start, columns, d)
        seen = seen.view(SEEN**2, channels, -1)
        for these in (slice(first, min(first + FILTERS, out)) for first in range(0, out, FILTERS)):
            filters = (to_filter @ weight[these].reshape(-1, TAPS**2).T).view(SEEN**2, -1, channels)
            cells = to_output @ torch.bmm(filters, seen).flatten(1)
            cells = cells.view(TILE, TILE, -1, images, block.stop - block.start, d, columns, d)
            torch.add(cells.permute(3, 2, 4, 0, 5, 6, 1, 7), shift[these], out=y[:, these, block])
    return y.view(images, out, rows * step, columns * step)[:, :, :height, :width].contiguous()


def _tiles_of(x: Tensor, rows: int, columns: int, d: int) -> Tensor:
    """What the tiles of d x d interleaved images (B, C, H, W) see: (6 · 6, C · B · rows · d · columns · d)."""
    step = TILE * d
    of_image, of_channel, of_row, of_column = x.stride()
    shape = (SEEN, SEEN, x.shape[1], x.shape[0], rows, d, columns, d)
    strides = (
        d * of_row,
        d * of_column,
        of_channel,
        of_image,
        step * of_row,
        of_row,
        step * of_column,
        of_column,
    )
    return x.as_strided(shape, strides, x.storage_offset()).reshape(SEEN**2, -1)


def _tiles(side: int, dilation: int) -> int:
    """Tiles along a side of each interleaved image."""
    return -(-side // (TILE * dilation))


def _both_sides(basis: Basis) -> Tensor:
    """The change to a basis of one side, on rows and columns at once."""
    side = torch.tensor(basis, dtype=torch.float64)
    return torch.kron(side, side)
