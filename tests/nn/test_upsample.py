from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from boxseg.nn.upsample import cell_edges, interpolation_matrix, upsample_aligned, upsample_pixels

strides = st.sampled_from([1, 2, 4, 7, 8, 16, 32])


def cells_for(size: int, stride: int) -> int:
    """Cells of an image padded to stride * k + 1."""
    return -(-(size - 1) // stride) + 1


@given(size=st.integers(1, 70), stride=strides, extra=st.integers(0, 2))
def test_matrix_interpolates_between_the_two_cells_around_a_pixel(size: int, stride: int, extra: int) -> None:
    cells = cells_for(size, stride) + extra
    matrix = interpolation_matrix(size, cells, stride)
    expected = torch.zeros(size, cells, dtype=torch.float64)
    for pixel in range(size):
        left, rest = divmod(pixel, stride)
        expected[pixel, left] += 1 - rest / stride
        if rest:
            expected[pixel, left + 1] += rest / stride
    torch.testing.assert_close(matrix, expected, rtol=0, atol=1e-12)


@given(height=st.integers(1, 40), width=st.integers(1, 40), stride=strides)
def test_cells_keep_their_value_at_their_pixel(height: int, width: int, stride: int) -> None:
    h, w = cells_for(height, stride), cells_for(width, stride)
    maps = torch.rand(2, 3, h, w, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    full = upsample_aligned(maps, (height, width), stride)
    assert full.shape == (2, 3, height, width)
    at_cells = full[:, :, ::stride, ::stride]
    torch.testing.assert_close(at_cells, maps[:, :, : at_cells.shape[2], : at_cells.shape[3]])


def test_upsampling_is_the_two_matrices() -> None:
    stride = 4
    maps = torch.rand(2, 3, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    rows = interpolation_matrix(11, 4, stride)
    columns = interpolation_matrix(18, 6, stride)
    torch.testing.assert_close(upsample_aligned(maps, (11, 18), stride), rows @ maps @ columns.T)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 4, 8, 16]), st.integers(0, 1))
def test_single_pixels_are_those_of_the_upsampled_map(height: int, width: int, stride: int, extra: int) -> None:
    cells = (cells_for(height, stride) + extra, cells_for(width, stride) + extra)
    maps = torch.randn(2, 3, *cells, dtype=torch.float64)
    pixels = torch.cartesian_prod(torch.arange(2), torch.arange(height), torch.arange(width)).flip(0)
    image, y, x = pixels.T
    single = upsample_pixels(maps, stride, (image, y, x))
    torch.testing.assert_close(single, upsample_aligned(maps, (height, width), stride)[image, :, y, x])
    assert upsample_pixels(maps, stride, (image[:0], y[:0], x[:0])).shape == (0, 3)


def test_a_mirrored_map_gives_the_mirrored_image() -> None:
    maps = torch.rand(1, 2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    full = upsample_aligned(maps, (17, 33), 8)
    torch.testing.assert_close(upsample_aligned(maps.flip(3), (17, 33), 8), full.flip(3))


@given(stride=strides, cells=st.integers(1, 20))
def test_footprints_tile_the_image_and_are_mirror_symmetric(stride: int, cells: int) -> None:
    size = stride * (cells - 1) + 1
    edges = cell_edges(size, cells, stride)
    assert edges.shape == (cells + 1,)
    assert edges[0] == 0
    assert edges[-1] == size
    assert torch.all(edges.diff() >= 0)
    if size > 1:  # one pixel has no room for several cells
        assert torch.all(edges.diff() > 0)
    torch.testing.assert_close(edges, size - edges.flip(0))


def test_a_footprint_surrounds_the_pixel_of_its_cell() -> None:
    edges = cell_edges(33, 5, 8)
    assert edges.tolist() == [0, 4.5, 12.5, 20.5, 28.5, 33]
    assert cell_edges(20, 5, 8).tolist() == [0, 4.5, 12.5, 20, 20, 20]


def test_too_few_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="pad the image"):
        upsample_aligned(torch.zeros(1, 1, 4, 4), (33, 25), 8)
    with pytest.raises(ValueError, match="at least 1"):
        interpolation_matrix(0, 1, 8)
