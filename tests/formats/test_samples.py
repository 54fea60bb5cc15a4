"""Samples in columns are the samples that were put there."""

import dataclasses
import gc
import pickle
import tracemalloc
from array import array
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxseg.dataset import IGNORE, BoxDataset, Instance, Sample
from boxseg.formats.class_choice import ChosenMask
from boxseg.formats.masks import read_mask, truth_digest
from boxseg.formats.object_counts import count_classes, count_sizes
from boxseg.formats.regions import RegionMask
from boxseg.formats.sample_counts import all_boxes, box_counts, crowd_count, truth_flags, truth_is_outlines
from boxseg.formats.samples import Samples, chosen, packed

TEXTS = st.text(max_size=6) | st.sampled_from(["a\udc80", "é", "0", ""])
POLYGON = st.lists(st.floats(allow_nan=False), min_size=2, max_size=6)
REGIONS = st.one_of(
    st.lists(POLYGON.map(lambda values: array("d", values)), min_size=1, max_size=2),
    st.lists(POLYGON, min_size=1, max_size=2),
    st.just({"size": [5, 7], "counts": "abc"}),
    st.just({"counts": [3, 32], "size": [5, 7]}),
    st.sampled_from([None, [], [[1, 2, 3.5]], ([1.0, 2.0],), "nonsense", {1: 2}]),
)
IDS = st.none() | st.integers(-(2**70), 2**70) | TEXTS


def unlike() -> Any:
    """Ground truth of a kind that columns do not know."""
    return np.zeros((1, 1), np.uint8)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    count, crowds, size = draw(st.integers(0, 3)), draw(st.integers(0, 2)), (7, 5)
    boxes = draw(st.lists(st.floats(0, 7), min_size=4 * count, max_size=4 * count))
    instances = [
        Instance(label, region, crowd, area, own)
        for label, region, crowd, area, own in draw(
            st.lists(
                st.tuples(st.integers(1, 300), REGIONS, st.booleans(), st.none() | st.floats(), IDS), max_size=2
            )
        )
    ]
    own = tuple(one.region for one in instances)
    image = Path(
        draw(st.sampled_from(["", "a", "/b/c"])), f"{draw(TEXTS).replace('/', '')}.jpg".replace("\0", "")
    )
    source = draw(st.sampled_from([f"x.json: {image.name}", "x.txt"]))
    painted = RegionMask(own, tuple(one.label for one in instances), source, *size)
    truths = [None, painted, ChosenMask(painted, (0, 2)), partial(read_mask, Path("m", "1.png"), 20), unlike]
    ignored = RegionMask(own[:1], (IGNORE,) * len(own[:1]), source, *draw(st.sampled_from([size, (1, 1)])))
    return Sample(
        id=draw(TEXTS),
        image=image,
        width=size[0],
        height=size[1],
        boxes=np.array(boxes).reshape(-1, 4),
        labels=np.array(draw(st.lists(st.integers(1, 300), min_size=count, max_size=count)), dtype=np.int64),
        difficult=np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)), dtype=bool),
        crowds=np.ones((crowds, 4)),
        crowd_labels=np.zeros(draw(st.sampled_from([crowds, 0])), dtype=np.int64),
        ground_truth=draw(st.sampled_from(truths)),
        ignored=draw(st.sampled_from([None, ignored])),
        instances=draw(st.sampled_from([None, tuple(instances)])),
        image_id=draw(IDS),
        more_image_ids=draw(st.sampled_from([(), (1, "b")])),
        annotation_ids=draw(st.none() | st.lists(IDS.filter(lambda x: x is not None), max_size=3).map(tuple)),
        as_stored=draw(st.booleans()),
        corrections=draw(st.sampled_from([{}, {0: "box"}])),
    )


def values(sample: Sample) -> list[object]:
    """All fields, comparable: arrays with their types."""
    found = [getattr(sample, each.name) for each in dataclasses.fields(Sample)]
    return [repr((x.dtype, x.shape, x.tolist())) if isinstance(x, np.ndarray) else repr(x) for x in found]


def regions(sample: Sample) -> list[object]:
    """Outlines with their types, which their masks do not show."""
    masks = [sample.ground_truth, getattr(sample.ground_truth, "read", None), sample.ignored]
    return [repr(mask.regions) for mask in masks if isinstance(mask, RegionMask)]


@settings(max_examples=40)
@given(st.lists(samples(), max_size=5))
def test_samples_come_out_of_columns_as_they_went_in(given: list[Sample]) -> None:
    held = packed(iter(given))
    assert len(held) == len(given)
    for before, after in zip(given, held, strict=True):
        assert values(before) == values(after)
        assert regions(before) == regions(after)
        assert isinstance(after, Sample)
        assert type(dataclasses.replace(after, id="x")) is Sample
        if before.ground_truth is not unlike:
            assert truth_digest(before.ground_truth) == truth_digest(after.ground_truth)


