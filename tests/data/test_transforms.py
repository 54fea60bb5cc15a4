"""Photo, boxes and label maps must stay on each other through scale, pad, crop and flip."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from boxseg.config import Augment
from boxseg.data.transforms import (
    MEAN_COLOUR,
    CropWindow,
    Item,
    augment,
    flip,
    is_sliver,
    view,
)

RED, BLUE = (250, 10, 20), (0, 40, 230)


def pixels(item: Item) -> NDArray[np.uint8]:
    """The photo as (H, W, 3)."""
    return np.asarray(item.image)


def raster(box: NDArray[np.float64], height: int, width: int) -> NDArray[np.bool_]:
    """Pixels whose centre lies in a half-open box, one by one."""
    inside = np.zeros((height, width), dtype=bool)
    x1, y1, x2, y2 = box
    for row, column in np.ndindex(height, width):
        inside[row, column] = x1 <= column + 0.5 < x2 and y1 <= row + 0.5 < y2
    return inside


@st.composite
def items(draw: st.DrawFn, most: int = 40) -> Item:
    """A noisy photo with integer boxes; map k is box k drawn as a mask, label k + 1 tells which it is."""
    height, width = draw(st.integers(1, most)), draw(st.integers(1, most))
    boxes, maps = [], {}
    for k in range(draw(st.integers(0, 3))):
        x1, y1 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        x2, y2 = draw(st.integers(x1 + 1, width)), draw(st.integers(y1 + 1, height))
        boxes.append((x1, y1, x2, y2))
        maps[str(k)] = np.zeros((height, width), np.uint8)
        maps[str(k)][y1:y2, x1:x2] = 1
    image = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, (height, width, 3), np.uint8)
    labels = np.arange(1, len(boxes) + 1, dtype=np.int64)
    return Item.of(Image.fromarray(image), np.array(boxes, float).reshape(-1, 4), labels, maps)


@st.composite
def items_and_windows(draw: st.DrawFn, resize: bool = True) -> tuple[Item, CropWindow]:
    item = draw(items())
    height, width = item.valid.shape
    scaled = (draw(st.integers(1, 60)), draw(st.integers(1, 60))) if resize else (width, height)
    window = CropWindow(
        scaled=scaled,
        left=draw(st.integers(0, scaled[0] - 1)),
        top=draw(st.integers(0, scaled[1] - 1)),
        size=(draw(st.integers(1, 50)), draw(st.integers(1, 50))),
    )
    return item, window


def assert_same(one: Item, two: Item) -> None:
    for name in ("image", "boxes", "labels", "visible", "valid"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)
    assert one.maps.keys() == two.maps.keys()
    for name in one.maps:
        np.testing.assert_array_equal(one.maps[name], two.maps[name], err_msg=name)


def assert_boxes_lie_on_their_masks(item: Item, annotated: int, mirrored: bool = False) -> None:
    """Every annotated box's mask is the raster of what became of the box, and empty when that was dropped.

    In a mirror, a pixel whose centre lies exactly on an edge changes sides: those may differ.
    """
    height, width = item.valid.shape
    boxes = dict(zip(item.labels.tolist(), item.boxes, strict=True))
    for k in range(annotated):
        expected = raster(boxes[k + 1], height, width) if k + 1 in boxes else np.zeros((height, width), bool)
        wrong = (item.maps[str(k)] == 1) != expected
        if mirrored and k + 1 in boxes:
            wrong[:, np.isin(np.arange(width) + 0.5, boxes[k + 1][[0, 2]])] = False
        assert not wrong.any()
        np.testing.assert_array_equal(item.maps[str(k)] == 255, ~item.valid)


@given(items())
def test_flipping_twice_changes_nothing(item: Item) -> None:
    assert_same(flip(flip(item)), item)


@given(items())
def test_flip_mirrors_photo_boxes_and_masks(item: Item) -> None:
    mirrored = flip(item)
    height, width = item.valid.shape
    for row, column in np.ndindex(height, width):
        assert (pixels(mirrored)[row, column] == pixels(item)[row, width - 1 - column]).all()
    assert_boxes_lie_on_their_masks(mirrored, len(item.boxes))


@given(items_and_windows())
@settings(max_examples=150)
def test_boxes_lie_on_their_masks_in_every_window(drawn: tuple[Item, CropWindow]) -> None:
    item, window = drawn
    assert_boxes_lie_on_their_masks(view(item, window), len(item.boxes))


@given(items_and_windows())
def test_a_window_is_cut_from_the_resized_photo(drawn: tuple[Item, CropWindow]) -> None:
    item, window = drawn
    (across, down), (width, height) = window.scaled, window.size
    whole = np.asarray(item.image.resize((across, down), Image.Resampling.BILINEAR)).astype(int)
    seen = view(item, window)
    assert seen.image.size == (width, height)
    for row, column in np.ndindex(height, width):
        inside = window.left + column < across and window.top + row < down
        assert seen.valid[row, column] == inside
        expected = whole[window.top + row, window.left + column] if inside else np.array(MEAN_COLOUR)
        # Cutting out first may round a colour the other way, in both passes of Pillow.
        assert np.abs(pixels(seen)[row, column].astype(int) - expected).max() <= (2 if inside else 0)


@given(items_and_windows(resize=False))
def test_at_scale_one_pixels_are_copied(drawn: tuple[Item, CropWindow]) -> None:
    item, window = drawn
    seen = view(item, window)
    rows, columns = np.nonzero(seen.valid)
    np.testing.assert_array_equal(
        pixels(seen)[rows, columns], pixels(item)[rows + window.top, columns + window.left]
    )
    for name, values in item.maps.items():
        np.testing.assert_array_equal(
            seen.maps[name][rows, columns], values[rows + window.top, columns + window.left]
        )
    # At scale one the share of a box that is visible is the share of its pixels.
    for label, visible in zip(seen.labels.tolist(), seen.visible, strict=True):
        mask = seen.maps[str(label - 1)]
        assert visible == pytest.approx((mask == 1).sum() / item.maps[str(label - 1)].sum())


@given(st.integers(1, 60), st.integers(0, 20), st.integers(1, 30))
def test_photo_and_boxes_share_one_geometry(across: int, left: int, width: int) -> None:
    """Where the resized photo is purely one colour is told by the transformed box alone."""
    image = np.empty((12, 30, 3), np.uint8)
    image[:] = BLUE
    image[:, 9:22] = RED
    item = Item.of(Image.fromarray(image), np.array([[9.0, 0, 22, 12]]), np.array([1]))
    seen = view(item, CropWindow(scaled=(across, 12), left=min(left, across - 1), top=0, size=(width, 12)))
    reach = max(1.0, across / 30)  # of the bilinear filter, in pixels of the result
    left_edge, right_edge = 9 * across / 30 - min(left, across - 1), 22 * across / 30 - min(left, across - 1)
    for column in np.flatnonzero(seen.valid[0]):
        centre = column + 0.5
        if left_edge + reach <= centre <= right_edge - reach:
            assert (pixels(seen)[:, column] == RED).all()
        if centre <= left_edge - reach or centre >= right_edge + reach:
            assert (pixels(seen)[:, column] == BLUE).all()
    if len(seen.boxes):
        assert seen.boxes[0, 0] == pytest.approx(max(0, left_edge))
        assert seen.boxes[0, 2] == pytest.approx(min(right_edge, width))


@pytest.mark.parametrize("scale", [0.5, 0.77, 1.0, 1.31, 1.5])
def test_a_ramp_keeps_its_place_to_a_fraction_of_a_pixel(scale: float) -> None:
    ramp = np.broadcast_to(np.arange(5, 245, 5, dtype=np.uint8)[:, None], (20, 48, 3)).copy()
    across = round(48 * scale)
    item = Item.of(Image.fromarray(ramp), np.zeros((0, 4)), np.zeros(0, np.int64))
    seen = view(item, CropWindow(scaled=(across, 20), left=3, top=2, size=(across - 6, 10)))
    places = (np.arange(across - 6) + 3.5) * 48 / across - 0.5
    np.testing.assert_allclose(pixels(seen)[5, :, 1], 5 + 5 * places, atol=0.6)


@given(items(), st.integers(0, 5), st.integers(16, 45))
def test_the_same_numbers_give_the_same_bytes_and_no_input_changes(item: Item, seed: int, crop: int) -> None:
    before = Item.of(
        item.image.copy(),
        item.boxes.copy(),
        item.labels.copy(),
        {name: values.copy() for name, values in item.maps.items()},
    )
    options = Augment(crop=crop)
    one = augment(item, options, np.random.default_rng([3, seed]))
    two = augment(item, options, np.random.default_rng([3, seed]))
    assert_same(one, two)
    assert_same(item, before)
    for name in ("boxes", "labels", "visible", "valid"):
        assert not np.shares_memory(getattr(one, name), getattr(item, name))


@given(items(), st.integers(0, 99), st.integers(16, 45), st.sampled_from([0.0, 0.5, 1.0]))
def test_a_crop_has_its_size_and_whole_boxes_on_their_masks(
    item: Item, seed: int, crop: int, probability: float
) -> None:
    seen = augment(item, Augment(crop=crop, flip=probability), np.random.default_rng(seed))
    assert seen.image.size == (crop, crop)
    assert seen.image.mode == "RGB"
    assert seen.valid.any()
    assert ((seen.boxes >= 0) & (seen.boxes <= crop)).all()
    assert (seen.boxes[:, 2:] > seen.boxes[:, :2]).all()
    assert ((seen.visible > 0) & (seen.visible <= 1 + 1e-9)).all()
    assert_boxes_lie_on_their_masks(seen, len(item.boxes), mirrored=probability > 0)


def photo(height: int = 60, width: int = 80) -> Item:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Item.of(Image.fromarray(image), np.array([[10.0, 10, 50, 40]]), np.array([4]))


def test_switching_one_change_off_leaves_the_others() -> None:
    for seed in range(20):
        plain, mirrored = (
            augment(photo(), Augment(crop=40, flip=flip_, jitter=0), np.random.default_rng(seed))
            for flip_ in (0, 1)
        )
        assert_same(flip(plain), mirrored)
        coloured = augment(photo(), Augment(crop=40, flip=0, jitter=0.5), np.random.default_rng(seed))
        assert_same(replace(coloured, image=plain.image), plain)
        assert (pixels(coloured) != pixels(plain)).any()


def test_scale_place_and_side_are_all_drawn() -> None:
    item = photo()
    item = replace(item, maps={"left": np.tile(np.arange(80, dtype=np.uint8), (60, 1))})
    seen = [
        augment(item, Augment(crop=30, scale=(1, 1), jitter=0), np.random.default_rng(seed))
        for seed in range(400)
    ]
    mirrored = [bool(one.maps["left"][0, 0] > one.maps["left"][0, -1]) for one in seen]
    assert 150 < sum(mirrored) < 250
    assert {int(one.maps["left"].min()) for one in seen} == set(range(51))
    sizes = {
        int(augment(item, Augment(crop=130), np.random.default_rng(seed)).valid.any(axis=0).sum())
        for seed in range(400)
    }
    assert min(sizes) in (40, 41)
    assert max(sizes) in (119, 120)
    assert len(sizes) > 60


def test_a_sliver_is_thin_or_hardly_visible() -> None:
    boxes = np.array([[0, 0, 3.9, 50], [0, 0, 50, 3.9], [0, 0, 4, 4], [0, 0, 30, 30], [0, 0, 30, 30]])
    item = replace(photo(), boxes=boxes, visible=np.array([1, 1, 1, 0.09, 0.1]), labels=np.arange(1, 6))
    assert is_sliver(item).tolist() == [True, True, False, True, False]


def test_no_boxes_no_slivers() -> None:
    item = replace(photo(), boxes=np.zeros((0, 4)), visible=np.zeros(0), labels=np.zeros(0, np.int64))
    assert is_sliver(item).shape == (0,)


def test_shares_multiply_from_window_to_window() -> None:
    half = CropWindow(scaled=(80, 60), left=30, top=0, size=(80, 60))
    once = view(photo(), half)
    twice = view(once, CropWindow(scaled=(80, 60), left=10, top=0, size=(80, 60)))
    assert once.visible == pytest.approx([0.5])
    assert twice.visible == pytest.approx([0.25])
