"""Crops around boxes beside slow resampling, and answers back on the photo's own pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from boxseg.data.object_crops import Window, cut_crop, others_map, paste_back, to_crop, window_around
from boxseg.nn.mask_network import GRID, SIDE

Array = NDArray[np.float64]


@st.composite
def boxes(draw: st.DrawFn) -> Array:
    """A box of one pixel to thousands, of whole and half pixels."""
    left, top = draw(st.integers(0, 4000)) / 2, draw(st.integers(0, 4000)) / 2
    width, height = draw(st.integers(2, 6000)) / 2, draw(st.integers(2, 6000)) / 2
    return np.array([left, top, left + width, top + height])


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """A window that may stick out of the photo, from some pixels to hundreds."""
    left, top = draw(st.floats(-50, 50)), draw(st.floats(-50, 50))
    width = draw(st.floats(1.4, 700))
    return Window(left, top, left + width, top + width * draw(st.floats(0.5, 2.0)))


# ---- windows -------------------------------------------------------------------------------------------------


def test_margins_are_shares_of_the_box() -> None:
    box = np.array([100.0, 50.0, 180.0, 110.0])
    assert window_around(box) == pytest.approx((100 - 16, 50 - 12, 180 + 16, 110 + 12))
    assert window_around(box, (0, 0.1, 0.2, 0.5)) == pytest.approx((100, 44, 196, 140))
    assert window_around(box, (0, 0, 0, 0)) == pytest.approx((100, 50, 180, 110))


def test_a_narrow_box_gets_a_window_of_two_to_one() -> None:
    assert window_around(np.array([10.0, 0.0, 20.0, 200.0])) == pytest.approx((15 - 70, -40, 15 + 70, 240))
    assert window_around(np.array([0.0, 10.0, 200.0, 20.0])) == pytest.approx((-40, 15 - 70, 240, 15 + 70))


def test_a_box_of_a_pixel() -> None:
    assert window_around(np.array([7.0, 9.0, 8.0, 10.0])) == pytest.approx((6.8, 8.8, 8.2, 10.2))
    thin = window_around(np.array([7.0, 9.0, 7.01, 10.0]))  # is taken for a whole pixel wide
    assert thin.right - thin.left == pytest.approx(7.01 - 7 + 2 * 0.2, abs=0.7)
    assert math.isfinite(thin.scale[0])


@given(boxes(), st.tuples(*(4 * [st.floats(0, 0.5)])))
def test_a_window_holds_the_box_and_is_no_longer_than_twice_its_width(
    box: Array, margins: tuple[float, float, float, float]
) -> None:
    window = window_around(box, margins)
    width, height = window.right - window.left, window.bottom - window.top
    assert window.left <= box[0]
    assert window.top <= box[1]
    assert window.right >= box[2]
    assert window.bottom >= box[3]
    assert max(width, height) <= 2 * min(width, height) * (1 + 1e-9)
    # It is widened on both sides alike, and only as far as it must be.
    wide, high = (
        (1 + margins[0] + margins[2]) * (box[2] - box[0]),
        (1 + margins[1] + margins[3]) * (box[3] - box[1]),
    )
    assert width == pytest.approx(max(wide, high / 2))
    assert height == pytest.approx(max(high, wide / 2))
    middle = (box[0] + box[2] + (margins[2] - margins[0]) * (box[2] - box[0])) / 2
    assert (window.left + window.right) / 2 == pytest.approx(middle)


# ---- crops ---------------------------------------------------------------------------------------------------


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def slow_weights(low: float, high: float, first: int, last: int) -> Array:
    """(SIDE, last - first): how much these pixels count in each of the crop, by a triangle filter."""
    step = (high - low) / SIDE
    found = np.zeros((SIDE, last - first))
    for place in range(SIDE):
        centre = low + (place + 0.5) * step
        for pixel in range(math.floor(centre - step) - 2, math.ceil(centre + step) + 2):
            found[place, pixel - first] = max(0.0, 1 - abs(pixel + 0.5 - centre) / max(step, 1.0))
        found[place] /= found[place].sum()
    return found


def slow_crop(photo: NDArray[np.uint8], window: Window) -> Array:
    """The photo on grey without end, resampled: the whole filter for every pixel."""
    left, top = math.floor(window.left) - 9, math.floor(window.top) - 9
    right, bottom = math.ceil(window.right) + 9, math.ceil(window.bottom) + 9
    grey = np.full((bottom - top, right - left, 3), 127.0)
    for y in range(max(top, 0), min(bottom, len(photo))):
        row = photo[y, max(left, 0) : max(right, 0)]
        grey[y - top, max(-left, 0) : max(-left, 0) + len(row)] = row
    across = slow_weights(window.left, window.right, left, right)
    down = slow_weights(window.top, window.bottom, top, bottom)
    return np.asarray(np.einsum("iy,yxc,jx->ijc", down, grey, across, optimize=True))


def test_a_window_of_the_crops_size_is_the_photos_own_pixels() -> None:
    photo = noise(300, 290)
    np.testing.assert_array_equal(cut_crop(photo, Window(20, 13, 20 + SIDE, 13 + SIDE)), photo[13:270, 20:277])


@pytest.mark.parametrize(
    ("across", "down", "left", "top"),
    [
        (2, 2, 3, 5),
        (3, 2, 3.25, 5.5),
        (1, 2, 3, 5.5),
        (0.5, 0.5, 3.25, 5),
        (1, 0.5, 3.3, 5.1),
        (0.1, 0.2, 9.9, 9.5),
    ],
)
def test_a_crop_equals_slow_resampling(across: float, down: float, left: float, top: float) -> None:
    window = Window(left, top, left + across * SIDE, top + down * SIDE)
    photo = noise(math.ceil(window.bottom) + 7, math.ceil(window.right) + 7)
    crop = cut_crop(photo, window)
    assert crop.shape == (SIDE, SIDE, 3)
    # Pillow rounds to whole numbers twice, after rows and after columns.
    assert np.abs(crop - slow_crop(photo, window)).max() <= 1.5


def test_a_window_that_sticks_out_shows_grey_there() -> None:
    photo = noise(60, 80)
    window = Window(-20, 30, -20 + SIDE / 2, 30 + SIDE / 2)
    crop = cut_crop(photo, window)
    x = -20 + (np.arange(SIDE) + 0.5) / 2
    y = 30 + (np.arange(SIDE) + 0.5) / 2
    beyond = (x < -0.5) | (x > 80.5)
    assert (crop[:, beyond] == 127).all()
    assert (crop[y > 60.5] == 127).all()
    assert np.abs(crop - slow_crop(photo, window)).max() <= 1.5


def test_a_photo_smaller_than_its_window_on_every_side() -> None:
    photo, window = np.full((1, 1, 3), 255, np.uint8), window_around(np.array([0.0, 0.0, 1.0, 1.0]))
    crop = cut_crop(photo, window)
    assert (crop[SIDE // 2, SIDE // 2] == 255).all()
    assert np.abs(crop - slow_crop(photo, window)).max() <= 1.5


@pytest.mark.parametrize("sticks_out", [False, True])
def test_a_huge_window_keeps_the_mean_of_its_pixels(sticks_out: bool) -> None:
    photo = np.zeros((3100, 6010, 3), np.uint8)
    photo[::2, ::2, 0] = photo[1::2, 1::2, 0] = 200  # a pattern of single pixels, whose mean is 100
    photo[:, 3005:, 1] = 240
    window = Window(-100, 5, 6110, 3110) if sticks_out else Window(5, 50, 6005, 3050)
    crop = cut_crop(photo, window).astype(int)
    x = window.left + (np.arange(SIDE) + 0.5) / window.scale[0]
    inner = crop[:-2, (x > 50) & (x < 5960)]
    assert np.abs(inner[..., 0] - 100).max() <= 4
    assert (crop[:-2, (x > 50) & (x < 2950), 1] == 0).all()
    assert (crop[:-2, (x > 3060) & (x < 5960), 1] == 240).all()
    if sticks_out:
        assert (crop[:, x < -50] == 127).all()
        assert (crop[:, x > 6060] == 127).all()


@pytest.mark.parametrize("side", [100, 700, 2100])
def test_a_mark_lies_where_its_box_is_said_to_lie(side: int) -> None:
    """A rectangle of another colour, in crops made larger, smaller, and much smaller."""
    photo = np.full((side, side + 40, 3), 30, np.uint8)
    box = np.array([0.3 * side, 0.25 * side, 0.8 * side, 0.7 * side]).round()
    photo[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] = 230
    window = window_around(np.array([0.1 * side, 0.1 * side, 0.95 * side, 0.9 * side]))
    mark = cut_crop(photo, window)[..., 0] > 130
    rows, columns = np.flatnonzero(mark.any(1)), np.flatnonzero(mark.any(0))
    found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    np.testing.assert_allclose(found, to_crop(box[None], window)[0], atol=1.01)


# ---- boxes in crops ------------------------------------------------------------------------------------------


@given(windows())
def test_the_window_itself_is_the_whole_crop(window: Window) -> None:
    middle = (window.left + window.right) / 2, (window.top + window.bottom) / 2
    found = to_crop(np.array([window, (*middle, *middle)]), window)
    np.testing.assert_allclose(found, [[0, 0, SIDE, SIDE], 4 * [SIDE / 2]], atol=1e-6)


CORNER = st.integers(-20, 560).map(lambda half: half / 2)


@given(st.lists(st.tuples(CORNER, CORNER, CORNER, CORNER), max_size=6))
@settings(max_examples=25)
def test_others_are_counted_up_to_two(edges: list[tuple[float, float, float, float]]) -> None:
    ordered = [(min(q[0], q[2]), min(q[1], q[3]), max(q[0], q[2]), max(q[1], q[3])) for q in edges]
    found = others_map(np.array(ordered, dtype=np.float64).reshape(-1, 4))
    assert found.shape == (GRID, GRID)
    assert found.dtype == np.uint8
    for row in range(0, GRID, 4):
        for column in range(GRID):
            x, y = 2 * column + 0.5, 2 * row + 0.5
            count = sum(left < x < right and top < y < bottom for left, top, right, bottom in ordered)
            assert found[row, column] == min(count, 2)


# ---- back in the photo ---------------------------------------------------------------------------------------


@given(windows(), st.tuples(*(3 * [st.floats(-2, 2)])))
def test_a_plane_on_the_grid_is_the_same_plane_on_the_photo(
    window: Window, plane: tuple[float, float, float]
) -> None:
    base, slope_x, slope_y = plane
    # Cell (i, j) lies over the centre of pixel (2i, 2j) of the crop.
    cells = 2 * np.arange(GRID) + 0.5
    x, y = window.left + cells / window.scale[0], window.top + cells / window.scale[1]
    answer = torch.from_numpy(base + slope_x * x[None, :] + slope_y * y[:, None])
    # Pixels with their centres between the first and the last cell; beyond, there is nothing to say.
    left, right = math.ceil(x[0] - 0.5), math.floor(x[-1] - 0.5) + 1
    top, bottom = math.ceil(y[0] - 0.5), math.floor(y[-1] - 0.5) + 1
    found = paste_back(answer, window, (left, top, max(right, left), max(bottom, top)))
    columns, rows = np.arange(left, max(right, left)) + 0.5, np.arange(top, max(bottom, top)) + 0.5
    expected = base + slope_x * columns[None, :] + slope_y * rows[:, None]
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_beyond_the_grid_its_edge_goes_on() -> None:
    answer = torch.arange(GRID, dtype=torch.float32).expand(GRID, GRID).contiguous()
    found = paste_back(answer, Window(10, 10, 10 + SIDE, 10 + SIDE), (0, 10, 290, 14))
    assert (found[:, :11] == 0).all()
    torch.testing.assert_close(found[:, 266:], torch.full((4, 24), GRID - 1.0))
    torch.testing.assert_close(found[0, 10:266:2], torch.arange(128, dtype=torch.float32))


def test_a_single_precision_answer_stays_one() -> None:
    assert paste_back(torch.zeros(GRID, GRID), Window(0, 0, 9, 9), (2, 3, 7, 4)).dtype == torch.float32
