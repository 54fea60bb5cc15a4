"""Colour jitter against its equations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from boxseg.data import colour
from boxseg.data.colour import Jitter, draw_jitter


def noise(seed: int = 0, height: int = 9, width: int = 11) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def jitter_colours(image: NDArray[np.uint8], jitter: Jitter) -> NDArray[np.uint8]:
    """Of arrays (H, W, 3)."""
    return np.asarray(colour.jitter_colours(Image.fromarray(image), jitter))


def grey(colours: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.299 * colours[..., 0] + 0.587 * colours[..., 1] + 0.114 * colours[..., 2]


def by_equation(image: NDArray[np.uint8], jitter: Jitter) -> NDArray[np.float64]:
    """In floating point, clipped but not rounded after each change."""
    colours = image.astype(float)
    for step in jitter.order:
        if step == 0:
            colours = jitter.brightness * colours
        elif step == 1:
            mean = grey(colours).mean()
            colours = mean + jitter.contrast * (colours - mean)
        else:
            own = grey(colours)[..., None]
            colours = own + jitter.saturation * (colours - own)
        colours = colours.clip(0, 255)
    return colours


factors = st.floats(0, 2)


@given(factors, factors, factors, st.permutations(range(3)), st.integers(0, 9))
def test_colours_follow_the_equations(
    brightness: float, contrast: float, saturation: float, order: list[int], seed: int
) -> None:
    jitter = Jitter(brightness=brightness, contrast=contrast, saturation=saturation, order=tuple(order))
    image = noise(seed)
    before = image.copy()
    changed = jitter_colours(image, jitter)
    assert changed.dtype == np.uint8
    assert changed.shape == image.shape
    # Each change rounds by half a level, and the next one stretches that at most twofold.
    np.testing.assert_allclose(changed, by_equation(image, jitter), atol=4.5)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
@pytest.mark.parametrize("factor", [0.0, 0.5, 0.93, 1.5, 2.0])
def test_each_change_alone_is_right_to_a_level(name: str, factor: float) -> None:
    jitter = Jitter(**{name: factor})
    np.testing.assert_allclose(jitter_colours(noise(), jitter), by_equation(noise(), jitter), atol=1.01)


def test_factors_of_one_change_nothing() -> None:
    for order in itertools.permutations(range(3)):
        np.testing.assert_array_equal(jitter_colours(noise(), Jitter(order=order)), noise())


def test_the_extremes_are_black_even_and_grey() -> None:
    assert (jitter_colours(noise(), Jitter(brightness=0)) == 0).all()
    assert len(np.unique(jitter_colours(noise(), Jitter(contrast=0)))) == 1
    colourless = jitter_colours(noise(), Jitter(saturation=0)).astype(int)
    assert np.ptp(colourless, axis=2).max() == 0


def test_the_order_counts_where_colours_clip() -> None:
    bright_first = jitter_colours(noise(), Jitter(brightness=2, contrast=0.5, order=(0, 1, 2)))
    bright_last = jitter_colours(noise(), Jitter(brightness=2, contrast=0.5, order=(1, 0, 2)))
    assert (bright_first != bright_last).any()


def test_draws_stay_within_the_strength_and_reach_every_order() -> None:
    rng = np.random.default_rng(0)
    draws = [draw_jitter(0.5, rng) for _ in range(300)]
    for name in ("brightness", "contrast", "saturation"):
        values = [getattr(jitter, name) for jitter in draws]
        assert 0.5 <= min(values) < 0.52
        assert 1.48 < max(values) <= 1.5
    assert len({jitter.order for jitter in draws}) == 6
    assert all(draw_jitter(3.0, rng).contrast >= 0 for _ in range(50))
