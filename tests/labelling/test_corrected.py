"""Corrections of masks, done to masks and labels: beside pixel loops that follow the rule word by word."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from boxseg.data.box_masks import ellipse_mask, grabcut_mask, object_windows
from boxseg.dataset import IGNORE, Correction, Sample
from boxseg.labelling.corrected import correct_labels, correct_objects
from boxseg.labelling.objects import ObjectMask

HEIGHT, WIDTH = 12, 15
CLASSES = (1, 2, 5)
REPLACED, DROPPED = ("ellipse", "box"), ("leave-out", "redraw")

Labels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photo before its corrections."""

    sample: Sample
    objects: list[ObjectMask]
    labels: tuple[Labels, Labels]
    levels: Labels
    crowds: NDArray[np.bool_] | None = None
    pixels: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((HEIGHT, WIDTH, 3), np.uint8))

    def corrected(self) -> tuple[list[ObjectMask], tuple[Labels, Labels], Labels]:
        objects = correct_objects(self.objects, self.sample, self.pixels, 0)
        both, levels = correct_labels(self.labels, self.levels, objects, self.sample, self.crowds)
        return objects, both, levels


def sample(
    boxes: list[tuple[float, ...]], labels: list[int], corrections: dict[int, Correction] | None = None
) -> Sample:
    return Sample(
        id="photo",
        image=Path("photo.jpg"),
        width=WIDTH,
        height=HEIGHT,
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        labels=np.array(labels, dtype=np.int64),
        difficult=np.zeros(len(boxes), dtype=bool),
        corrections=corrections or {},
    )


# ---- the rule, a pixel at a time -----------------------------------------------------------------------------


def by_loops(photo: Photo, objects: list[ObjectMask]) -> tuple[Labels, Labels, Labels]:
    """What `correct_labels` must give."""
    one, two, sure = photo.labels[0].copy(), photo.labels[1].copy(), photo.levels.copy()
    for y in range(HEIGHT):
        for x in range(WIDTH):
            one[y, x], two[y, x], sure[y, x] = one_pixel(photo, objects, x, y)
    return one, two, sure


def one_pixel(photo: Photo, objects: list[ObjectMask], x: int, y: int) -> tuple[int, int, int]:
    boxes, classes = photo.sample.boxes.tolist(), photo.sample.labels.tolist()
    said = photo.sample.corrections
    windows = object_windows(photo.sample.boxes, HEIGHT, WIDTH)
    within = [
        n for n, (left, top, right, bottom) in enumerate(windows) if left <= x < right and top <= y < bottom
    ]
    covering = [
        n
        for n in within
        if said.get(n) not in DROPPED and objects[n].mask[y - windows[n][1], x - windows[n][0]]
    ]
    covering.sort(key=lambda n: ((boxes[n][2] - boxes[n][0]) * (boxes[n][3] - boxes[n][1]), classes[n], n))
    ground = IGNORE if photo.crowds is not None and photo.crowds[y, x] else 0
    painted = classes[covering[0]] if covering else ground
    backed = {classes[n] for n in covering}
    sure = int(photo.levels[y, x])
    values = [int(labels[y, x]) for labels in photo.labels]
    for number, value in enumerate(values):
        # The class of a mask that was replaced, and no mask of this class is here any more.
        if value not in backed and any(classes[n] == value and said.get(n) in REPLACED for n in within):
            values[number] = painted
            if number == 0:
                sure = 0 if painted == IGNORE else 255
    if covering and said.get(covering[0]) in REPLACED:
        values, sure = [painted, painted], 255
    if any(said.get(n) in DROPPED for n in within) and not backed.issuperset(values):
        values, sure = [IGNORE, IGNORE], 0
    return values[0], values[1], sure


# ---- drawn photos --------------------------------------------------------------------------------------------

EDGES = st.tuples(
    st.floats(0, WIDTH - 1.0), st.floats(0, HEIGHT - 1.0), st.floats(0.3, WIDTH), st.floats(0.3, HEIGHT)
)


