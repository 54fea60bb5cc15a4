"""Chosen and merged classes: boxes, crowds, outlines and masks change together, in every format."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotation_writers import write_coco, write_voc, write_yolo
from boxseg import formats
from boxseg.config import Data
from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import ConfigError

NAMES = ("barge", "car", "cat", "dog")
# Of each box of a.png and b.png: its class, and x1 y1 x2 y2.
BOXES = {
    "a": [(3, (2, 2, 20, 20)), (4, (12, 8, 30, 28)), (1, (32, 1, 39, 9))],
    "b": [(4, (5, 5, 25, 25)), (2, (28, 2, 38, 9))],
}


@pytest.fixture
def whole(make_photo, tmp_path: Path) -> BoxDataset:
    """Two photos with boxes of four classes, and masks in which dogs lie in front of cats."""
    samples = []
    for name, boxes in BOXES.items():
        mask = np.zeros((30, 40), dtype=np.uint8)
        for label, (x1, y1, x2, y2) in boxes:
            mask[y1:y2, x1:x2] = label
        mask[29] = 255
        samples.append(
            Sample(
                id=name,
                image=make_photo(f"photos/{name}.png"),
                width=40,
                height=30,
                boxes=np.array([box for _, box in boxes], dtype=np.float64),
                labels=np.array([label for label, _ in boxes]),
                difficult=np.array([label == 1 for label, _ in boxes]),
                ground_truth=mask.copy,
            )
        )
    return BoxDataset(root=tmp_path, format="voc", split="train", classes=NAMES, samples=tuple(samples))


def load(root: Path, **options: Any) -> BoxDataset:
    return formats.load(Data(root=root, **options))


@pytest.mark.parametrize("write", [write_voc, write_coco, write_yolo])
def test_every_format_gives_the_chosen_classes_in_the_order_given(write, whole, tmp_path: Path) -> None:
    write(whole, tmp_path / "data")
    found = load(tmp_path / "data", classes=("dog", "cat"))
    assert found.classes == ("dog", "cat")
    assert [sample.labels.tolist() for sample in found.samples] == [[2, 1], [1]]
    np.testing.assert_allclose(found.samples[0].boxes, [[2, 2, 20, 20], [12, 8, 30, 28]])
    assert [len(sample.difficult) for sample in found.samples] == [2, 1]
    assert found.choice is not None
    assert found.choice.own == NAMES
    assert found.choice.labels == (0, 0, 2, 1)
    assert found.choice.boxes == (1, 1, 1, 2)
    assert found.choice.boxes_left_out == 2


@pytest.mark.parametrize("folder", [None, "other"])
def test_values_of_masks_are_those_of_the_chosen_classes(whole, folder, tmp_path: Path) -> None:
    """Masks of the data set, and those of `data.masks`, whose values are the data set's own, too."""
    root = tmp_path / "data"
    write_voc(whole, root)
    masks = {sample.id: sample.ground_truth() for sample in whole.samples}
    if folder:
        (root / folder).mkdir()
        masks = {name: np.where(mask == 255, 0, mask).astype(np.uint8) for name, mask in masks.items()}
        for name, mask in masks.items():
            Image.fromarray(mask).save(root / folder / f"{name}.png")
    found = load(root, classes=("dog", "vehicle"), merge={"barge": "vehicle", "car": "vehicle"}, masks=folder)
    new = {0: 0, 1: 2, 2: 2, 3: 0, 4: 1, 255: 255}
    for sample in found.samples:
        expected = [[new[value] for value in row] for row in masks[sample.id].tolist()]
        assert sample.ground_truth is not None
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(sample.ground_truth))(), expected)


def test_a_photo_that_keeps_no_box_is_background(whole, tmp_path: Path) -> None:
    write_voc(whole, tmp_path / "data")
    found = load(tmp_path / "data", classes=("barge",))
    assert [sample.id for sample in found.samples] == ["a", "b"]
    assert [len(sample.labels) for sample in found.samples] == [1, 0]
    assert set(np.unique(found.samples[1].ground_truth())) == {0, 255}
    assert found.samples[1].ignored is None
    assert not found.problems


