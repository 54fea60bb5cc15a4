"""Simplified outlines against Douglas and Peucker's recursion, and what is painted of them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxseg.formats.contours import area, trace_rings
from boxseg.formats.simplify import mask_polygons, simplify_rings
from random_masks import masks, paint

tolerances = st.sampled_from([0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 6.0])


def distance(point: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
    """From a point to the straight line between two others, as far as it reaches."""
    line = end - start
    length = float(line @ line)
    share = min(1.0, max(0.0, float((point - start) @ line) / length)) if length else 0.0
    return float(np.hypot(*(point - start - share * line)))


Point = tuple[int, int]


def exact_square(point: Point, start: Point, end: Point) -> Fraction:
    """The square of that distance, without rounding: which of two corners stays may hang on it."""
    line = end[0] - start[0], end[1] - start[1]
    length = line[0] ** 2 + line[1] ** 2
    along = (point[0] - start[0]) * line[0] + (point[1] - start[1]) * line[1]
    share = min(Fraction(1), max(Fraction(0), Fraction(along, length))) if length else Fraction(0)
    return sum((p - s - share * d) ** 2 for p, s, d in zip(point, start, line, strict=True))


def recursion(points: list[Point], tolerance: float) -> list[Point]:
    """Douglas and Peucker's, on an open line."""
    gaps = [exact_square(point, points[0], points[-1]) for point in points[1:-1]]
    if not gaps or max(gaps) <= Fraction(tolerance) ** 2:
        return [points[0], points[-1]]
    place = gaps.index(max(gaps)) + 1
    return recursion(points[: place + 1], tolerance)[:-1] + recursion(points[place:], tolerance)


def simplified(ring: np.ndarray, tolerance: float) -> np.ndarray:
    closed = [(x, y) for x, y in [*ring.tolist(), ring[0].tolist()]]
    simple = np.array(recursion(closed, tolerance)[:-1])
    return simple if area(simple) * area(ring) > 0 else ring


def to_ring(point: np.ndarray, ring: np.ndarray) -> float:
    return min(distance(point, *side) for side in zip(ring, np.roll(ring, -1, axis=0), strict=True))


@settings(max_examples=150)
@given(masks(most=16), tolerances)
def test_rings_are_those_of_the_recursion_and_within_the_tolerance(mask: np.ndarray, tolerance: float) -> None:
    rings = trace_rings(mask)
    found = simplify_rings(rings, tolerance)
    for ring, simple in zip(rings, found, strict=True):
        assert len(simple) >= 3
        assert area(ring) * area(simple) > 0  # parts stay parts, and holes stay holes
        assert max(to_ring(point, simple.astype(float)) for point in ring.astype(float)) <= tolerance + 1e-9
        assert np.array_equal(simple, simplified(ring, tolerance))
    for ring, again in zip(rings, simplify_rings(rings, 0), strict=True):
        assert np.array_equal(ring, again)


@settings(max_examples=150)
@given(masks())
def test_polygons_without_a_tolerance_paint_exactly_the_mask(mask: np.ndarray) -> None:
    assert np.array_equal(paint(mask_polygons(mask), mask.shape), mask)


@settings(max_examples=100)
@given(masks(most=16), tolerances)
def test_only_pixels_near_the_boundary_change(mask: np.ndarray, tolerance: float) -> None:
    polygons = mask_polygons(mask, tolerance)
    rings = trace_rings(mask)
    for row, column in np.argwhere(paint(polygons, mask.shape) != mask):
        centre = np.array([column + 0.5, row + 0.5])
        # COCO's painter rounds to a fifth of a pixel.
        assert min(to_ring(centre, ring.astype(float)) for ring in rings) <= tolerance + 0.3


@pytest.mark.parametrize("tolerance", [0.0, 1.0])
def test_a_ring_keeps_its_hole(tolerance: float) -> None:
    rows, columns = np.mgrid[:80, :80]
    radius = np.hypot(rows - 39.5, columns - 39.5)
    mask = (radius < 35) & (radius > 15)
    (polygon,) = mask_polygons(mask, tolerance)
    painted = paint([polygon], mask.shape)
    assert not painted[30:50, 30:50].any()
    assert (painted & mask).sum() / (painted | mask).sum() > 0.97
    assert len(polygon) < (60 if tolerance else 600)


def test_of_equally_far_corners_the_first_stays() -> None:
    ring = np.array([[0, 2], [1, 2], [1, 3], [2, 3], [2, 4], [3, 4], [3, 5], [1, 5], [1, 4], [0, 4]])
    (simple,) = simplify_rings([ring], 0.5)
    assert np.array_equal(simple, simplified(ring, 0.5))


def test_nothing_to_simplify() -> None:
    assert simplify_rings([], 1.0) == []
    assert mask_polygons(np.zeros((3, 4), dtype=bool), 1.0) == []
