"""Where a COCO file and its photos may be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from boxseg import formats
from boxseg.config import Data
from boxseg.errors import DataError


@pytest.fixture
def content(coco_content):
    return coco_content


@pytest.fixture
def read(read_coco):
    return read_coco


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("annotations/instances_train.json", {}),
        ("annotations/instances_train2017.json", {}),
        ("annotations/train.json", {}),
        ("train/_annotations.coco.json", {}),
        ("train.json", {}),
        ("anything.json", {}),
        ("anything.json", {"annotations": Path("anything.json"), "images": Path("train"), "split": "val"}),
        ("annotations/instances_x.json", {"split": "x", "images": Path("train")}),
    ],
)
def test_where_annotations_may_be(content, read, name: str, options) -> None:
    assert [sample.id for sample in read(content, name, **options).samples] == ["a", "b"]


def test_a_file_for_training_is_not_taken_for_another_split(content, read) -> None:
    for name in ("anything.json", "annotations/instances_train2017.json"):
        with pytest.raises(DataError, match="no COCO split 'val'"):
            read(content, name, split="val")


def test_a_file_for_validation_is_not_taken_for_training(content, read) -> None:
    with pytest.raises(DataError, match=r"no COCO split 'train' .*there are: val2017\)"):
        read(content, "annotations/instances_val2017.json")


@pytest.mark.parametrize("folder", ["train", "images/train", "images", "annotations", "."])
def test_where_photos_may_be(content, read, make_photo, tmp_path: Path, folder: str) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "train" / name).rename(tmp_path / folder / name)
    assert len(read(content)) == 2


def test_photos_nowhere(content, read, tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "train" / name).unlink()
    with pytest.raises(DataError, match=r"no photo found \(a\.jpg and others looked for in .*data\.images"):
        read(content)
    with pytest.raises(DataError, match="no such image folder"):
        read(content, images=Path("nowhere"))
    with pytest.raises(DataError, match="no such annotation file"):
        read(content, annotations=Path("nowhere.json"))


def test_photos_in_a_folder_of_another_name_are_found(tmp_path: Path, make_photo) -> None:
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 0, "bbox": [1, 2, 3, 4]}],
        "categories": [{"id": 0, "name": "cat"}],
    }
    (tmp_path / "export.json").write_text(json.dumps(content))
    make_photo("pictures/holiday/a.jpg")
    dataset = formats.load(Data(root=tmp_path))
    assert dataset.samples[0].image == tmp_path / "pictures/holiday/a.jpg"

    make_photo("others/a.jpg")  # which of the two is not to be guessed
    with pytest.raises(
        DataError, match=r"a\.jpg may be any of 2 photos .*others/a\.jpg, pictures.*data\.images"
    ):
        formats.load(Data(root=tmp_path))
