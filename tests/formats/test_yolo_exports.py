"""YOLO's files as Label Studio, darknet, labelImg and Roboflow export them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from boxseg.errors import DataError
from yolo_files import kinds, load


@pytest.fixture
def add(add_yolo):
    return add_yolo


def test_an_export_of_label_studio(tmp_path: Path, add) -> None:
    """images/, labels/, classes.txt and notes.json; a task that nobody has annotated has no label file."""
    add("3fa85f64-a", "1 0.5 0.5 0.5 0.5", folder="")
    add("b", None, folder="")
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "classes.txt").write_text("cat\ndog\n\n")
    notes = {"categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}], "info": {"year": 2023}}
    (tmp_path / "notes.json").write_text(json.dumps(notes))
    for _ in range(2):
        dataset = load(tmp_path)
        assert (dataset.format, dataset.classes) == ("yolo", ("cat", "dog"))
        assert [(sample.id, sample.labels.tolist()) for sample in dataset.samples] == [("3fa85f64-a", [2])]
        assert kinds(dataset) == [("b.txt", "image without label file", "skipped")]
        (tmp_path / "classes.txt").unlink(missing_ok=True)  # notes.json has the names, too
    with pytest.raises(DataError, match=r"no split 'val' \(there are: train\)"):
        load(tmp_path, split="val")


@pytest.mark.parametrize("prefix", ["data/", "", "/home/me/build/"])
def test_an_export_for_darknet(tmp_path: Path, make_photo, prefix: str) -> None:
    for subset, key in (("train", 0), ("valid", 1)):
        photo = make_photo(f"obj_{subset}_data/a.jpg", width=40, height=20)
        photo.with_suffix(".txt").write_text(f"{key} 0.5 0.5 0.5 0.5\n")
        (tmp_path / f"{subset}.txt").write_text(f"{prefix}obj_{subset}_data/a.jpg\n")
    (tmp_path / "obj.names").write_text("cat\ndog\n")
    (tmp_path / "obj.data").write_text(
        f"classes = 2\ntrain = {prefix}train.txt\nvalid = {prefix}valid.txt\n"
        f"names = {prefix}obj.names\nbackup = backup/\n"
    )
    for split, label in (("train", 1), ("val", 2), ("valid", 2)):
        dataset = load(tmp_path, split=split)
        assert (dataset.format, dataset.classes, dataset.problems) == ("yolo", ("cat", "dog"), ())
        (sample,) = dataset.samples
        assert (sample.id, sample.labels.tolist()) == ("a", [label])
        assert sample.boxes.tolist() == [[10, 5, 30, 15]]


@pytest.mark.parametrize("names", ["classes.txt", "_darknet.labels"])
@pytest.mark.parametrize("folder", ["", "train/"])
def test_photos_and_labels_in_one_folder(tmp_path: Path, make_photo, names: str, folder: str) -> None:
    """As labelImg leaves them, or darknet's export of Roboflow."""
    make_photo(f"{folder}a.jpg", width=40, height=20).with_suffix(".txt").write_text("1 0.5 0.5 0.5 0.5")
    make_photo(f"{folder}b.jpg")
    (tmp_path / folder / names).write_text("cat\ndog")
    dataset = load(tmp_path)
    assert (dataset.format, dataset.classes) == ("yolo", ("cat", "dog"))
    assert [(sample.id, sample.boxes.tolist()) for sample in dataset.samples] == [("a", [[10, 5, 30, 15]])]
    assert kinds(dataset) == [("b.txt", "image without label file", "skipped")]


def test_splits_without_a_description(tmp_path: Path, add) -> None:
    add("a", "0 0.5 0.5 0.5 0.5")
    add("b", "1 0.5 0.5 0.5 0.5", folder="valid")
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "labels" / "train" / "classes.txt").write_text("cat\ndog\n")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    for split, name in (("train", "a"), ("val", "b"), ("valid", "b")):
        dataset = load(tmp_path, split=split)
        assert ([sample.id for sample in dataset.samples], dataset.problems) == ([name], ())


def test_a_list_of_classes_without_labels_is_no_data_set(tmp_path: Path, make_photo) -> None:
    make_photo("images/a.jpg")
    (tmp_path / "classes.txt").write_text("1 cat\n")
    (tmp_path / "readme.txt").write_text("a")
    with pytest.raises(DataError, match="format not recognised"):
        load(tmp_path)