@st.composite
def photos(draw: st.DrawFn) -> Photo:
    drawn = draw(st.lists(EDGES, min_size=0, max_size=6))
    boxes = [(x, y, min(x + w, WIDTH), min(y + h, HEIGHT)) for x, y, w, h in drawn]
    if boxes and draw(st.booleans()):
        boxes.append(boxes[0])  # two objects of one box
    labels = [draw(st.sampled_from(CLASSES)) for _ in boxes]
    said: dict[int, Correction] = {}
    for place in draw(st.permutations(range(len(boxes)))):
        do = draw(st.sampled_from([None, *REPLACED, *DROPPED]))
        if do is not None:
            said[place] = do
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    windows = object_windows(np.array(boxes, dtype=np.float64).reshape(-1, 4), HEIGHT, WIDTH)
    objects = [
        ObjectMask(mask=rng.random((bottom - top, right - left)) < 0.6, score=0.3, source="network")
        for left, top, right, bottom in windows
    ]
    first, second = (rng.choice([0, *CLASSES, IGNORE], (HEIGHT, WIDTH)).astype(np.uint8) for _ in range(2))
    crowds = rng.random((HEIGHT, WIDTH)) < 0.2 if draw(st.booleans()) else None
    levels = rng.integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8)
    return Photo(
        sample=sample(boxes, labels, said),
        objects=objects,
        labels=(first, second),
        levels=levels,
        crowds=crowds,
    )


@given(photos())
@settings(max_examples=80, deadline=None)
def test_labels_are_those_of_the_loops(photo: Photo) -> None:
    objects, both, levels = photo.corrected()
    expected = by_loops(photo, objects)
    for name, own, wanted in zip(("first", "second", "levels"), (*both, levels), expected, strict=True):
        np.testing.assert_array_equal(own, wanted, err_msg=name)


@given(photos())
@settings(max_examples=60, deadline=None)
def test_only_pixels_of_corrected_boxes_change(photo: Photo) -> None:
    _, both, levels = photo.corrected()
    inside = np.zeros((HEIGHT, WIDTH), bool)
    windows = object_windows(photo.sample.boxes, HEIGHT, WIDTH)
    for place in photo.sample.corrections:
        left, top, right, bottom = windows[place]
        inside[top:bottom, left:right] = True
    for before, after in zip((*photo.labels, photo.levels), (*both, levels), strict=True):
        np.testing.assert_array_equal(before[~inside], after[~inside])


@given(photos())
@settings(max_examples=40, deadline=None)
def test_nothing_to_do_changes_nothing(photo: Photo) -> None:
    before = [array.copy() for array in (*photo.labels, photo.levels)]
    photo.corrected()
    for array, kept in zip((*photo.labels, photo.levels), before, strict=True):
        np.testing.assert_array_equal(array, kept)  # arguments stay
    untouched = replace(photo, sample=replace(photo.sample, corrections={}))
    objects, both, levels = untouched.corrected()
    assert objects == photo.objects
    for array, kept in zip((*both, levels), before, strict=True):
        np.testing.assert_array_equal(array, kept)


