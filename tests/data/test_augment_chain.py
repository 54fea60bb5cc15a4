"""The whole chain from photo to crop, against a slow one that follows the definitions step by step."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from boxseg.config import Augment
from boxseg.data.transforms import MEAN_COLOUR, Item, augment

Array = NDArray[np.float64]


def triangle_weights(side: int, scaled: int) -> Array:
    """(scaled, side): the share of each source pixel in each pixel of a resized line.

    A triangle around the pixel's centre reaches one pixel of the source to each side, or of the result where
    that is the coarser: bilinear when enlarging, antialiased when shrinking.
    """
    ratio = side / scaled
    reach = max(1.0, ratio)
    centres = (np.arange(scaled)[:, None] + 0.5) * ratio
    weights = np.maximum(0, 1 - np.abs(np.arange(side) + 0.5 - centres) / reach)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def grey(colours: Array) -> Array:
    return np.asarray(0.299 * colours[..., 0] + 0.587 * colours[..., 1] + 0.114 * colours[..., 2])


def changed_colours(crop: Array, factors: Array, order: NDArray[np.int64]) -> Array:
    """Brightness, contrast and saturation in any order, clipped after each but never rounded."""
    for step in order:
        origin = (0.0, grey(crop).mean(), grey(crop)[..., None])[step]
        crop = np.clip(origin + factors[step] * (crop - origin), 0, 255)
    return crop


def slowly(
    image: NDArray[np.uint8], boxes: Array, mask: NDArray[np.uint8], options: Augment, rng: np.random.Generator
) -> tuple[Array, Array, NDArray[np.uint8]]:
    """Resize all, pad all, cut the crop out, mirror it, colour it; every map pixel by pixel."""
    height, width, _ = image.shape
    scale = rng.uniform(*options.scale)
    across, down = max(1, round(width * scale)), max(1, round(height * scale))
    side = options.crop
    left, top = (int(rng.random() * (max(0, length - side) + 1)) for length in (across, down))
    mirrored = rng.random() < options.flip
    factors = rng.uniform(1 - options.jitter, 1 + options.jitter, size=3)
    order = rng.permutation(3)

    whole = np.einsum(
        "yi,xj,ijc->yxc", triangle_weights(height, down), triangle_weights(width, across), image, optimize=True
    )
    colours = np.empty((max(down, side), max(across, side), 3))
    colours[:] = MEAN_COLOUR
    colours[:down, :across] = whole
    labels = np.full(colours.shape[:2], 255, np.uint8)
    rows = [floor((Fraction(row) + Fraction(1, 2)) * height / down) for row in range(down)]
    columns = [floor((Fraction(column) + Fraction(1, 2)) * width / across) for column in range(across)]
    labels[:down, :across] = mask[np.ix_(rows, columns)]

    crop = colours[top : top + side, left : left + side]
    labels = labels[top : top + side, left : left + side]
    kept = []
    for x1, y1, x2, y2 in boxes:
        x1, x2 = (np.clip(x * across / width - left, 0, side) for x in (x1, x2))
        y1, y2 = (np.clip(y * down / height - top, 0, side) for y in (y1, y2))
        if x1 < x2 and y1 < y2:
            kept.append((side - x2, y1, side - x1, y2) if mirrored else (x1, y1, x2, y2))
    if mirrored:
        crop, labels = crop[:, ::-1], labels[:, ::-1]
    if options.jitter:
        crop = changed_colours(crop, factors, order)
    return crop, np.array(kept).reshape(-1, 4), labels


@settings(max_examples=60)
@given(
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
    st.integers(16, 60),
    st.tuples(st.floats(0.2, 1), st.floats(1, 2.5)),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([0.0, 0.3, 0.5]),
    st.integers(0, 999),
)
def test_the_crop_is_what_the_definitions_give(
    size: tuple[int, int], crop: int, scale: tuple[float, float], flip: float, jitter: float, seed: int
) -> None:
    width, height = size
    draws = np.random.default_rng(seed)
    # Between noise and an even grey, so that colours clip in some photos and not in others.
    image = (128 + draws.uniform(0, 1) * draws.uniform(-128, 127, (height, width, 3))).astype(np.uint8)
    corners = np.sort(draws.uniform(0, 1, (4, 2, 2)), axis=1) * size
    boxes = corners.reshape(4, 4)
    mask = draws.integers(0, 20, (height, width), np.uint8)
    options = Augment(crop=crop, scale=scale, flip=flip, jitter=jitter)

    item = Item.of(Image.fromarray(image), boxes, np.arange(1, 5), {"mask": mask})
    seen = augment(item, options, np.random.default_rng([seed, 7]))
    expected, kept, labels = slowly(image, boxes, mask, options, np.random.default_rng([seed, 7]))

    np.testing.assert_array_equal(seen.maps["mask"], labels)
    np.testing.assert_array_equal(seen.valid, labels != 255)
    np.testing.assert_allclose(seen.boxes, kept, atol=1e-9)
    # Resizing rounds twice, by half a level each; so does each change of colours, and each stretches what was
    # there before by up to half as much again.
    difference = np.abs(np.asarray(seen.image) - expected)
    assert difference.max() <= (1.01 if jitter == 0 else 7)
    assert difference.mean() <= (0.5 if jitter == 0 else 1.0)
