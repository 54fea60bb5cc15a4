"""Masks cleaned of specks and pinholes, against floods pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxseg.formats.components import clean_mask, connected_regions, fill_holes, split_regions
from random_masks import masks
from slow_regions import filled, flood

shares = st.sampled_from([0.0, 0.02, 0.1, 0.3, 0.5, 1.0])
holes = shares | st.just(math.inf)


def cleaned(mask: np.ndarray, smallest: float, hole: float) -> np.ndarray:
    """By the definition: as long as there is one, remove the small regions, and fill the small holes."""
    while True:
        before = mask.copy()
        regions = flood(mask, corners=True)
        sizes = [int((regions == number).sum()) for number in range(1, regions.max(initial=0) + 1)]
        for number, size in enumerate(sizes, start=1):
            if size < smallest * sum(sizes) and number != sizes.index(max(sizes)) + 1:
                mask = mask & (regions != number)
        regions = flood(np.pad(~mask, 1, constant_values=True), corners=True)
        area = mask.sum()
        for number in range(1, regions.max() + 1):
            inside = (regions == number)[1:-1, 1:-1]
            if number != regions[0, 0] and area > 0 and inside.sum() <= hole * area and hole > 0:
                mask = mask | inside
        if np.array_equal(mask, before):
            return mask


@settings(max_examples=200)
@given(masks(), shares, holes)
def test_masks_are_cleaned_by_the_definition(mask: np.ndarray, smallest: float, hole: float) -> None:
    before = mask.copy()
    found = clean_mask(mask, smallest, hole)
    assert np.array_equal(found, cleaned(mask, smallest, hole))
    assert np.array_equal(mask, before)
    assert found.any() == mask.any()
    assert np.array_equal(clean_mask(found, smallest, hole), found)
    # The largest region stays whole.
    regions, count = connected_regions(mask)
    if count:
        assert found[regions == np.bincount(regions[mask]).argmax()].all()


@settings(max_examples=100)
@given(masks())
def test_the_widest_limits_leave_one_region_without_holes_or_change_nothing(mask: np.ndarray) -> None:
    assert np.array_equal(clean_mask(mask, 0, 0), mask)
    whole = clean_mask(mask, 1, math.inf)
    assert connected_regions(whole)[1] == int(mask.any())
    assert np.array_equal(fill_holes(whole), whole)
    assert np.array_equal(clean_mask(mask, 0, math.inf), filled(mask))


@settings(max_examples=100)
@given(masks())
def test_windows_of_regions_are_tight_and_make_up_the_mask(mask: np.ndarray) -> None:
    numbers = np.zeros(mask.shape, dtype=int)
    for number, (part, left, top) in enumerate(split_regions(mask), start=1):
        assert part[0].any()
        assert part[-1].any()
        assert part[:, 0].any()
        assert part[:, -1].any()
        numbers[top : top + part.shape[0], left : left + part.shape[1]][part] = number
    assert np.array_equal(numbers, flood(mask, corners=True))


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (1, 1)])
def test_masks_without_pixels(shape: tuple[int, int]) -> None:
    mask = np.zeros(shape, dtype=bool)
    assert clean_mask(mask, 0.5, 0.5).shape == shape
    assert split_regions(mask) == []
