"""Bridges between rings against a shortest spanning tree that looks at every pair of corners."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxseg.formats.bridges import join_rings
from boxseg.formats.contours import area, outlines, trace_rings
from random_masks import masks, paint
from slow_regions import filled


def perimeter(ring: np.ndarray) -> float:
    return float(np.hypot(*(np.roll(ring, -1, axis=0) - ring).T).sum())


def shortest_tree(rings: list[np.ndarray]) -> float:
    """Length of all bridges: from the first ring on, always to the ring with the nearest corner."""
    joined, rest, length = [rings[0]], list(rings[1:]), 0.0
    while rest:
        gaps = [min(np.hypot(*(p - q)) for known in joined for p in known for q in ring) for ring in rest]
        length += min(gaps)
        joined.append(rest.pop(int(np.argmin(gaps))))
    return length


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


@settings(max_examples=40)
@given(masks(most=16), st.integers(1, 9))
def test_bridges_are_a_shortest_tree(mask: np.ndarray, spread: int) -> None:
    rings = [ring * spread for ring in trace_rings(mask)]  # far apart, too
    if not rings:
        return
    bridges = perimeter(join_rings(rings)) - sum(map(perimeter, rings))
    assert bridges == pytest.approx(2 * shortest_tree(rings), abs=1e-6)


@settings(max_examples=150)
@given(masks())
def test_holes_that_are_joined_stay_holes(mask: np.ndarray) -> None:
    rings = trace_rings(mask)
    if rings:
        assert np.array_equal(paint([join_rings(rings)], mask.shape), mask)


def test_bridges_are_the_shortest() -> None:
    mask = np.zeros((3, 20), dtype=bool)
    mask[:, :4] = mask[:, 6:9] = mask[:, 15:18] = True
    ring = join_rings(outlines(mask))
    length = np.abs(np.roll(ring, -1, axis=0) - ring).sum()
    assert length == 14 + 12 + 12 + 2 * (2 + 6)


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3])
def test_noise_takes_no_square_of_its_parts(share: float) -> None:
    """Thousands of parts; asking every pair of rings for its nearest corners took sixteen times for four."""
    mask = np.random.default_rng(0).random((400, 500)) < share
    spent = []
    for parts in (outlines(mask[:200, :250]), outlines(mask)):
        start = time.process_time()
        ring = join_rings(parts)
        spent.append(time.process_time() - start)
        assert area(ring) == sum(map(area, parts))
    assert spent[1] < 10 * spent[0] + 0.5
