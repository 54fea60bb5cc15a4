"""What needs maps of full size only to look at every pixel once, without ever making them.

Upsampled maps are computed a few rows at a time, and again in the backward pass: that is sooner done than
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

OfRows = Callable[[Tensor, slice], tuple[Tensor, ...]]
Part = tuple[slice, slice]  # rows of pixels, and the rows of cells that they lie between


def over_full_size(maps: Tensor, size: tuple[int, int], stride: int, of_rows: OfRows) -> tuple[Tensor, ...]:
    """A function of all pixels of upsampled maps, band by band.

    Args:
        maps: (B, K, h, w) floating, as of `upsample_aligned`; half precisions are widened to float32.
        size: (H, W) of the image without its padding, pixels.
        stride: Stride of the network.
        of_rows: From some rows of the upsampled maps, (B, K, rows, W), and which of the H rows they are, to
            tensors of at least one dimension. It is called again in the backward pass.

    Returns:
        What `of_rows` returns, concatenated along the first dimension; once differentiable.

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

        def of_cells(near: Tensor, part: Part) -> tuple[Tensor, ...]:
            return of_rows(rows[part] @ near, part[0])

        wide = maps @ columns.T
        results: tuple[Tensor, ...] = _Bands.apply(wide, of_cells, parts)  # type: ignore[no-untyped-call]
    return results


class _Bands(torch.autograd.Function):
    """Function of parts of the rows of maps (B, K, h, W), computed again in the backward pass, not kept."""

    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, of_cells: Callable[[Tensor, Part], tuple[Tensor, ...]], parts: Sequence[Part]
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(maps)
        ctx.of_cells, ctx.parts = of_cells, parts
        kinds = list(zip(*(of_cells(maps[:, :, part[1]], part) for part in parts), strict=True))
        ctx.lengths = [[len(result) for result in kind] for kind in kinds]
        return tuple(torch.cat(kind) for kind in kinds)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        (maps,) = ctx.saved_tensors
        gradient = torch.zeros_like(maps)
        for part, *own in zip(ctx.parts, *map(torch.split, slopes, ctx.lengths), strict=True):
            near = maps[:, :, part[1]].detach().requires_grad_()
            with torch.enable_grad():
                results = ctx.of_cells(near, part)
            gradient[:, :, part[1]] += torch.autograd.grad(results, near, own)[0]
        return gradient, None, None
