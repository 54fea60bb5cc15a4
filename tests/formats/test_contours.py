"""Outlines and regions against slow references, and outlines painted again by COCO's own code."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from boxseg.formats.components import connected_regions
from boxseg.formats.contours import area, outlines, trace_rings
from random_masks import masks, paint
from slow_regions import filled, flood


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
def test_regions_are_those_of_a_flood(mask: np.ndarray) -> None:
    regions, count = connected_regions(mask)
    assert np.array_equal(regions, flood(mask, corners=True))
    assert count == regions.max(initial=0)
