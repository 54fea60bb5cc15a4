"""Windows over a photo beside the photo as a whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from boxseg.inference.windows import SIDE, STEP, blended, window_side


def together(photo: NDArray[np.uint8], side: int, compute) -> NDArray[np.float32]:  # type: ignore[no-untyped-def]
    strips = list(blended(photo, side, compute))
    assert [row for rows, _ in strips for row in range(photo.shape[0])[rows]] == list(range(photo.shape[0]))
    assert all(scores.shape[1:] == (rows.stop - rows.start, photo.shape[1]) for rows, scores in strips)
    return np.concatenate([scores for _, scores in strips], axis=1)


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(max_examples=60)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(64, 200))
def test_what_depends_on_the_pixel_alone_is_that_of_the_whole_photo(height: int, width: int, side: int) -> None:
    photo = noise(height, width)
    shapes = []

    def compute(window: NDArray[np.uint8]) -> NDArray[np.float32]:
        shapes.append(window.shape[:2])
        return np.moveaxis(window.astype(np.float32), 2, 0)

    found = together(photo, side, compute)
    np.testing.assert_allclose(found, np.moveaxis(photo, 2, 0), rtol=1e-5, atol=1e-3)
    assert max(max(shape) for shape in shapes) < side + STEP
    # Not many more pixels than the photo has, where the windows are not tiny beside their overlap and step.
    if side >= 128:
        covered = sum(h * w for h, w in shapes)
        assert covered <= (2 * height + side) * (2 * width + side)


def test_windows_see_the_grid_of_the_whole_photo_and_pass_over_gradually() -> None:
    photo = np.zeros((100, 1000, 3), dtype=np.uint8)
    photo[..., 0] = np.arange(1000) // 4
    starts = []

    def compute(window: NDArray[np.uint8]) -> NDArray[np.float32]:
        starts.append(4 * int(window[0, 0, 0]))
        return np.full((1, *window.shape[:2]), len(starts) % 2, dtype=np.float32)

    found = together(photo, 256, compute)[0, 0]
    assert starts[0] == 0
    assert all(start % STEP == 0 for start in starts)
    # From 1 to 0 and back, in steps as small as an overlap of 32 pixels or more allows.
    assert (found.min(), found.max()) == (0, 1)
    assert np.abs(np.diff(found)).max() <= 1 / 32


@pytest.mark.parametrize(
    ("size", "tile", "expected"),
    [
        ((100, 100), "auto", None),
        ((1001, 1000), "auto", SIDE),
        ((1, 1_000_000), "auto", None),
        ((100, 100), 64, 64),
        ((64, 10), 64, None),
        ((10, 65), 64, 64),
        ((5000, 5000), 0, None),
    ],
)
def test_when_there_are_windows(size: tuple[int, int], tile, expected: int | None) -> None:  # type: ignore[no-untyped-def]
    assert window_side(size, tile, 1_000_000) == expected
