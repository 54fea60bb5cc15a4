"""The file of corrections that the report's page saves, and the boxes that it is about."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from boxseg.dataset import BoxDataset, Correction, Sample
from boxseg.errors import DataError
from boxseg.formats.corrections import (
    CorrectedBox,
    CorrectedPhoto,
    Corrections,
    read_corrections,
    with_corrections,
)

Box = tuple[float, float, float, float]


def data(
    *boxes: Box, labels: tuple[int, ...] | None = None, split: str = "train", name: str = "a"
) -> BoxDataset:
    sample = Sample(
        id=name,
        image=Path(f"{name}.jpg"),
        width=200,
        height=100,
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        labels=np.array(labels or (1,) * len(boxes), dtype=np.int64),
        difficult=np.zeros(len(boxes), dtype=bool),
    )
    return BoxDataset(root=Path("data"), format="voc", split=split, classes=("cat", "dog"), samples=(sample,))


def as_read(folder: Path, **photos: Any) -> Corrections:
    file = folder / "corrections.json"
    file.write_text(json.dumps({"boxseg": "corrections", "version": 1, "photos": photos}))
    return read_corrections(file)


def entry(box: Any, do: str = "ellipse", name: str = "cat") -> dict[str, Any]:
    return {"box": list(box), "class": name, "do": do}


def found(dataset: BoxDataset, corrections: Corrections) -> Any:
    return dict(with_corrections(dataset, corrections, list)[0].samples[0].corrections)


def of_boxes(boxes: list[CorrectedBox]) -> Corrections:
    return Corrections(file=Path("corrections.json"), photos={"a": CorrectedPhoto(boxes=tuple(boxes))})


def as_script(value: float) -> float:
    """A number to a tenth, as JavaScript rounds: halves go up."""
    return math.floor(value * 10 + 0.5) / 10


def test_the_example_of_the_format_is_read(tmp_path: Path) -> None:
    photos = {"b": {"wrong": True}, "a": {"boxes": [entry((1.0, 2.0, 30.0, 40.0), "leave-out", "dog")]}}
    corrections = as_read(tmp_path, **photos)
    assert corrections.wrong == {"b"}
    assert corrections.content["photos"] == photos
    dataset = data((1, 2, 30, 40), (1, 2, 30, 40), labels=(1, 2))
    assert found(dataset, as_read(tmp_path, a=photos["a"])) == {1: "leave-out"}


@given(
    st.lists(st.tuples(*(st.floats(0, 99) for _ in range(4))), min_size=1, max_size=5),
    st.sampled_from([as_script, partial(round, ndigits=1)]),
    st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_rounded_boxes_are_found_in_any_order(
    boxes: list[Box], rounding: Callable[[float], float], order: random.Random
) -> None:
    """Whether halves were rounded up, as by JavaScript, or to even."""
    rounded = [tuple(map(rounding, box)) for box in boxes]
    assume(len(set(rounded)) == len(rounded))
    dos: dict[Correction, tuple[float, ...]] = dict(zip(get_args(Correction), rounded, strict=False))
    written = [CorrectedBox(box=box, class_="cat", do=do) for do, box in dos.items()]
    got = found(data(*boxes), of_boxes(written))
    assert len(got) == len(boxes)
    for place, do in got.items():
        assert np.abs(np.subtract(dos[do], boxes[place])).max() < 0.06
    order.shuffle(written)
    assert found(data(*boxes), of_boxes(written)) == got


def test_of_equal_boxes_the_nth_is_the_nth(tmp_path: Path) -> None:
    same = (10.0, 10.0, 20.0, 20.0)
    dataset = data(same, (50, 5, 60, 9), same, same)
    boxes = [entry(same, do) for do in ("ellipse", "leave-out", "redraw")]
    assert found(dataset, as_read(tmp_path, a={"boxes": boxes})) == {0: "ellipse", 2: "leave-out", 3: "redraw"}
    assert found(dataset, as_read(tmp_path, a={"boxes": boxes[:1]})) == {0: "ellipse"}
    with pytest.raises(DataError, match="or not so many: its boxes have changed since"):
        found(dataset, as_read(tmp_path, a={"boxes": [*boxes, boxes[0]]}))


def test_of_boxes_that_are_almost_equal_the_nearest_is_meant() -> None:
    """Both are near 10.1, as which the second was written; only the first is near 10.0."""
    dataset = data((10.042, 5, 20, 20), (10.05, 5, 20, 20))
    written = [
        CorrectedBox(box=(10.1, 5, 20, 20), class_="cat", do="redraw"),
        CorrectedBox(box=(10.0, 5, 20, 20), class_="cat", do="box"),
    ]
    for entries in (written, written[::-1]):
        assert found(dataset, of_boxes(entries)) == {0: "box", 1: "redraw"}


@pytest.mark.parametrize(
    ("box", "name"),
    [
        ((10.1, 10, 20, 20), "cat"),  # moved by more than rounding
        ((10, 10, 20, 20), "dog"),
        ((10, 10, 20, 20), "cow"),  # no class of the data
        ((0, 0, 1e300, 5), "cat"),
    ],
)
def test_a_box_that_is_gone_is_named(box: Box, name: str, tmp_path: Path) -> None:
    dataset = data((10, 10, 20, 20), (30, 30, 40, 40), labels=(1, 2))
    with pytest.raises(DataError) as refusal:
        found(dataset, as_read(tmp_path, a={"boxes": [entry(box, name=name)]}))
    assert f"photo 'a' has no '{name}' with the box [{box[0]:.10g}, " in str(refusal.value)
    assert "its boxes have changed since the report was made: make the report again" in str(refusal.value)


def test_photos_of_other_splits_are_left_aside(tmp_path: Path) -> None:
    train, val = data((1, 1, 5, 5)), data((1, 1, 5, 5), split="val", name="v")
    corrections = as_read(tmp_path, v={"wrong": True}, a={"boxes": [entry((1, 1, 5, 5))]})
    dataset, aside = with_corrections(train, corrections, lambda: [val])
    assert aside == {"val": 1}
    assert dataset.samples[0].corrections == {0: "ellipse"}
    assert train.samples[0].corrections == {}
    with pytest.raises(
        DataError, match="photo 'v' is not in split train of data: photos and boxes have changed"
    ):
        with_corrections(train, corrections, list)
    more = as_read(tmp_path, v={"wrong": True}, w={"wrong": True})
    with pytest.raises(DataError, match="photo 'w' is not in split train or val of data"):
        with_corrections(train, more, lambda: [val])


def test_other_splits_are_only_read_for_photos_that_are_lacking(tmp_path: Path) -> None:
    def others() -> list[BoxDataset]:
        raise AssertionError

    dataset, aside = with_corrections(data((1, 1, 5, 5)), as_read(tmp_path, a={"wrong": True}), others)
    assert (dict(dataset.samples[0].corrections), aside) == ({}, {})


def test_a_photo_without_boxes_has_none_to_correct(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no 'cat' with the box"):
        found(data(), as_read(tmp_path, a={"boxes": [entry((1, 1, 5, 5))]}))
    assert found(data(), as_read(tmp_path)) == {}
