"""Which files are Label Studio's, and which of them a split is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from boxseg import formats
from boxseg.config import Data
from boxseg.errors import DataError
from label_studio_files import rectangle, task


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"data": ', "is not valid JSON"),
        ('[{"annotations": []}]', "task number 1 has no data.*not JSON-MIN"),
        ('[{"image": "/data/a.jpg", "id": 1, "label": [{"x": 1}]}]', "task number 1 has no data.*not JSON-MIN"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "export.json").write_text(content)
    with pytest.raises(DataError, match=message):
        formats.load(Data(root=tmp_path))


def test_splits_are_files(tmp_path: Path, make_photo) -> None:
    for name, label in (("train", "cat"), ("val", "ant")):
        make_photo(f"{name}/p.jpg")
        (tmp_path / f"{name}.json").write_text(
            json.dumps([task(f"{name}/p.jpg", rectangle(label, 0, 0, 9, 9))])
        )
    for split, label in (("train", 2), ("val", 1)):
        dataset = formats.load(Data(root=tmp_path, split=split))
        assert (dataset.format, dataset.classes) == ("label-studio", ("ant", "cat"))
        assert dataset.samples[0].labels.tolist() == [label]
        assert dataset.samples[0].image.parent.name == split


def test_coco_is_still_taken_for_coco(tmp_path: Path, make_photo) -> None:
    make_photo("a.jpg")
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "train.json").write_text(json.dumps(content))
    (tmp_path / "results.json").write_text(json.dumps([{"image_id": 1, "category_id": 1, "score": 1}]))
    assert formats.load(Data(root=tmp_path)).format == "coco"


@pytest.mark.parametrize("other", ['["cat", "dog"]', "[1, 2]", '[{"name": "cat"}]'])
def test_another_list_beside_the_tasks_does_no_harm(tmp_path: Path, make_photo, other: str) -> None:
    make_photo("a.jpg")
    own = [{"result": [rectangle("cat", 0, 0, 50, 50)]}]
    (tmp_path / "project.json").write_text(json.dumps([{"data": {"image": "a.jpg"}, "annotations": own}]))
    (tmp_path / "classes.json").write_text(other)
    for data in (Data(root=tmp_path / "project.json"), Data(root=tmp_path, annotations=Path("project.json"))):
        assert formats.load(data).classes == ("cat",)
    if "{" not in other:
        assert formats.load(Data(root=tmp_path)).format == "label-studio"


def test_a_list_of_classes_beside_a_table_does_no_harm(tmp_path: Path, make_photo) -> None:
    make_photo("a.jpg")
    (tmp_path / "train.csv").write_text("filename,xmin,ymin,xmax,ymax,class\na.jpg,1,1,9,9,cat\n")
    (tmp_path / "classes.json").write_text('["cat", "dog"]')
    assert formats.load(Data(root=tmp_path)).format == "csv"


def test_a_single_annotation_may_be_long(tmp_path: Path, make_photo) -> None:
    for name in "ab":
        make_photo(f"{name}.jpg")
        result = [rectangle("cat", 0, 0, 50, 50)] * (2000 if name == "b" else 1)
        own = {"id": 1, "result": result, "task": {"id": name, "data": {"image": f"{name}.jpg"}}}
        (tmp_path / f"{name}.json").write_text(json.dumps(own))
    assert (tmp_path / "b.json").stat().st_size > 2**17
    assert [sample.id for sample in formats.load(Data(root=tmp_path)).samples] == ["a", "b"]


def test_files_of_single_annotations(tmp_path: Path, make_photo) -> None:
    """As target storages hold them, each with its task; the classes are those of all folders."""

    def put(name: str, photo: str, *results: dict[str, Any], **more: Any) -> None:
        owner = {"id": more.pop("task", 1), "data": {"image": photo}}
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"id": 1, "result": results, "was_cancelled": False, "task": owner, **more}))

    for name in "abc":
        make_photo(f"photos/{name}.jpg")
    put("train/1.json", "a.jpg", rectangle("dog", 0, 0, 50, 50), updated_at="2024")
    put("train/2.json", "a.jpg", rectangle("cat", 50, 50, 50, 50), updated_at="2025")
    put("train/3.json", "s3://bucket/b.jpg", rectangle("dog", 0, 0, 50, 50), task=2)
    put("val/4.json", "c.jpg", rectangle("emu", 0, 0, 50, 50), task=3)
    dataset = formats.load(Data(root=tmp_path))
    assert (dataset.format, dataset.classes) == ("label-studio", ("cat", "dog", "emu"))
    a, b = dataset.samples
    assert (a.labels.tolist(), a.boxes.tolist()) == ([1], [[20, 15, 40, 30]])  # the latest annotation
    assert (b.id, b.labels.tolist()) == ("b", [2])
    assert [sample.id for sample in formats.load(Data(root=tmp_path, split="val")).samples] == ["c"]
    with pytest.raises(DataError, match=r"no folder of split 'test' .*there are: train, val"):
        formats.load(Data(root=tmp_path, split="test"))
    for folder, name in (("train", "1"), ("train", "2"), ("val", "4")):
        (tmp_path / folder / f"{name}.json").unlink()
    assert [sample.id for sample in formats.load(Data(root=tmp_path)).samples] == ["b"]
    chosen = formats.load(Data(root=tmp_path, split="val", annotations=Path("train/3.json")))
    assert [sample.id for sample in chosen.samples] == ["b"]
    (tmp_path / "train" / "3.json").write_text('{"id": 1, "result": [], "task": 5}')
    with pytest.raises(DataError, match="an annotation without its task"):
        formats.load(Data(root=tmp_path))


def test_annotations_of_a_storage_without_a_suffix(tmp_path: Path, make_photo) -> None:
    for number, name in enumerate("ab", start=1):
        make_photo(f"{name}.jpg")
        result = [rectangle("cat", 0, 0, 50, 50)]
        own = {"id": number, "result": result, "task": {"id": number, "data": {"image": f"{name}.jpg"}}}
        (tmp_path / "out" / str(number)).parent.mkdir(exist_ok=True)
        (tmp_path / "out" / str(number)).write_text(json.dumps(own))
    (tmp_path / "out" / "README").write_text("notes")
    dataset = formats.load(Data(root=tmp_path))
    assert (dataset.format, [sample.id for sample in dataset.samples]) == ("label-studio", ["a", "b"])
    assert dataset.problems == ()
