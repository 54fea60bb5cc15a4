"""Losses that look at every pixel of full-size maps once, without ever making these maps.

Upsampled maps are computed a few rows at a time and differentiated while these are in the cache; what is kept
for the backward pass is the gradient of the maps alone. How much a chosen pixel counts may depend on all
others: their total is computed and differentiated first, from the cells around them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from boxseg.nn.upsample import interpolation_matrices, upsample_pixels

# Rows of pixels in a band: on a processor so few that a band stays in its cache, elsewhere so many that it
# takes little to start a band's kernels.
ROWS = {"cpu": 8}
ROWS_ELSEWHERE = 64

# Of all pixels, how many are few: their terms are differentiated without being computed again.
FEW = 1 / 8

# From some rows of the upsampled maps, (B, rows, K, W), and which of the H rows they are, to a scalar and what
# gives its gradient, (B, rows, K, W), into which may be written.
Summed = Callable[[Tensor, slice], tuple[Tensor, Callable[[], Tensor]]]
Places = tuple[Tensor, Tensor, Tensor]  # of pixels: image, row, column, (m,) each


@dataclass(frozen=True)
class Chosen:
    """A function of single pixels.

    Attributes:
        pixels: (B, H, W) bool, which they are.
        terms: From the upsampled maps (m, K) of some of them, and where they are, to terms (m,). Called again
            to be differentiated where the pixels are many.
        total: From these terms of all of them to a scalar.
    """

    pixels: Tensor
    terms: Callable[[Tensor, Places], tuple[Tensor, ...]]
    total: Callable[..., Tensor]


def over_full_size(
    maps: Tensor, size: tuple[int, int], stride: int, summed: Summed, chosen: Chosen | None = None
) -> Tensor:
    """A function of all pixels of upsampled maps, band by band.

    Args:
        maps: (B, K, h, w) floating, as of `upsample_aligned`; half precisions are widened to float32.
        size: (H, W) of the image without its padding, pixels.
        stride: Stride of the network.
        summed: Of all pixels but the chosen ones, on which it may not depend.
        chosen: Of these.

    Returns:
        The sum of `summed` over all rows, and of the total of `chosen`; once differentiable.

    Raises:
        ValueError: The cells do not reach the end of the image.
    """
    with torch.autocast(maps.device.type, enabled=False):
        if maps.dtype != torch.float64:
            maps = maps.float()
        result: Tensor = _OverBands.apply(maps, size, stride, summed, chosen)  # type: ignore[no-untyped-call]
    return result


class _OverBands(torch.autograd.Function):
    """The same of maps in single or double precision; their gradient is computed with it."""

    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, size: tuple[int, int], stride: int, summed: Summed, chosen: Chosen | None
    ) -> Tensor:
        rows, columns = interpolation_matrices(maps, size, stride)
        step = ROWS.get(maps.device.type, ROWS_ELSEWHERE)
        bands = [slice(top, min(top + step, size[0])) for top in range(0, size[0], step)]
        differentiated = ctx.needs_input_grad[0]
        some = None if chosen is None else _Total(maps, stride, chosen, bands, differentiated=differentiated)
        total = maps.new_zeros(()) if some is None else some.value
        wide = maps.movedim(1, 2) @ columns.T  # (B, h, K, W): of a row of cells one matrix
        slope = torch.zeros_like(wide)
        for number, band in enumerate(bands):
            cells = slice(band.start // stride, (band.stop - 1) // stride + 2)
            weights = rows[band, cells]
            full = (weights @ wide[:, cells].flatten(2)).view(len(wide), -1, *wide.shape[2:])
            one, gradient_of_one = summed(full, band)
            total = total + one
            if differentiated:
                gradient = gradient_of_one()
                if some is not None:
                    some.put_gradient(gradient, number)
                slope[:, cells] += (weights.T @ gradient.flatten(2)).view(len(wide), -1, *wide.shape[2:])
        ctx.save_for_backward((slope @ columns).movedim(2, 1))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_total: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return of_total * slope, None, None, None, None


class _Total:
    """The total of chosen pixels, and its gradient in their values, band by band."""

    def __init__(
        self, maps: Tensor, stride: int, chosen: Chosen, bands: list[slice], *, differentiated: bool
    ) -> None:
        self.places = [chosen.pixels[:, band].nonzero(as_tuple=True) for band in bands]
        few = sum(len(image) for image, _, _ in self.places) <= FEW * chosen.pixels.numel()
        of_some = chosen.terms if few else functools.partial(checkpoint, chosen.terms, use_reentrant=False)
        values, terms = [], []
        for band, (image, row, column) in zip(bands, self.places, strict=True):
            places = (image, row + band.start, column)
            values.append(upsample_pixels(maps, stride, places).requires_grad_(differentiated))
            with torch.set_grad_enabled(differentiated):
                terms.append(of_some(values[-1], places))
        with torch.set_grad_enabled(differentiated):
            value = chosen.total(*map(torch.cat, zip(*terms, strict=True)))
        self.value = value.detach()
        self.slopes = torch.autograd.grad(value, values) if differentiated else ()

    def put_gradient(self, full: Tensor, number: int) -> None:
        """Write it where the pixels of a band are, into the gradient of its rows, (B, rows, K, W)."""
        image, row, column = self.places[number]
        full[image, row, :, column] = self.slopes[number]
