"""What needs maps of full size only to look at every pixel once, without ever making them.

Upsampled maps are computed a few rows at a time. What is summed over all pixels is differentiated at once; for
what is kept of single pixels the rows are computed again in the backward pass, which is sooner done than
writing all of them to memory and reading them again.
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

Summed = Callable[[Tensor, slice], Tensor]
Kept = Callable[[Tensor, slice], tuple[Tensor, ...]]
Part = tuple[slice, slice]  # rows of pixels, and the rows of cells that they lie between


def over_full_size(
    maps: Tensor, size: tuple[int, int], stride: int, summed: Summed, kept: Kept | None = None
) -> tuple[Tensor, ...]:
    """Functions of all pixels of upsampled maps, band by band.

    Args:
        maps: (B, K, h, w) floating, as of `upsample_aligned`; half precisions are widened to float32.
        size: (H, W) of the image without its padding, pixels.
        stride: Stride of the network.
        summed: From some rows of the upsampled maps, (B, K, rows, W), and which of the H rows they are, to a
            scalar.
        kept: From the same to tensors of at least one dimension. It is called again in the backward pass.

    Returns:
        The sum of `summed` over all bands, and what `kept` returns, concatenated along the first dimension;
        once differentiable.

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
        results: tuple[Tensor, ...] = _Bands.apply(wide, rows, parts, summed, kept)  # type: ignore[no-untyped-call]
    return results


class _Bands(torch.autograd.Function):
    """Functions of the rows of pixels of maps (B, K, h, W)."""

    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, rows: Tensor, parts: Sequence[Part], summed: Summed, kept: Kept | None
    ) -> tuple[Tensor, ...]:
        total, slope = maps.new_zeros(()), torch.zeros_like(maps)
        pieces = []
        for part in parts:
            near = maps[:, :, part[1]].detach().requires_grad_(ctx.needs_input_grad[0])
            with torch.enable_grad():
                full = rows[part] @ near
                one = summed(full, part[0])
            if near.requires_grad:
                slope[:, :, part[1]] += torch.autograd.grad(one, near)[0]
            total += one.detach()
            if kept is not None:
                pieces.append(kept(full.detach(), part[0]))
        kinds = list(zip(*pieces, strict=True))
        ctx.lengths = [[len(result) for result in kind] for kind in kinds]
        ctx.parts, ctx.kept = parts, kept
        ctx.save_for_backward(maps, rows, slope)
        return total, *map(torch.cat, kinds)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_total: Tensor, *of_kept: Tensor) -> tuple[Tensor | None, ...]:
        maps, rows, slope = ctx.saved_tensors
        gradient = of_total * slope
        for part, *own in zip(
            ctx.parts if of_kept else (), *map(torch.split, of_kept, ctx.lengths), strict=True
        ):
            near = maps[:, :, part[1]].detach().requires_grad_()
            with torch.enable_grad():
                results = ctx.kept(rows[part] @ near, part[0])
            gradient[:, :, part[1]] += torch.autograd.grad(results, near, own)[0]
        return gradient, None, None, None, None
