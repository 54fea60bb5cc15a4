"""Whole commands on some classes of a data set: labels, masks, scores and conversions agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import boxseg
from boxseg import formats
from boxseg.cli import execute
from boxseg.config import Data
from boxseg.errors import ConfigError, DataError
from boxseg.formats.masks import read_mask

BY_BOX = {"label": {"method": "box", "crf": {"enabled": False}}}
# Outlines that fill half of their boxes.
TRUCK, CAR, DOG = ([10, 5, 30, 5, 30, 25], [2, 8, 8, 8, 8, 18], [25, 10, 38, 10, 38, 28])
CATEGORIES = [
    {"id": 8, "name": "truck", "supercategory": "vehicle"},
    {"id": 3, "name": "car", "supercategory": "vehicle", "colour": "red"},
    {"id": 18, "name": "dog", "supercategory": "animal"},
]


def annotation(own_id: int, category: int, outline: list[int], **more: Any) -> dict[str, Any]:
    x, y = outline[::2], outline[1::2]
    box = [min(x), min(y), max(x) - min(x), max(y) - min(y)]
    known = {"id": own_id, "image_id": 1, "category_id": category, "bbox": box, "iscrowd": 0}
    return {**known, "segmentation": [outline], **more}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A COCO set of two photos: a truck, a car and a dog; and a dog."""
    root = tmp_path / "data"
    (root / "train").mkdir(parents=True)
    for name in "ab":
        Image.new("RGB", (40, 30), (9, 99, 199)).save(root / "train" / f"{name}.png")
    content = {
        "info": {"of": "mine"},
        "images": [{"id": number, "file_name": f"{name}.png"} for number, name in enumerate("ab", start=1)],
        "annotations": [
            annotation(7, 8, TRUCK),
            annotation(5, 18, DOG, note="mine"),
            annotation(9, 3, CAR),
            annotation(2, 18, DOG, image_id=2),
        ],
        "categories": CATEGORIES,
    }
    (root / "train.json").write_text(json.dumps(content))
    return root


def test_merged_and_left_out_classes_from_boxes_to_scores(data: Path, tmp_path: Path) -> None:
    words = [f"data={data}", "data.merge={truck: car}", "data.classes=[car]"]
    by_box = ["label.method=box", "label.crf=false"]
    assert execute(["label", *words, f"out={tmp_path / 'out'}", *by_box]) == 0
    out = tmp_path / "out"

    # The user's own file comes back with its own categories, and the dogs as they were.
    before, after = json.loads((data / "train.json").read_text()), json.loads((out / "masks.json").read_text())
    assert {key: after[key] for key in ("info", "images", "categories")} == {
        key: before[key] for key in ("info", "images", "categories")
    }
    assert [(one["id"], one["category_id"]) for one in after["annotations"]] == [
        (7, 8),
        (5, 18),
        (9, 3),
        (2, 18),
    ]
    assert [after["annotations"][place] for place in (1, 3)] == [
        before["annotations"][place] for place in (1, 3)
    ]
    assert [one.get("source") for one in after["annotations"]] == ["box", None, "box", None]

    # Labels: dogs are background, also where they lie in front.
    expected = np.zeros((30, 40), np.uint8)
    expected[5:25, 10:30] = expected[8:18, 2:8] = 1
    np.testing.assert_array_equal(read_mask(out / "labels" / "a.png"), expected)
    assert not read_mask(out / "labels" / "b.png").any()
    names = json.loads((out / "labelmap.json").read_text())
    assert [(one["value"], one["name"], one.get("category_id")) for one in names] == [
        (0, "background", None),
        (1, "car", 3),
    ]

    # Scores: the ground truth is by the same classes.
    metrics = json.loads((out / "metrics.json").read_text())
    truth = formats.load(Data(root=data, classes=("car",), merge={"truck": "car"})).samples[0].ground_truth()
    inside = (truth == 1).sum() / expected.sum()
    assert metrics["labels"]["iou"]["car"] == pytest.approx(inside)
    assert metrics["instances"]["masks"]["objects"] == 2

    # The masks of trucks and cars are both those of cars, and results of dogs are nobody's.
    options = {"root": data, "classes": ["car"], "merge": {"truck": "car"}}
    found = boxseg.evaluate(instances=out, data=options, out=tmp_path / "scores").scores
    assert found.parts["masks"].ious.without_mask == 0
    results = [{**one, "score": 1.0} for one in after["annotations"]]
    (tmp_path / "results.json").write_text(json.dumps(results))
    more = boxseg.evaluate(instances=tmp_path / "results.json", data=options, out=tmp_path / "more").scores
    assert more.parts["results"].ious == found.parts["masks"].ious


def test_the_count_of_boxes_left_out_is_said(data: Path, tmp_path: Path) -> None:
    done = boxseg.label(data={"root": data, "classes": ["dog"]}, out=tmp_path / "out", **BY_BOX)
    assert done.left_out == 2
    assert "(2 for 2 boxes; none for 2 boxes of classes left out)" in done.notes()[0]
    whole = boxseg.label(data=data, out=tmp_path / "all", **BY_BOX)
    assert "(4 for 4 boxes)" in whole.notes()[0]


def test_labels_and_data_need_the_same_classes(data: Path, tmp_path: Path) -> None:
    boxseg.label(data={"root": data, "classes": ["dog", "car"]}, out=tmp_path / "out", **BY_BOX)
    with pytest.raises(DataError, match=r"other classes .*: dog, car, not car, dog"):
        boxseg.evaluate(
            labels=tmp_path / "out", data={"root": data, "classes": ["car", "dog"]}, out=tmp_path / "e"
        )
    with pytest.raises(ConfigError, match=r"data\.classes"):
        boxseg.label(data=data, out=tmp_path / "out", **BY_BOX)


@pytest.mark.parametrize("format", ["coco", "voc"])
def test_what_is_converted_has_the_merged_classes(format: str, data: Path, tmp_path: Path) -> None:
    options = {"root": data, "merge": {"truck": "vehicle", "car": "vehicle"}}
    boxseg.label(data=options, out=tmp_path / "out", **BY_BOX)
    boxseg.convert(source=tmp_path / "out", out=tmp_path / "new", format=format)
    found = formats.load(Data(root=tmp_path / "new"))
    assert found.classes == ("vehicle", "dog")
    assert sorted(found.samples[0].labels.tolist()) == [1, 1, 2]


@pytest.mark.parametrize("word", ["data.merge={truck: car, dog: pet}", "merge={truck:car,dog:pet}"])
def test_a_mapping_is_typed_with_or_without_blanks(word: str, data: Path, capsys) -> None:
    assert execute(["doctor", str(data), word, "format=json"]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)["classes"]] == ["car", "pet"]


def test_a_misspelt_class_is_named_on_the_command_line(data: Path, capsys) -> None:
    assert execute(["label", f"data={data}", "data.classes=[dgo]", "out=none"]) == 2
    line = capsys.readouterr().err
    assert "data.classes" in line
    assert "did you mean 'dog'?" in line