@pytest.mark.parametrize(
    ("merge", "classes", "labels"),
    [
        ({"barge": "car"}, ("car", "cat", "dog"), [2, 3, 1]),
        ({"car": "barge"}, ("barge", "cat", "dog"), [2, 3, 1]),
        ({"cat": "pet", "dog": "pet"}, ("barge", "car", "pet"), [3, 3, 1]),
        ({"cat": "tom"}, ("barge", "car", "tom", "dog"), [3, 4, 1]),
        ({"cat": "cat"}, NAMES, [3, 4, 1]),
    ],
)
def test_merged_classes_stand_where_their_target_is(merge, classes, labels, whole, tmp_path: Path) -> None:
    write_voc(whole, tmp_path / "data")
    (tmp_path / "data" / "labelmap.txt").write_text(
        "background:0,0,0::\nbarge:128,0,0::\ncar:0,128,0::\ncat:128,128,0::\ndog:0,0,128::\n"
    )
    found = load(tmp_path / "data", merge=merge)
    assert found.classes == classes
    assert found.samples[0].labels.tolist() == labels


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ("cat", "dgo")}, "data.classes: .* no class 'dgo', did you mean 'dog'"),
        ({"merge": {"bargee": "car"}}, "data.merge: .* no class 'bargee', did you mean 'barge'"),
        (
            {"merge": {"barge": "car"}, "classes": ("barge",)},
            r"no class 'barge'.*its classes, after merging: car, cat, dog",
        ),
        ({"classes": ("cat", "cat")}, "names 'cat' twice"),
        ({"merge": {"barge": "car", "car": "cat"}}, "'car' becomes 'cat' itself; write barge: cat"),
        ({"merge": {"barge": " "}}, "without a name"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, message: str, whole, tmp_path: Path) -> None:
    write_coco(whole, tmp_path / "data")
    with pytest.raises(ConfigError, match=message):
        load(tmp_path / "data", **options)


def test_the_classes_are_those_of_all_splits(whole, tmp_path: Path) -> None:
    """A class that a split has no object of is a class there, too."""
    root = tmp_path / "data"
    write_voc(whole, root)
    write_voc(replace(whole, split="val", samples=whole.samples[1:]), root)
    options = Data(root=root, classes=("cat", "dog"))
    train, val = formats.load(options), formats.load(options.with_split("val"))
    assert train.classes == val.classes == ("cat", "dog")
    assert val.samples[0].labels.tolist() == [2]


# COCO: outlines, crowds, ids.

CAT, DOG = [[2, 2, 20, 2, 20, 20, 12, 8]], [[12, 8, 30, 8, 28, 26]]


def code(x1: int, y1: int, x2: int, y2: int, hole: int = 0) -> dict[str, Any]:
    """A run-length code of a rectangle in a photo of 40 x 30, without a square at its lower right."""
    mask = np.zeros((30, 40), dtype=int)
    mask[y1:y2, x1:x2] = 1
    mask[y2 - hole : y2, x2 - hole : x2] = 0
    flat = np.concatenate([[0], mask.T.ravel(), [0]])
    return {"size": [30, 40], "counts": np.diff([0, *np.flatnonzero(np.diff(flat)), mask.size]).tolist()}


def outlined(own_id: int, category: int, region: Any, box: list[int], **changes: Any) -> dict[str, Any]:
    known = {"id": own_id, "image_id": 1, "category_id": category, "bbox": box, "segmentation": region}
    return {**known, "iscrowd": 0, **changes}


@pytest.fixture
def coco(make_photo, tmp_path: Path):
    """Writes a COCO set of one photo; the categories barge, car, cat and dog have the ids 6, 3, 17 and 18."""
    make_photo("data/train/a.jpg")

    def write(*annotations: dict[str, Any]) -> Path:
        categories = [
            {"id": n, "name": name} for n, name in ((6, "barge"), (3, "car"), (17, "cat"), (18, "dog"))
        ]
        content = {
            "images": [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}],
            "annotations": annotations,
            "categories": categories,
        }
        (tmp_path / "data" / "train.json").write_text(json.dumps(content))
        return tmp_path / "data"

    return write


def test_outlines_that_are_left_out_lie_in_front_of_others(coco) -> None:
    """Ground truth by outlines and by masks is the same: a dog in front of a cat hides it."""
    root = coco(outlined(1, 17, CAT, [2, 2, 18, 18]), outlined(2, 18, code(10, 4, 18, 12, 4), [10, 4, 8, 8]))
    whole, cats = load(root), load(root, classes=("cat",))
    before = whole.samples[0].ground_truth()
    assert {*np.unique(before)} == {0, 3, 4}
    np.testing.assert_array_equal(cats.samples[0].ground_truth(), (before == 3).astype(np.uint8))
    assert [one.annotation_id for one in cats.samples[0].instances] == [1]
    assert [one.label for one in cats.samples[0].instances] == [1]
    assert cats.samples[0].annotation_ids == (1,)
    assert cats.category_ids == (17,)


