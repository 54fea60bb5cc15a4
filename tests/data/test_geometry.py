from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from boxseg.data.geometry import background_map, whole_box_labels
from boxseg.formats.boxes import clip_boxes, pixel_ranges

HEIGHT, WIDTH = 7, 9


@st.composite
def scenes(draw: st.DrawFn, inside: bool = False) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Boxes on a small image, at quarters of a pixel so that ties and shared edges are common."""
    margin = 0 if inside else 3
    boxes = []
    for _ in range(draw(st.integers(0, 4))):
        x = sorted(
            draw(st.lists(st.integers(-4 * margin, 4 * (WIDTH + margin)), min_size=2, max_size=2, unique=True))
        )
        y = sorted(
            draw(st.lists(st.integers(-4 * margin, 4 * (HEIGHT + margin)), min_size=2, max_size=2, unique=True))
        )
        boxes.append([x[0] / 4, y[0] / 4, x[1] / 4, y[1] / 4])
    labels = draw(st.lists(st.integers(1, 3), min_size=len(boxes), max_size=len(boxes)))
    return np.array(boxes, dtype=np.float64).reshape(-1, 4), np.array(labels, dtype=np.int64)


def holds(box: NDArray[np.float64], x: int, y: int) -> bool:
    """Whether the centre of a pixel is in a half-open box."""
    return bool(box[0] <= x + 0.5 < box[2] and box[1] <= y + 0.5 < box[3])


@given(scenes())
def test_background_map_equals_per_pixel_reference(scene) -> None:
    boxes, _ = scene
    background = background_map(boxes, HEIGHT, WIDTH)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            assert background[y, x] == (not any(holds(box, x, y) for box in boxes))


@given(scenes())
def test_whole_box_labels_equal_per_pixel_reference(scene) -> None:
    boxes, labels = scene
    result = whole_box_labels(boxes, labels, HEIGHT, WIDTH)
    assert result.dtype == np.uint8
    for y in range(HEIGHT):
        for x in range(WIDTH):
            holding = [
                ((box[2] - box[0]) * (box[3] - box[1]), label)
                for box, label in zip(boxes, labels, strict=True)
                if holds(box, x, y)
            ]
            assert result[y, x] == (min(holding)[1] if holding else 0)


@given(scenes(), st.randoms(use_true_random=False))
def test_order_of_boxes_does_not_matter(scene, random) -> None:
    boxes, labels = scene
    order = list(range(len(labels)))
    random.shuffle(order)
    shuffled = whole_box_labels(boxes[order], labels[order], HEIGHT, WIDTH)
    assert np.array_equal(whole_box_labels(boxes, labels, HEIGHT, WIDTH), shuffled)


@given(scenes(inside=True))
def test_mirrored_boxes_give_mirrored_pixels(scene) -> None:
    boxes, _ = scene
    # A centre on an edge belongs to the box on its right, and after mirroring to the one on its left.
    boxes = boxes[((boxes - 0.5) % 1 != 0).all(axis=1)]
    mirrored = np.stack([WIDTH - boxes[:, 2], boxes[:, 1], WIDTH - boxes[:, 0], boxes[:, 3]], axis=1)
    expected = background_map(boxes, HEIGHT, WIDTH)[:, ::-1]
    assert np.array_equal(background_map(mirrored, HEIGHT, WIDTH), expected)


@given(scenes())
def test_clip_keeps_what_is_inside_and_is_idempotent(scene) -> None:
    boxes, _ = scene
    before = boxes.copy()
    clipped = clip_boxes(boxes, WIDTH, HEIGHT)
    assert np.array_equal(boxes, before)
    assert (clipped >= 0).all()
    assert (clipped <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all()
    assert np.array_equal(clip_boxes(clipped, WIDTH, HEIGHT), clipped)
    assert np.array_equal(background_map(clipped, HEIGHT, WIDTH), background_map(boxes, HEIGHT, WIDTH))


@given(st.floats(0, WIDTH - 1), st.floats(0, HEIGHT - 1))
def test_box_of_one_pixel_side_has_one_pixel(x: float, y: float) -> None:
    x1, y1, x2, y2 = pixel_ranges(np.array([[x, y, x + 1, y + 1]]), HEIGHT, WIDTH)[0]
    # x + 1 rounds to a neighbouring float now and then, which can move an edge across a centre.
    if (x + 1) - x == 1 and (y + 1) - y == 1:
        assert (x2 - x1, y2 - y1) == (1, 1)


def test_whole_image_and_no_box() -> None:
    whole = np.array([[0.0, 0.0, WIDTH, HEIGHT]])
    none = np.zeros((0, 4))
    assert not background_map(whole, HEIGHT, WIDTH).any()
    assert background_map(none, HEIGHT, WIDTH).all()
    assert (whole_box_labels(whole, np.array([3]), HEIGHT, WIDTH) == 3).all()


def test_labels_must_fit_boxes() -> None:
    with pytest.raises(ValueError, match=r"expected \(2, 4\) for 2 labels, got \(1, 4\)"):
        whole_box_labels(np.zeros((1, 4)), np.array([1, 2]), HEIGHT, WIDTH)
