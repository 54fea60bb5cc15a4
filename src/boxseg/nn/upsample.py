"""Where the cells of a feature map lie over the image, and bilinear upsampling with aligned corners.

A network of stride s pads its image at the right and bottom to s * k + 1 pixels, so that feature cell (i, j)
lies exactly over pixel (s * i, s * j). Maps are then upsampled to the padded size, where corners are aligned,
and cropped.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

# Columns of pixels computed together, from the cells near them: time then grows with the number of pixels, not
# with that times the width.
BLOCK = 256


def check_cells(size: int, cells: int, stride: int) -> None:
    """Raise a ValueError if `cells` of a feature map do not reach the end of the `size` pixels along a side."""
    if size < 1 or cells < 1:
        raise ValueError(f"{cells} cells over {size} pixels: both must be at least 1")
    if stride * (cells - 1) + 1 < size:
        raise ValueError(
            f"{cells} cells of stride {stride} end at pixel {stride * (cells - 1)}, the image at {size - 1}: "
            "pad the image at the right and bottom to stride * k + 1 before the network"
        )


def cell_edges(size: int, cells: int, stride: int) -> Tensor:
    """Borders between the footprints of neighbouring cells along one side, clipped to the image.

    A cell over pixel p has its centre at p + 0.5 (the middle of that pixel) and reaches half a stride to either
    side. The footprints tile the image: the first begins at 0, the last ends at `size`.

    Returns:
        (cells + 1,) float64 pixel edges, ascending from 0 to `size`; on the CPU.
    """
    check_cells(size, cells, stride)
    edges = 0.5 + stride * (torch.arange(cells + 1, dtype=torch.float64) - 0.5)
    edges[0], edges[-1] = 0.0, size
    return edges.clamp(0.0, float(size))


def interpolation_matrix(size: int, cells: int, stride: int) -> Tensor:
    """Weights (size, cells) for bilinear upsampling of `cells` values along one side to `size` pixels.

    float64 on the CPU. Corners are aligned; rows hold at most two non-zero weights, neighbours that sum to 1.

    Raises:
        ValueError: The cells do not reach the end of the image.
    """
    check_cells(size, cells, stride)
    # Float64 on the CPU: some devices have none, and a rounded position would leak into a third cell.
    position = torch.arange(size, dtype=torch.float64) / stride
    return (1 - (position[:, None] - torch.arange(cells, dtype=torch.float64)).abs()).clamp(min=0)


def interpolation_matrices(maps: Tensor, size: tuple[int, int], stride: int) -> tuple[Tensor, Tensor]:
    """Interpolation matrices of rows (H, h) and columns (W, w), as maps (..., h, w) in type and device."""
    rows, columns = (
        interpolation_matrix(pixels, cells, stride).to(maps.device, maps.dtype)
        for pixels, cells in zip(size, maps.shape[-2:], strict=True)
    )
    return rows, columns


def upsample_aligned(maps: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """Bilinear upsampling of feature maps (B, C, h, w) to the image they came from, (B, C, H, W).

    `size` is (H, W) without padding, pixels; cell (i, j) lies at pixel (stride * i, stride * j).

    Raises:
        ValueError: The cells do not reach the end of the image.
    """
    height, width = size
    cells = maps.shape[-2:]
    for pixels, count in zip(size, cells, strict=True):
        check_cells(pixels, count, stride)
    padded = (stride * (cells[0] - 1) + 1, stride * (cells[1] - 1) + 1)
    full = F.interpolate(maps, size=padded, mode="bilinear", align_corners=True)
    return full[..., :height, :width]


def upsample_pixels(maps: Tensor, stride: int, places: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """`upsample_aligned` of maps (B, C, h, w) at single pixels (m, C): weighted sums of the four cells around.

    `places` are the image, row and column of each pixel, (m,) int64.
    """
    height, width = maps.shape[2:]
    image, row, column = places
    y, x = row // stride, column // stride
    down, right = ((side % stride).to(maps.dtype) / stride for side in (row, column))
    first = (image * height + y) * width + x
    around = torch.stack([first, first + 1, first + width, first + width + 1], 1)
    weights = torch.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right], 1)
    cells = maps.movedim(1, 3).flatten(0, 2)
    # In the last row or column the next cell has weight 0, but its index must be valid.
    around.clamp_(max=len(cells) - 1)
    return F.embedding_bag(around, cells, per_sample_weights=weights, mode="sum")


def any_cells(weights: Tensor) -> Tensor:
    """The cells that pixels touch, for their weights (pixels, cells); (cells,) bool."""
    return weights.any(0)


def neighbouring_cells(weights: Tensor) -> slice:
    """The same as a slice, found faster, for consecutive rows of an `interpolation_matrix`."""
    if not len(weights):
        return slice(0, 0)
    first, last = weights[0].nonzero(), weights[-1].nonzero()
    return slice(int(first[0]), int(last[-1]) + 1)


def to_columns(maps: Tensor, columns: Tensor, cells: Callable[[Tensor], slice | Tensor] = any_cells) -> Tensor:
    """maps @ columnsᵀ: (..., w) to (..., W), for weights (W, w) of few cells each; `cells` finds these."""
    full = maps.new_empty(*maps.shape[:-1], len(columns))
    for first in range(0, len(columns), BLOCK):
        block = columns[first : first + BLOCK]
        used = cells(block)
        full[..., first : first + BLOCK] = maps[..., used] @ block[:, used].T
    return full


def from_columns(full: Tensor, columns: Tensor) -> Tensor:
    """full @ columns: (..., W) to (..., w), for weights of `interpolation_matrix`."""
    maps = full.new_zeros(*full.shape[:-1], columns.shape[1])
    for first in range(0, len(columns), BLOCK):
        block = columns[first : first + BLOCK]
        used = neighbouring_cells(block)
        maps[..., used] += full[..., first : first + BLOCK] @ block[:, used]
    return maps