@settings(max_examples=40)
@given(st.lists(samples(), min_size=1, max_size=6), st.data())
def test_parts_and_pickles_are_of_the_same_samples(given: list[Sample], data: Any) -> None:
    held = packed(given)
    keep = data.draw(st.lists(st.booleans(), min_size=len(given), max_size=len(given)))
    some, plain = chosen(held, keep), chosen(tuple(given), keep)
    step = data.draw(st.sampled_from([1, 2, -1]))
    sent = pickle.loads(pickle.dumps(some[::step]))
    for one, other, third in zip(plain[::step], some[::step], sent, strict=True):
        assert values(one) == values(other) == values(third)
    assert isinstance(sent, Samples)
    assert type(pickle.loads(pickle.dumps(held[0]))) is Sample


@settings(max_examples=40)
@given(st.lists(samples(), max_size=6), st.data())
def test_counts_over_columns_are_those_over_samples(given: list[Sample], data: Any) -> None:
    keep = data.draw(st.lists(st.booleans(), min_size=len(given), max_size=len(given)))
    held, plain = chosen(packed(given), keep), chosen(tuple(given), keep)
    for one, other in zip(all_boxes(held), all_boxes(plain), strict=True):
        assert one.dtype == other.dtype
        assert one.tolist() == other.tolist()
    assert box_counts(held).tolist() == [len(sample.labels) for sample in plain]
    assert crowd_count(held) == sum(len(sample.crowds) for sample in plain)
    assert truth_flags(held).tolist() == [sample.ground_truth is not None for sample in plain]
    assert truth_is_outlines(held) == truth_is_outlines(plain)


def box(label: int, side: float) -> Sample:
    """A photo with one square box."""
    return dataclasses.replace(few(1)[0], boxes=np.array([[0, 0, side, side]]), labels=np.array([label]))


def few(count: int) -> list[Sample]:
    """Photos as most are: one box, a name of ten letters."""
    return [
        Sample(
            id=f"2008_{n:06}",
            image=Path("VOCdevkit/VOC2012/JPEGImages", f"2008_{n:06}.jpg"),
            width=500,
            height=375,
            boxes=np.array([[1.0, 2, 3, 4]]),
            labels=np.array([1 + n % 20]),
            difficult=np.array([False]),
            ground_truth=partial(
                read_mask, Path("VOCdevkit/VOC2012/SegmentationClass", f"2008_{n:06}.png"), 20
            ),
        )
        for n in range(count)
    ]


def test_classes_and_sizes_are_counted_box_by_box() -> None:
    given = [box(1, 10), box(1, 40), box(2, 200)]
    given[1] = dataclasses.replace(
        given[1],
        boxes=np.array([[0, 0, 31.9, 32], [0, 0, 96, 96.1], [5, 5, 9, 9]]),
        labels=np.array([2, 1, 2]),
        difficult=np.zeros(3, dtype=bool),
    )
    for held in (tuple(given), packed(given)):
        data = BoxDataset(root=Path(), format="voc", split="train", classes=("a", "b", "c"), samples=held)
        classes = [(one.name, one.images, one.boxes, one.small) for one in count_classes(data)]
        assert classes == [("a", 2, 2, 1), ("b", 2, 3, 2), ("c", 0, 0, 0)]
        sizes = [(one.name, one.images, one.boxes) for one in count_sizes(data)]
        assert sizes == [("small", 2, 3), ("medium", 0, 0), ("large", 2, 2)]


def test_a_sample_is_the_same_each_time_and_its_arrays_are_its_own() -> None:
    held, other = packed(few(3)), packed(few(3))
    assert held[1] == held[1:][0]
    assert held[1] != held[2]
    assert held[1] != other[1]
    assert len({held[0], held[0], held[1]}) == 2
    assert held == held[:]
    assert held != other
    assert held != held[:2]
    held[0].boxes[:] = 7
    assert held[0].boxes.tolist() == [[1, 2, 3, 4]]
    with pytest.raises(dataclasses.FrozenInstanceError):
        held[0].id = "x"  # type: ignore[misc]
    with pytest.raises(IndexError):
        held[3]


def test_a_photo_takes_few_bytes() -> None:
    count = 4000
    given = few(count)
    tracemalloc.start()
    held = packed(given)
    del given  # its paths keep what they were asked for
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(held) == count
    assert size / count < 300  # its box of 34 bytes is among them