def test_crowds_of_other_classes_are_background(coco) -> None:
    root = coco(
        outlined(1, 17, CAT, [2, 2, 18, 18]),
        outlined(2, 17, code(25, 2, 30, 7), [25, 2, 5, 5], iscrowd=1),
        outlined(3, 18, code(32, 2, 39, 7), [32, 2, 7, 5], iscrowd=1),
        outlined(4, 18, DOG, [12, 8, 18, 18]),
    )
    expected = np.zeros((30, 40), dtype=np.uint8)
    expected[2:7, 25:30] = 255
    sample = load(root, classes=("cat",)).samples[0]
    np.testing.assert_array_equal(sample.ignored(), expected)
    np.testing.assert_array_equal(sample.ground_truth() == 255, expected == 255)
    assert sample.crowds.tolist() == [[25, 2, 30, 7]]
    assert sample.crowd_labels.tolist() == [1]
    assert [one.crowd for one in sample.instances] == [False, True]
    dogs = load(root, classes=("dog",)).samples[0]
    assert dogs.crowds.tolist() == [[32, 2, 39, 7]]
    bus = load(root, classes=("barge",)).samples[0]
    assert bus.ignored is None
    assert not bus.ground_truth().any()


def test_an_object_that_cannot_be_read_may_be_of_any_class(coco) -> None:
    root = coco(
        outlined(1, 17, CAT, [2, 2, 18, 18]),
        outlined(2, 99, [], [25, 2, 5, 7]),  # of no known class
        outlined(3, 18, [], [32, 4, 0, 5]),  # a dog without a width
        outlined(4, 17, [], [5, 25, 0, 3]),  # a cat without one
    )
    assert load(root, classes=("cat",)).samples[0].crowds.tolist() == [[25, 2, 30, 9], [5, 25, 6, 28]]
    assert load(root, classes=("dog",)).samples[0].crowds.tolist() == [[25, 2, 30, 9], [32, 4, 33, 9]]


def test_ids_of_merged_categories(coco) -> None:
    """That of the target; of a new class the lowest of its parts. In results, all ids of its parts are its."""
    root = coco(outlined(1, 6, CAT, [2, 2, 18, 18]), outlined(2, 3, DOG, [12, 8, 18, 18]))
    assert load(root).classes == ("car", "barge", "cat", "dog")  # by ascending id
    found = load(root, merge={"car": "barge", "cat": "pet", "dog": "pet"})
    assert (found.classes, found.category_ids) == (("barge", "pet"), (6, 17))
    assert found.labels_by_category == {3: 1, 6: 1, 17: 2, 18: 2}
    assert found.samples[0].labels.tolist() == [1, 1]
    some = load(root, merge={"barge": "car"}, classes=("dog", "car"))
    assert (some.category_ids, some.labels_by_category) == ((18, 3), {3: 2, 6: 2, 17: 0, 18: 1})
    assert load(root).labels_by_category == {3: 1, 6: 2, 17: 3, 18: 4}


def test_more_classes_than_masks_can_hold_may_be_chosen_from(make_photo, tmp_path: Path) -> None:
    make_photo("images/train/a.jpg")
    labels = tmp_path / "labels" / "train"
    labels.mkdir(parents=True)
    star = "0.1 0.1 0.5 0.1 0.5 0.5 0.3 0.2 0.1 0.5"
    labels.joinpath("a.txt").write_text(
        f"299 {star}\n254 0.6 0.6 0.9 0.6 0.9 0.9 0.7 0.7 0.6 0.8\n3 0.1 0.1 0.4 0.1 0.3 0.2\n"
    )
    names = ", ".join(f"c{number}" for number in range(300))
    (tmp_path / "data.yaml").write_text(f"names: [{names}]\ntrain: images/train\n")
    with pytest.raises(Exception, match=r"300 classes.*choose some by data.classes, or merge some"):
        load(tmp_path)
    found = load(tmp_path, classes=("c299", "c254"))
    assert found.samples[0].labels.tolist() == [1, 2]
    mask = found.samples[0].ground_truth()
    assert {*np.unique(mask)} == {0, 1, 2}
    assert mask[4, 8] == 0  # the c3 lies in front of the c299
    assert mask[10, 18] == 1


def test_data_options_stay_hashable_and_are_written_as_they_are_read() -> None:
    one, other = Data(root=Path("a"), merge={"a": "b"}), Data(root=Path("a"), merge={"a": "c"})
    assert len({one, other, Data(root=Path("a"), merge={"a": "b"})}) == 2
