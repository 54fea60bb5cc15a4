"""Colours of the classes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from boxseg.palette import oklab, picture_palette, voc_palette


def test_palette_is_that_of_voc() -> None:
    palette = voc_palette()
    # From the VOC development kit: background, aeroplane, bicycle, tvmonitor, void.
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 20: (0, 64, 128), 255: (224, 224, 192)}
    assert {index: tuple(palette[index]) for index in known} == known
    assert len(np.unique(palette, axis=0)) == 256


def closest(colours: NDArray[np.uint8]) -> float:
    """The smallest distance of two colours in OKLab."""
    places = oklab(colours)
    return min(
        float(np.linalg.norm(places[one] - places[other])) for one in range(len(places)) for other in range(one)
    )


@pytest.mark.parametrize(("classes", "apart"), [(20, 0.13), (80, 0.07), (254, 0.04)])
def test_colours_of_pictures_can_be_told_apart(classes: int, apart: float) -> None:
    """0.02 is about what an eye can see; VOC's colours are 0.03, 0.009 and 0.004 apart."""
    shown = picture_palette()[1 : classes + 1]
    assert closest(shown) > apart > 3 * closest(voc_palette()[1 : classes + 1])


def test_colours_of_pictures_are_neither_dark_nor_pale_nor_grey() -> None:
    palette = picture_palette()
    assert palette.shape == (256, 3)
    assert (tuple(palette[0]), tuple(palette[255])) == ((0, 0, 0), (255, 255, 255))
    lightness, green_red, blue_yellow = oklab(palette[1:255]).T
    assert 0.5 <= lightness.min() < lightness.max() <= 0.9
    assert np.hypot(green_red, blue_yellow).min() >= 0.09
    assert np.array_equal(picture_palette(21), palette[:21])


def test_oklab_of_known_colours() -> None:
    """From the page that defines it: red, and white."""
    found = oklab(np.array([(255, 0, 0), (255, 255, 255), (0, 0, 0)], np.uint8))
    expected = [(0.627955, 0.224863, 0.125846), (1, 0, 0), (0, 0, 0)]
    assert np.allclose(found, expected, atol=1e-5)
