"""Outlines and regions against slow references, and outlines painted again by COCO's own code."""

from __future__ import annotations

import numpy as np
from faster_coco_eval.core import mask as coco_mask
from hypothesis import given, settings
from hypothesis import strategies as st

from boxseg.formats.contours import area, connected_regions, join_rings, outlines, trace_rings
from slow_regions import filled, flood


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


@settings(max_examples=150)
@given(masks())
def test_rings_bound_the_mask(mask: np.ndarray) -> None:
    rings = trace_rings(mask)
    assert sum(area(ring) for ring in rings) == mask.sum()
    apart = flood(mask, corners=False)
    assert sum(area(ring) > 0 for ring in rings) == apart.max(initial=0)
    for ring in rings:
        sides = np.roll(ring, -1, axis=0) - ring
        assert ((sides == 0).sum(axis=1) == 1).all()  # along one axis each
        assert ((sides[:, 0] == 0) != (np.roll(sides, 1, axis=0)[:, 0] == 0)).all()  # every corner turns
    # The length of all boundaries: sides of pixels with the mask on one side only.
    padded = np.pad(mask, 1).astype(int)
    length = np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum()
    assert sum(np.abs(np.roll(ring, -1, axis=0) - ring).sum() for ring in rings) == length


@settings(max_examples=150)
@given(masks())
def test_outlines_painted_again_are_the_mask_with_its_holes_filled(mask: np.ndarray) -> None:
    found = outlines(mask)
    assert np.array_equal(paint(found, mask.shape), filled(mask))
    assert [area(ring) for ring in found] == sorted((area(ring) for ring in found), reverse=True)


@settings(max_examples=150)
@given(masks())
def test_parts_joined_by_bridges_paint_the_same(mask: np.ndarray) -> None:
    parts = outlines(mask)
    if not parts:
        return
    ring = join_rings(parts)
    assert len(ring) == sum(map(len, parts)) + 2 * (len(parts) - 1)
    assert area(ring) == sum(map(area, parts))
    assert np.array_equal(paint([ring], mask.shape), filled(mask))


@settings(max_examples=150)
@given(masks())
def test_regions_are_those_of_a_flood(mask: np.ndarray) -> None:
    regions, count = connected_regions(mask)
    assert np.array_equal(regions, flood(mask, corners=True))
    assert count == regions.max(initial=0)


def test_bridges_are_the_shortest() -> None:
    mask = np.zeros((3, 20), dtype=bool)
    mask[:, :4] = mask[:, 6:9] = mask[:, 15:18] = True
    ring = join_rings(outlines(mask))
    length = np.abs(np.roll(ring, -1, axis=0) - ring).sum()
    assert length == 14 + 12 + 12 + 2 * (2 + 6)
