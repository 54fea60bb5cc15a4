"""labelme's JSON files, written as the tool writes them."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from boxseg import formats
from boxseg.config import Data
from boxseg.dataset import BoxDataset
from boxseg.errors import DataError


def shape(kind: str | None, label: Any, points: Any, **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}, **more}


def put(root: Path, name: str, *shapes: dict[str, Any], photo: str | None = None, **more: Any) -> None:
    path = root / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    size = {"imageHeight": 30, "imageWidth": 40}
    named = photo or f"{path.stem}.jpg"
    content = {"version": "5.0", "flags": {}, "shapes": shapes, "imagePath": named, "imageData": None, **size}
    path.write_text(json.dumps({**content, **more}), encoding="utf-8")


def load(root: Path, **options: Any) -> BoxDataset:
    return formats.load(Data(root=root, **options))


def kinds(dataset: BoxDataset) -> list[tuple[str, str, str]]:
    return [(problem.file.name, problem.kind, problem.action) for problem in dataset.problems]


def test_rectangles_and_circles_are_boxes(tmp_path: Path, make_photo) -> None:
    for name in ("a", "b", "bare"):
        make_photo(f"{name}.jpg")
    put(
        tmp_path,
        "a",
        shape("rectangle", "dog", [[20, 28], [2.5, 3]]),
        shape("circle", "cat", [[20, 15], [23, 19]]),
        shape("rectangle", "dog", [[1, 2], [5, 2], [5, 6], [1, 6]]),
    )
    put(tmp_path, "b")
    dataset = load(tmp_path)
    assert (dataset.format, dataset.classes, dataset.problems) == ("labelme", ("cat", "dog"), ())
    a, b = dataset.samples
    assert a.boxes.tolist() == [[2.5, 3, 20, 28], [15, 10, 25, 20], [1, 2, 5, 6]]
    assert a.labels.tolist() == [2, 1, 2]
    assert (b.id, len(b.boxes), a.ground_truth, b.ground_truth) == ("b", 0, None, None)


def test_an_ignored_circle_is_ignored_with_the_box_around_it(tmp_path: Path, make_photo) -> None:
    make_photo("a.jpg")
    circle = shape("circle", "__ignore__", [[20, 15], [23, 19]])
    put(tmp_path, "a", shape("rectangle", "dog", [[1, 2], [5, 6]]), circle)
    (sample,) = load(tmp_path).samples
    assert sample.crowds.tolist() == [[15, 10, 25, 20]]


def test_polygons_and_masks_are_ground_truth(tmp_path: Path, make_photo) -> None:
    make_photo("a.jpg")
    make_photo("b.jpg")
    bits = np.zeros((4, 6), bool)
    bits[1:, 2:] = True
    png = io.BytesIO()
    Image.fromarray(bits).save(png, format="PNG")
    mask = base64.b64encode(png.getvalue()).decode()
    put(
        tmp_path,
        "a",
        shape("polygon", "dog", [[2, 3], [10, 3], [10, 12], [2, 12]], group_id=1),
        shape("polygon", "dog", [[20, 3], [24, 3], [24, 12], [20, 12]], group_id=1),  # a part of the same dog
        shape(None, "dog", [[30, 3], [34, 3], [34, 8], [32, 8], [32, 12], [30, 12]]),
        shape("mask", "cat", [[5, 20], [10, 23]], mask=mask),
    )
    put(tmp_path, "b")
    dataset = load(tmp_path)
    a, b = dataset.samples
    assert dataset.problems == ()
    assert a.boxes.tolist() == [[2, 3, 24, 12], [30, 3, 34, 12], [5, 20, 11, 24]]
    expected = np.zeros((30, 40), np.uint8)
    expected[3:12, 2:10] = expected[3:12, 20:24] = 2
    expected[3:8, 30:34] = expected[8:12, 30:32] = 2
    expected[20:24, 5:11][bits] = 1
    assert np.array_equal(a.ground_truth(), expected)
    assert len(a.instances) == 3
    assert not b.ground_truth().any()


def test_what_is_no_object_is_not_background(tmp_path: Path, make_photo) -> None:
    for name in "abc":
        make_photo(f"{name}.jpg")
    box = shape("rectangle", "dog", [[1, 1], [5, 5]])
    put(
        tmp_path,
        "a",
        box,
        shape("linestrip", "dog", [[10, 10], [20, 12]]),
        shape("rectangle", "__ignore__", [[30, 20], [35, 25]]),
        shape("rectangle", None, [[20, 20], [25, 25]]),
        shape("mask", "dog", [[2, 20], [6, 24]], mask="no PNG"),
        shape("rotation", "dog", [[10, 2], [14, 6], [12, 8], [8, 4]]),
    )
    put(tmp_path, "b", box, shape("polygon", "dog", [[1, "x"], [2, 3]]))
    put(tmp_path, "c", box, shape("rectangle", "dog", []))
    dataset = load(tmp_path)
    (sample,) = dataset.samples
    assert sample.boxes.tolist() == [[1, 1, 5, 5], [8, 2, 14, 8]]
    assert sample.ground_truth is None
    ignored = sample.ignored() == 255
    for x1, y1, x2, y2 in ((10, 10, 20, 12), (30, 20, 35, 25), (20, 20, 25, 25), (2, 20, 6, 24)):
        assert ignored[y1:y2, x1:x2].all()
    assert ignored.sum() == 20 + 25 + 25 + 16
    assert kinds(dataset) == [
        ("a.json", "neither box, polygon nor mask", "ignored with its box"),
        ("a.json", "marked as ignored", "ignored with its box"),
        ("a.json", "class missing", "ignored with its box"),
        ("a.json", "mask that is no PNG", "ignored with its box"),
        ("a.json", "rotated box", "kept, as the upright box around it"),
        ("b.json", "points that are not pairs of numbers", "skipped"),
        ("c.json", "points that are not pairs of numbers", "skipped"),
    ]


def test_photos_elsewhere_and_of_other_names(tmp_path: Path, make_photo) -> None:
    box = shape("rectangle", "dog", [[1, 1], [5, 5]])
    for place in ("images/a.jpg", "train/b.png", "images/sub/C.JPG", "annotations/renamed.jpg"):
        make_photo(place)
    put(tmp_path, "annotations/a", box, photo="..\\images\\a.jpg")
    put(tmp_path, "annotations/b", box, photo="C:\\x\\b.jpg")
    put(tmp_path, "annotations/c", box, photo="c.jpg")
    put(tmp_path, "annotations/renamed", box, photo="old.jpg")
    put(tmp_path, "annotations/gone", box, photo="../../gone.jpg")
    (tmp_path / "annotations" / "._a.json").write_bytes(b"\0\5\x16\7")
    dataset = load(tmp_path)
    assert [sample.id for sample in dataset.samples] == [
        "images/a",
        "train/b",
        "images/sub/C",
        "annotations/renamed",
    ]
    assert kinds(dataset) == [("gone.json", "photo not found", "skipped")]


def test_splits_are_folders(tmp_path: Path, make_photo) -> None:
    for split, label in (("train", "dog"), ("val", "cat")):
        make_photo(f"{split}/a.jpg")
        put(tmp_path, f"{split}/a", shape("rectangle", label, [[1, 1], [5, 5]]))
    for split, label in (("train", 2), ("val", 1)):
        dataset = load(tmp_path, split=split)
        assert dataset.classes == ("cat", "dog")  # of all splits
        assert [sample.labels.tolist() for sample in dataset.samples] == [[label]]
        assert dataset.samples[0].image == tmp_path / split / "a.jpg"
    with pytest.raises(DataError, match=r"no split 'vall', did you mean 'val'.*there are: train, val"):
        load(tmp_path, split="vall")
    only = load(tmp_path / "val" / "a.json")
    assert (only.format, only.classes) == ("labelme", ("cat",))


def test_files_that_are_broken(tmp_path: Path, make_photo) -> None:
    for name in "abc":
        make_photo(f"{name}.jpg")
    put(tmp_path, "a", shape("rectangle", "dog", [[1, 1], [5, 5]]))
    put(tmp_path, "b", shapes=7)
    (tmp_path / "c.json").write_text('{"shapes": [], "imagePath": "c.jpg"')
    dataset = load(tmp_path)
    assert [sample.id for sample in dataset.samples] == ["a"]
    assert kinds(dataset) == [
        ("b.json", "no list of shapes, expected a file of labelme", "skipped"),
        ("c.json", "annotation file is not valid JSON", "skipped"),
    ]