@given(photos(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_corrections_does_not_matter(photo: Photo, random) -> None:
    shuffled = list(photo.sample.corrections.items())
    random.shuffle(shuffled)
    other = replace(photo, sample=replace(photo.sample, corrections=dict(shuffled)))
    for one, two in zip(flat(photo), flat(other), strict=True):
        np.testing.assert_array_equal(one, two)


@given(photos())
@settings(max_examples=40, deadline=None)
def test_twice_is_once(photo: Photo) -> None:
    objects, both, levels = photo.corrected()
    for one, two in zip(flat(photo), flat(replace(photo, labels=both, levels=levels)), strict=True):
        np.testing.assert_array_equal(one, two)
    assert len(objects) == len(photo.objects)


def flat(photo: Photo) -> list[NDArray[np.uint8]]:
    objects, both, levels = photo.corrected()
    return [*both, levels, *(item.mask for item in objects)]


# ---- what the rule is for ------------------------------------------------------------------------------------


def scene(do: Correction, *, first: int = 1, other: int = 2) -> Photo:
    """A large box with a mask on its left half, and a small one inside it, whose mask is all of it.

    The labels are as painted from these masks, and the first has a border of the large one's class that the CRF
    added.
    """
    boxes = [(1.0, 1.0, 13.0, 11.0), (3.0, 4.0, 9.0, 8.0)]
    windows = object_windows(np.array(boxes), HEIGHT, WIDTH)
    masks = [np.zeros((bottom - top, right - left), bool) for left, top, right, bottom in windows]
    masks[0][:, :6] = True
    masks[1][:] = True
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[1:11, 1:7] = first
    labels[4:8, 3:9] = other
    grown = labels.copy()
    grown[1:3, 7] = first
    return Photo(
        sample=sample(boxes, [first, other], {0 if do != "leave-out" else 1: do}),
        objects=[ObjectMask(mask=mask, score=0.5, source="network") for mask in masks],
        labels=(grown, labels),
        levels=np.full((HEIGHT, WIDTH), 100, np.uint8),
    )


def test_an_ellipse_takes_the_place_of_a_mask_below_what_lies_on_it() -> None:
    photo = scene("ellipse")
    objects, (first, second), levels = photo.corrected()
    ellipse = np.zeros((HEIGHT, WIDTH), bool)
    ellipse[1:11, 1:13] = ellipse_mask(photo.sample.boxes[0], (1, 1, 13, 11))
    small = np.zeros_like(ellipse)
    small[4:8, 3:9] = True
    np.testing.assert_array_equal(first, np.where(small, 2, ellipse))
    np.testing.assert_array_equal(second, first)
    assert (levels[ellipse & ~small] == 255).all()
    assert (levels[small] == 100).all()
    assert [(item.source, item.score, item.corrected) for item in objects] == [
        ("ellipse", 1.0, "ellipse"),
        ("network", 0.5, None),
    ]


def test_a_box_left_out_teaches_nothing_but_what_is_another_objects() -> None:
    photo = scene("leave-out")
    objects, (first, second), levels = photo.corrected()
    small = np.zeros((HEIGHT, WIDTH), bool)
    small[4:8, 3:9] = True
    # The large mask covers half of it, but the label was the small one's.
    np.testing.assert_array_equal(first, np.where(small, IGNORE, photo.labels[0]))
    np.testing.assert_array_equal(second, np.where(small, IGNORE, photo.labels[1]))
    assert (levels[small] == 0).all()
    assert not objects[1].mask.any()
    assert (objects[1].source, objects[1].score, objects[1].corrected) == ("left-out", 1.0, "leave-out")


def test_the_large_one_left_out_keeps_the_small_one() -> None:
    photo = scene("redraw")
    objects, (first, second), _ = photo.corrected()
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[1:11, 1:13] = IGNORE
    expected[4:8, 3:9] = 2
    np.testing.assert_array_equal(first, expected)
    np.testing.assert_array_equal(second, expected)
    assert objects[0].mask is photo.objects[0].mask
    assert (objects[0].source, objects[0].score, objects[0].corrected) == ("network", 0.5, "redraw")


def test_a_mask_that_lay_on_another_gives_it_back() -> None:
    photo = scene("ellipse")
    photo = replace(photo, sample=replace(photo.sample, corrections={1: "ellipse"}))
    _, (first, second), _ = photo.corrected()
    small = np.zeros((HEIGHT, WIDTH), bool)
    small[4:8, 3:9] = ellipse_mask(photo.sample.boxes[1], (3, 4, 9, 8))
    large = np.zeros_like(small)
    large[1:11, 1:7] = True
    np.testing.assert_array_equal(second, np.where(small, 2, large))
    large[1:3, 7] = True  # what the CRF added elsewhere stays
    np.testing.assert_array_equal(first, np.where(small, 2, large))


def test_grabcut_and_the_whole_box() -> None:
    pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 60, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[3:9, 3:11] = 230
    photo = replace(scene("box"), pixels=pixels)
    photo = replace(photo, sample=replace(photo.sample, corrections={0: "grabcut", 1: "box"}))
    objects, _, _ = photo.corrected()
    np.testing.assert_array_equal(objects[0].mask, grabcut_mask(pixels, (1, 1, 13, 11), 0))
    assert not objects[0].mask.all()
    assert objects[1].mask.all()
    assert [item.source for item in objects] == ["grabcut", "box"]
