"""Painted ground truth against masks of single objects, decoded one by one and laid over each other."""

from __future__ import annotations

import numpy as np
from faster_coco_eval.core import mask as coco_mask
from hypothesis import given
from hypothesis import strategies as st

from boxseg.dataset import IGNORE
from boxseg.formats.regions import RegionMask

SIDES = st.integers(2, 24)  # a photo of one pixel refuses corners that lie 20 away


@st.composite
def polygons(draw: st.DrawFn) -> list[list[float]]:
    corners = draw(st.lists(st.tuples(st.floats(-5, 30), st.floats(-5, 30)), min_size=3, max_size=7))
    return [[value for corner in corners for value in corner]]


@given(SIDES, SIDES, st.lists(st.tuples(polygons(), st.integers(1, 9) | st.just(IGNORE)), max_size=5))
def test_smaller_objects_lie_on_larger_ones_and_all_on_crowds(
    width: int, height: int, objects: list[tuple[list[list[float]], int]]
) -> None:
    regions, labels = tuple(region for region, _ in objects), tuple(label for _, label in objects)
    masks = [
        coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(region, height, width))) for region in regions
    ]
    expected = np.zeros((height, width), np.uint8)
    for row, column in np.ndindex(height, width):
        here = [k for k in range(len(objects)) if masks[k][row, column]]
        if here:
            top = min(here, key=lambda k: (labels[k] == IGNORE, masks[k].sum(), -labels[k]))
            expected[row, column] = labels[top]
    painted = RegionMask(regions, labels, "here", width, height)()
    assert painted.dtype == np.uint8
    assert painted.flags.c_contiguous
    np.testing.assert_array_equal(painted, expected)


def test_codes_of_nothing_and_of_everything() -> None:
    codes = tuple({"size": [3, 4], "counts": counts} for counts in ([12], [0, 12]))
    np.testing.assert_array_equal(RegionMask(codes[:1], (5,), "here", 4, 3)(), np.zeros((3, 4)))
    np.testing.assert_array_equal(RegionMask(codes, (5, 6), "here", 4, 3)(), np.full((3, 4), 6))
