"""A mask for every box: what a method says, or the ellipse where it says nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from boxseg.data.box_masks import ellipse_mask, object_windows
from boxseg.dataset import Sample
from boxseg.formats.box_masks import read_box_masks
from boxseg.labelling.objects import ObjectMask, objects_of_labels, with_fallbacks
from boxseg.nn.pseudo import box_masks
from label_results import piece_path, write_objects

HEIGHT, WIDTH = 30, 40


def sample(boxes: list[tuple[float, float, float, float]]) -> Sample:
    return Sample(
        id="photo",
        image=Path("photo.jpg"),
        width=WIDTH,
        height=HEIGHT,
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        labels=np.ones(len(boxes), dtype=np.int64),
        difficult=np.zeros(len(boxes), dtype=bool),
    )


def mask_of(shape: tuple[int, int], pixels: int) -> NDArray[np.bool_]:
    """The first so many pixels."""
    return (np.arange(shape[0] * shape[1]) < pixels).reshape(shape)


def is_fallback(
    item: ObjectMask, box: tuple[float, float, float, float], window: tuple[int, int, int, int]
) -> bool:
    same = np.array_equal(item.mask, ellipse_mask(np.array(box), window))
    assert (item.source == "fallback") == same == (item.score == 0)
    return same


@pytest.mark.parametrize(
    ("pixels", "falls_back"), [(0, True), (1, True), (3, True), (4, False), (50, False), (200, False)]
)
def test_less_than_a_fiftieth_of_the_box_is_no_answer(pixels: int, falls_back: bool) -> None:
    box = (5, 6, 25, 16)  # 200 pixels
    item = ObjectMask(mask=mask_of((10, 20), pixels), score=0.7, source="network")
    (found,) = with_fallbacks([item], sample([box]))
    assert is_fallback(found, box, (5, 6, 25, 16)) == falls_back
    if not falls_back:
        assert found is item


def test_a_box_of_one_pixel_keeps_it_or_gets_it() -> None:
    boxes = [(7.0, 9.0, 8.0, 10.0), (7.0, 9.0, 8.0, 10.0), (3.6, 4.0, 4.4, 8.0)]  # the last between columns
    windows = object_windows(np.array(boxes), HEIGHT, WIDTH)
    shapes = [(bottom - top, right - left) for left, top, right, bottom in windows]
    full = ObjectMask(mask=np.ones(shapes[0], bool), score=0.4, source="network")
    empty = [ObjectMask(mask=np.zeros(shape, bool), score=0.4, source="network") for shape in shapes[1:]]
    found = with_fallbacks([full, *empty], sample(boxes))
    assert found[0] is full
    for item, shape in zip(found[1:], shapes[1:], strict=True):
        assert item.mask.shape == shape
        assert item.mask.any()
        assert (item.source, item.score) == ("fallback", 0.0)


def test_the_order_of_the_boxes_is_kept() -> None:
    boxes = [(0.0, 0.0, 10.0, 10.0), (5.0, 5.0, 40.0, 30.0), (20.0, 0.0, 30.0, 9.0)]
    shapes = [(10, 10), (25, 35), (9, 10)]
    items = [
        ObjectMask(mask=mask_of(shape, pixels), score=0.1 * pixels, source="network")
        for shape, pixels in zip(shapes, (5, 0, 7), strict=True)
    ]
    found = with_fallbacks(items, sample(boxes))
    assert [item.source for item in found] == ["network", "fallback", "network"]
    assert (found[0], found[2]) == (items[0], items[2])
    assert with_fallbacks([], sample([])) == []
    with pytest.raises(ValueError, match="zip"):
        with_fallbacks(items[:2], sample(boxes))


# ---- objects of labels ---------------------------------------------------------------------------------------

EDGES = st.tuples(st.integers(0, 11), st.integers(0, 9), st.integers(1, 6), st.integers(1, 6))


@given(st.lists(st.tuples(EDGES, st.sampled_from([2, 5, 9])), max_size=5), st.integers(0, 99))
@settings(max_examples=30)
def test_an_object_is_the_pixels_of_its_class_in_its_box(
    drawn: list[tuple[tuple[int, int, int, int], int]], seed: int
) -> None:
    height, width = 10, 12
    boxes = np.array(
        [(x, y, min(x + w, width), min(y + h, height)) for (x, y, w, h), _ in drawn], float
    ).reshape(-1, 4)
    owners = [label for _, label in drawn]
    masks = box_masks(torch.from_numpy(boxes), torch.tensor(owners, dtype=torch.long), (height, width))
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 2, 5, 9], (height, width)).astype(np.uint8)
    sure = rng.random((len(set(owners)) + 1, height, width)).astype(np.float32)
    windows = object_windows(boxes, height, width)
    found = objects_of_labels(torch.from_numpy(labels), torch.from_numpy(sure), masks, windows, "classifier")
    assert len(found) == len(drawn)
    for item, owner, (left, top, right, bottom) in zip(found, owners, windows, strict=True):
        assert item.source == "classifier"
        assert item.mask.shape == (bottom - top, right - left)
        shares = []
        for y in range(top, bottom):
            for x in range(left, right):
                assert bool(item.mask[y - top, x - left]) == (labels[y, x] == owner)
                if labels[y, x] == owner:
                    shares.append(float(sure[1 + sorted(set(owners)).index(owner), y, x]))
        assert item.score == pytest.approx(sum(shares) / len(shares) if shares else 0.0)


def test_written_masks_lie_in_the_photo(tmp_path: Path) -> None:
    boxes = [(5.0, 6.0, 25.0, 16.0), (0.0, 0.0, 40.0, 30.0), (39.2, 29.0, 40.0, 30.0)]
    photo = sample(boxes)
    windows = object_windows(photo.boxes, HEIGHT, WIDTH)
    rng = np.random.default_rng(1)
    items = [
        ObjectMask(mask=rng.random((bottom - top, right - left)) < 0.6, score=share, source=source)
        for (left, top, right, bottom), share, source in zip(
            windows, (0.25, 1.0, 0.0), ("network", "network", "fallback"), strict=True
        )
    ]
    write_objects(tmp_path, photo, items)
    entries = read_box_masks(piece_path(tmp_path, photo), photo)
    assert [(entry["score"], entry["source"]) for entry in entries] == [(i.score, i.source) for i in items]
    for entry, item, (left, top, right, bottom) in zip(entries, items, windows, strict=True):
        expected = np.zeros((HEIGHT, WIDTH), bool)
        expected[top:bottom, left:right] = item.mask
        np.testing.assert_array_equal(coco_mask.decode(entry["segmentation"]), expected)
