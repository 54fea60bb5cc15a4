from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxseg.formats.boxes import judge_boxes, touched_pixels

WIDTH, HEIGHT = 40, 30


@pytest.mark.parametrize(
    ("box", "action", "kind"),
    [
        ((0, 0, 40, 30), None, None),
        ((39, 29, 40, 30), None, None),
        ((5.5, 5.5, 6.5, 6.5), None, None),
        ((-0.4, 0, 40.4, 30), None, None),  # rounding of normalised coordinates
        ((-1, 0, 20, 20), "clipped", "box sticks out of the photo"),
        ((-500, -500, 500, 500), "clipped", "box sticks out of the photo"),
        ((40, 0, 60, 20), "dropped", "box is outside the photo"),
        ((-9, -9, 0, 0), "dropped", "box is outside the photo"),
        ((10, 10, 10, 20), "dropped", "box is empty or inverted"),
        ((20, 10, 10, 20), "dropped", "box is empty or inverted"),
        ((39.5, 0, 60, 20), "dropped", "box is narrower than 1 pixel"),
        ((10, 10, 10.9, 20), "dropped", "box is narrower than 1 pixel"),
        ((float("nan"), 0, 5, 5), "skipped", "box is not a number"),
        ((0, 0, float("inf"), 5), "skipped", "box is not a number"),
    ],
)
def test_rules(box, action, kind) -> None:
    fine = (1.0, 2.0, 3.0, 4.0)
    clipped, keep, verdicts = judge_boxes(np.array([fine, box]), WIDTH, HEIGHT)
    assert keep.tolist() == [True, action in (None, "clipped")]
    assert tuple(clipped[0]) == fine
    assert [(v.index, v.kind, v.action) for v in verdicts] == ([(1, kind, action)] if action else [])


def test_pixels_that_a_box_touches() -> None:
    boxes = [
        (3.2, 4.9, 5.1, 6.0),
        (20, 10, 10, 20),
        (7, 8, 7, 8.5),
        (-5, -5, 1.5, 1),
        (40, 0, 60, 9),
        (-9, 3, 0, 4),
    ]
    expected = [(3, 4, 6, 6), (10, 10, 20, 20), (7, 8, 8, 9), (0, 0, 2, 1), (40, 0, 40, 9), (0, 3, 0, 4)]
    assert touched_pixels(np.array(boxes), WIDTH, HEIGHT).tolist() == [list(box) for box in expected]


NUMBERS = st.floats(-200, 200) | st.sampled_from([float("nan"), float("inf"), -float("inf"), 0.0, 30.0, 40.0])


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), max_size=5))
def test_whatever_comes_kept_boxes_are_usable(boxes) -> None:
    clipped, keep, verdicts = judge_boxes(np.array(boxes, dtype=np.float64), WIDTH, HEIGHT)
    kept = clipped[keep]
    assert (kept[:, 2:] - kept[:, :2] >= 0.99).all()
    assert (kept >= 0).all()
    assert (kept <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all()
    # Nothing goes silently, and nothing is named twice.
    assert sorted(v.index for v in verdicts if v.action != "clipped") == np.flatnonzero(~keep).tolist()
    assert len({v.index for v in verdicts}) == len(verdicts)


PHOTOS = st.tuples(
    st.integers(1, 60), st.integers(1, 60), st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), max_size=3)
)


@given(st.lists(PHOTOS, min_size=1, max_size=4))
def test_boxes_of_several_photos_are_judged_as_those_of_each(photos) -> None:
    every = [(box, width, height) for width, height, boxes in photos for box in boxes]
    boxes = np.array([box for box, _, _ in every], dtype=np.float64).reshape(-1, 4)
    widths, heights = (np.array([entry[place] for entry in every], dtype=np.int64) for place in (1, 2))
    clipped, keep, verdicts = judge_boxes(boxes, widths, heights)
    start = 0
    for width, height, own in photos:
        alone, kept, found = judge_boxes(np.array(own, dtype=np.float64), width, height)
        span = slice(start, start + len(own))
        np.testing.assert_array_equal(clipped[span], alone)
        np.testing.assert_array_equal(keep[span], kept)
        named = [verdict for verdict in verdicts if start <= verdict.index < start + len(own)]
        assert [(v.kind, v.detail, v.action) for v in named] == [(v.kind, v.detail, v.action) for v in found]
        assert [verdict.index - start for verdict in named] == [verdict.index for verdict in found]
        start += len(own)
