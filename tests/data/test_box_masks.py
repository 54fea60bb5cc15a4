"""Masks of single boxes: the ellipse as it is defined, and what is painted of masks that overlap."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from boxseg.data.box_masks import Window, ellipse_mask, object_windows, paint_masks, whole_mask
from boxseg.data.geometry import whole_box_labels
from boxseg.formats.boxes import pixel_ranges

HEIGHT, WIDTH = 40, 50


def window_of(box: NDArray[np.float64], height: int = HEIGHT, width: int = WIDTH) -> Window:
    left, top, right, bottom = pixel_ranges(box[None], height, width)[0].tolist()
    return left, top, right, bottom


def slow_ellipse(box: NDArray[np.float64], window: Window) -> NDArray[np.bool_]:
    """Pixel by pixel, in exact fractions; where no centre is inside, those of the smallest distance."""
    x1, y1, x2, y2 = map(Fraction, box.tolist())
    left, top, right, bottom = window
    distance = {
        (row - top, column - left): ((column + Fraction(1, 2) - (x1 + x2) / 2) / ((x2 - x1) / 2)) ** 2
        + ((row + Fraction(1, 2) - (y1 + y2) / 2) / ((y2 - y1) / 2)) ** 2
        for row in range(top, bottom)
        for column in range(left, right)
    }
    limit = max(Fraction(1), min(distance.values()))
    mask = np.zeros((bottom - top, right - left), dtype=bool)
    for place, value in distance.items():
        mask[place] = value <= limit
    return mask


@st.composite
def boxes(draw: st.DrawFn, part: int = 4) -> NDArray[np.float64]:
    """A box in the photo, a pixel a side or more, its corners at multiples of 1 / part pixel."""
    sides = []
    for limit in (WIDTH, HEIGHT):
        first = draw(st.integers(0, part * (limit - 1)))
        sides.append((first / part, draw(st.integers(first + part, part * limit)) / part))
    (x1, x2), (y1, y2) = sides
    return np.array([x1, y1, x2, y2])


@given(boxes())
def test_an_ellipse_is_what_its_equation_says(box: NDArray[np.float64]) -> None:
    window = window_of(box)
    np.testing.assert_array_equal(ellipse_mask(box, window), slow_ellipse(box, window))


@given(boxes())
def test_no_box_is_left_without_its_object(box: NDArray[np.float64]) -> None:
    assert ellipse_mask(box, window_of(box)).any()


@given(boxes(part=1))
def test_an_ellipse_in_whole_pixels_is_its_own_mirror_image(box: NDArray[np.float64]) -> None:
    mask = ellipse_mask(box, window_of(box))
    np.testing.assert_array_equal(mask, mask[::-1])
    np.testing.assert_array_equal(mask, mask[:, ::-1])
    np.testing.assert_array_equal(
        mask.T, ellipse_mask(box[[1, 0, 3, 2]], window_of(box[[1, 0, 3, 2]], WIDTH, HEIGHT))
    )
    # It touches the sides of the box: in their middle, at the latest a pixel further in.
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    for found, side in ((rows, mask.shape[0]), (columns, mask.shape[1])):
        assert found[0] <= 1 + side / 16
        assert found[-1] == side - 1 - found[0]


def test_the_smallest_boxes() -> None:
    def pixels(across: int, down: int) -> int:
        box = np.array([3.0, 4, 3 + across, 4 + down])
        return int(ellipse_mask(box, window_of(box)).sum())

    # Up to three pixels a side all centres are inside; of four by four, all but the corners.
    assert [pixels(1, 1), pixels(3, 1), pixels(1, 5), pixels(2, 2), pixels(3, 3)] == [1, 3, 5, 4, 9]
    assert pixels(4, 4) == 12


def test_an_ellipse_fills_a_quarter_pi_of_its_box() -> None:
    for side in (50, 200, 800):
        box = np.array([0.0, 0, side, side / 2])
        share = ellipse_mask(box, (0, 0, side, side // 2)).mean()
        assert share == pytest.approx(math.pi / 4, abs=1 / side)


def test_a_box_between_pixel_centres_has_no_pixel() -> None:
    box = np.array([3.505, 2, 4.495, 8])
    assert window_of(box)[0] == window_of(box)[2]
    assert ellipse_mask(box, window_of(box)).size == 0


@st.composite
def any_boxes(draw: st.DrawFn) -> NDArray[np.float64]:
    """A box in the photo of any size, however thin, its corners at multiples of an eighth of a pixel."""
    sides = []
    for limit in (WIDTH, HEIGHT):
        first = draw(st.integers(0, 8 * limit - 1))
        sides.append((first / 8, min(first + draw(st.integers(1, 20)), 8 * limit) / 8))
    (x1, x2), (y1, y2) = sides
    return np.array([x1, y1, x2, y2])


@given(any_boxes())
def test_every_object_has_a_pixel(box: NDArray[np.float64]) -> None:
    """The pixels with their centre in the box; along a side without one, that in which its middle is."""
    (window,) = object_windows(box[None], HEIGHT, WIDTH)
    for side, limit in ((0, WIDTH), (1, HEIGHT)):
        low, high = box[side], box[side + 2]
        centres = [place for place in range(limit) if low <= place + 0.5 < high]
        middle = [place for place in range(limit) if place <= (low + high) / 2 < place + 1]
        assert list(range(window[side], window[side + 2])) == (centres or middle)


@given(st.lists(boxes(), max_size=5), st.randoms(use_true_random=False))
def test_the_smallest_object_is_on_top(found: list[NDArray[np.float64]], random) -> None:
    labels = np.array([random.randint(1, 9) for _ in found], dtype=np.int64)
    together = np.array(found).reshape(-1, 4)
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    areas = (together[:, 2:] - together[:, :2]).prod(axis=1)
    for y, x in np.ndindex(HEIGHT, WIDTH):
        owners = []
        for box, area, label in zip(found, areas.tolist(), labels.tolist(), strict=True):
            left, top, right, bottom = window_of(box)
            if left <= x < right and top <= y < bottom and ellipse_mask(box, window_of(box))[y - top, x - left]:
                owners.append((area, label))
        expected[y, x] = min(owners)[1] if owners else 0
    masks = [ellipse_mask(box, window_of(box)) for box in found]
    np.testing.assert_array_equal(paint_masks(together, labels, (HEIGHT, WIDTH), masks), expected)


@given(st.lists(boxes(), max_size=6), st.randoms(use_true_random=False))
def test_whole_masks_paint_whole_boxes(found: list[NDArray[np.float64]], random) -> None:
    labels = np.array([random.randint(1, 9) for _ in found], dtype=np.int64)
    together = np.array(found).reshape(-1, 4)
    np.testing.assert_array_equal(
        paint_masks(together, labels, (HEIGHT, WIDTH), [whole_mask(box, window_of(box)) for box in found]),
        whole_box_labels(together, labels, HEIGHT, WIDTH),
    )
