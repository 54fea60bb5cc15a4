"""Masks for properties, and polygons painted by COCO's own code."""

from __future__ import annotations

import numpy as np
from faster_coco_eval.core import mask as coco_mask
from hypothesis import strategies as st


@st.composite
def masks(draw: st.DrawFn, most: int = 12) -> np.ndarray:
    """Noise, and what blocks painted on and cut out leave."""
    height, width = draw(st.integers(1, most)), draw(st.integers(1, most))
    if draw(st.booleans()):
        bits = draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
        return np.array(bits).reshape(height, width)
    mask = np.zeros((height, width), dtype=bool)
    for value in draw(st.lists(st.booleans(), max_size=5)):
        top, left = draw(st.integers(0, height)), draw(st.integers(0, width))
        mask[top : draw(st.integers(top, height)), left : draw(st.integers(left, width))] = value
    return mask


def paint(polygons: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    height, width = shape
    if not polygons:
        return np.zeros(shape, dtype=bool)
    codes = coco_mask.frPyObjects([ring.ravel().astype(float).tolist() for ring in polygons], height, width)
    return coco_mask.decode(coco_mask.merge(codes)).astype(bool)
