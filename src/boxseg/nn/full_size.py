"""Losses over every pixel of full-size maps, without building these maps.

Upsampled maps are computed a few rows at a time and differentiated while these are in the cache; only the
gradient of the small maps is kept for the backward pass. The weight of a chosen pixel may depend on all others,
so their total is computed and differentiated first, from the cells around them.
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

# Rows of pixels in a band: few on a CPU, to stay in its cache; many elsewhere, to start few kernels.
ROWS = {"cpu": 8}
ROWS_ELSEWHERE = 64

# Up to this share of all pixels, terms of chosen pixels are kept for their gradient, not computed again.
FEW = 1 / 8

# (Rows of the upsampled maps (B, rows, K, W), which of the H rows they are) -> (scalar, function that gives its
# gradient (B, rows, K, W), which may be overwritten).
Summed = Callable[[Tensor, slice], tuple[Tensor, Callable[[], Tensor]]]
Places = tuple[Tensor, Tensor, Tensor]  # of pixels: image, row, column, (m,) each


@dataclass(frozen=True)
class Chosen:
    """A function of chosen pixels.

    Attributes:
        pixels: (B, H, W) bool, the chosen pixels.
        terms: Maps the upsampled values (m, K) of some of them, and their places, to terms (m,). Called twice
            if the pixels are many.
        total: Maps the terms of all of them to a scalar.
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
        summed: Function of all pixels but the chosen ones; it may not depend on these.
        chosen: Function of the chosen pixels.

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
    """`over_full_size` of float32 or float64 maps; the forward pass computes their gradient too."""

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
        wide = maps.movedim(1, 2) @ columns.T  # (B, h, K, W): one matrix per row of cells
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
    """The total of chosen pixels, and its gradient with respect to their values, band by band."""

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
        """Write its gradient at the chosen pixels of a band, into that of the rows (B, rows, K, W)."""
        image, row, column = self.places[number]
        full[image, row, :, column] = self.slopes[number]
