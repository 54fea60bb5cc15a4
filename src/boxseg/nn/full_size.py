"""What needs maps of full size only to look at every pixel once, without ever making them.

Upsampled maps are computed a few rows at a time. What is summed over all pixels is differentiated at once; the
terms of single pixels that are chosen are computed again in the backward pass, from the upsampled values there:
kept where these pixels are few, and else computed again, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from boxseg.nn.upsample import interpolation_matrix

# Rows of pixels in a band: on a processor so few that a band stays in its cache, elsewhere so many that it
# takes little to start a band's kernels.
ROWS = {"cpu": 8}
ROWS_ELSEWHERE = 64

# Of the pixels of a band, how many at most are few.
FEW = 1 / 8

Summed = Callable[[Tensor, slice], Tensor]
Places = tuple[Tensor, Tensor, Tensor]  # of pixels: image, row, column, (m,) each
OfChosen = Callable[[Tensor, Places], tuple[Tensor, ...]]
Part = tuple[slice, slice]  # rows of pixels, and the rows of cells that they lie between


def over_full_size(
    maps: Tensor,
    size: tuple[int, int],
    stride: int,
    summed: Summed,
    chosen: Tensor | None = None,
    of_chosen: OfChosen | None = None,
) -> tuple[Tensor, ...]:
    """Functions of all pixels of upsampled maps, band by band.

    Args:
        maps: (B, K, h, w) floating, as of `upsample_aligned`; half precisions are widened to float32.
        size: (H, W) of the image without its padding, pixels.
        stride: Stride of the network.
        summed: From some rows of the upsampled maps, (B, K, rows, W), and which of the H rows they are, to a
            scalar.
        chosen: (B, H, W) bool, single pixels; None for none.
        of_chosen: From the upsampled maps (m, K) of some of these, and where they are, to terms (m,). It is
            called again in the backward pass.

    Returns:
        The sum of `summed` over all bands, and what `of_chosen` returns, concatenated; once differentiable.

    Raises:
        ValueError: The cells do not reach the end of the image.
    """
    with torch.autocast(maps.device.type, enabled=False):
        if maps.dtype != torch.float64:
            maps = maps.float()
        rows, columns = (
            interpolation_matrix(pixels, cells, stride, dtype=maps.dtype, device=maps.device)
            for pixels, cells in zip(size, maps.shape[2:], strict=True)
        )
        step = ROWS.get(maps.device.type, ROWS_ELSEWHERE)
        bands = [slice(top, min(top + step, size[0])) for top in range(0, size[0], step)]
        parts = [(band, slice(band.start // stride, (band.stop - 1) // stride + 2)) for band in bands]
        wide = maps @ columns.T
        several = (wide, rows, parts, summed, chosen, of_chosen)
        results: tuple[Tensor, ...] = _Bands.apply(*several)  # type: ignore[no-untyped-call]
    return results


class _Bands(torch.autograd.Function):
    """Functions of the rows of pixels of maps (B, K, h, W)."""

    @staticmethod
    def forward(
        ctx: Any,
        maps: Tensor,
        rows: Tensor,
        parts: Sequence[Part],
        summed: Summed,
        chosen: Tensor | None,
        of_chosen: OfChosen | None,
    ) -> tuple[Tensor, ...]:
        total, slope = maps.new_zeros(()), torch.zeros_like(maps)
        pieces, lengths, picked = [], [], []
        for part in parts:
            near = maps[:, :, part[1]].detach().requires_grad_(ctx.needs_input_grad[0])
            with torch.enable_grad():
                full = rows[part] @ near
                one = summed(full, part[0])
            if near.requires_grad:
                slope[:, :, part[1]] += torch.autograd.grad(one, near)[0]
            total += one.detach()
            if chosen is not None and of_chosen is not None:
                places = _places(chosen, part[0])
                values = _pick(full.detach(), places, part[0])
                pieces.append(of_chosen(values, places))
                lengths.append(len(values))
                picked.append(values if values.numel() <= FEW * full.numel() else None)
        kinds = list(zip(*pieces, strict=True))
        ctx.parts, ctx.chosen, ctx.of_chosen = parts, chosen, of_chosen
        ctx.lengths, ctx.picked = lengths, picked
        ctx.save_for_backward(maps, rows, slope)
        return total, *map(torch.cat, kinds)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_total: Tensor, *of_terms: Tensor) -> tuple[Tensor | None, ...]:
        maps, rows, slope = ctx.saved_tensors
        gradient = of_total * slope
        of_parts = zip(*(torch.split(terms, ctx.lengths) for terms in of_terms), strict=True)
        for part, kept, own in zip(ctx.parts if of_terms else (), ctx.picked, of_parts, strict=True):
            band, cells = part
            places = _places(ctx.chosen, band)
            values = _pick(rows[part] @ maps[:, :, cells], places, band) if kept is None else kept
            values = values.detach().requires_grad_()
            with torch.enable_grad():
                terms = ctx.of_chosen(values, places)
            full = slope.new_zeros(*slope.shape[:2], band.stop - band.start, slope.shape[3])
            image, row, column = places
            full[image, :, row - band.start, column] = torch.autograd.grad(terms, values, own)[0]
            gradient[:, :, cells] += rows[part].T @ full
        return gradient, None, None, None, None, None


def _places(chosen: Tensor, band: slice) -> Places:
    image, row, column = chosen[:, band].nonzero(as_tuple=True)
    return image, row + band.start, column


def _pick(full: Tensor, places: Places, band: slice) -> Tensor:
    """Values (m, K) of pixels, from the rows of their band."""
    image, row, column = places
    return full[image, :, row - band.start, column]
