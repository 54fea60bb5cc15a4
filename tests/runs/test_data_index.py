"""The index of a data set: the same data set again, or none where anything has changed."""

import dataclasses
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from boxseg import formats
from boxseg.config import Data
from boxseg.data.toy import write_toy
from boxseg.dataset import BoxDataset, Sample
from boxseg.formats import samples
from boxseg.formats.masks import truth_digest
from boxseg.runs import data_index
from boxseg.runs.data_index import IndexedSplits

pytest.importorskip("pyarrow")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index of any data set, however small."""
    monkeypatch.setattr(data_index, "FEWEST", 1)
    monkeypatch.setattr(samples, "FEW", 0)


def coco(root: Path) -> Data:
    """Three photos with outlines, a crowd, a box that is dropped and an id that is text."""
    (root / "train").mkdir(parents=True)
    for name, size in (("a", (60, 40)), ("é b", (50, 50)), ("c", (30, 20))):
        Image.new("RGB", size).save(root / "train" / f"{name}.jpg")
    images = [{"id": n, "file_name": f"{name}.jpg"} for n, name in enumerate(("a", "é b", "c", "gone"))]
    outline = [[2, 2, 20, 2, 20, 17.5, 9, 19]]
    code = {"size": [40, 60], "counts": [100, 30, 2270]}
    annotations = [
        {"id": 1, "image_id": 0, "category_id": 4, "bbox": [2, 2, 18, 17], "area": 9, "segmentation": outline},
        {"id": 2, "image_id": 0, "category_id": 4, "bbox": [2, 2, 9, 9], "iscrowd": 1, "segmentation": code},
        {"id": "x", "image_id": 1, "category_id": 9, "bbox": [1, 2, 12, 15], "segmentation": outline},
        {"id": 4, "image_id": 2, "category_id": 9, "bbox": [5, 5, 0, 3], "segmentation": outline},
    ]
    categories = [{"id": 9, "name": "cat"}, {"id": 4, "name": "dog"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_train.json").write_text(json.dumps(content))
    return Data(root=root)


def voc(root: Path) -> Data:
    write_toy(root, train=12, val=2, size=48)
    return Data(root=root)


def chosen_voc(root: Path) -> Data:
    data = voc(root)
    return dataclasses.replace(data, classes=(formats.load(data).classes[1],))


KINDS: dict[str, Callable[[Path], Data]] = {"coco": coco, "voc": voc, "chosen": chosen_voc}


def look(sample: Sample) -> list[object]:
    """All of a sample, comparable."""
    fields = [getattr(sample, each.name) for each in dataclasses.fields(Sample)]
    plain = [(str(x.dtype), x.shape, x.tolist()) if isinstance(x, np.ndarray) else x for x in fields]
    truths = [None if read is None else read().tolist() for read in (sample.ground_truth, sample.ignored)]
    return [*(repr(x) for x in plain), truths, truth_digest(sample.ground_truth)]


def same(one: BoxDataset, other: BoxDataset) -> None:
    """Check that two data sets say the same."""
    names = [each.name for each in dataclasses.fields(BoxDataset) if each.name != "samples"]
    assert [getattr(one, name) for name in names] == [getattr(other, name) for name in names]
    assert [look(sample) for sample in one.samples] == [look(sample) for sample in other.samples]


def keep(data: Data, out: Path, **load: Any) -> BoxDataset:
    """What a command does: read a split, open its folder, keep the index."""
    splits = IndexedSplits(out)
    found = splits.load(data, **load)
    out.mkdir(parents=True, exist_ok=True)
    splits.keep(out)
    return found


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The splits that are read from their files."""
    found: list[str] = []
    load = formats.load

    def counting(data: Data, **options: Any) -> BoxDataset:
        found.append(data.split)
        return load(data, **options)

    monkeypatch.setattr(formats, "load", counting)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_second_command_gets_the_same_without_reading(tmp_path: Path, kind: str, reads: list[str]) -> None:
    data = KINDS[kind](tmp_path / "data")
    del reads[:]
    first = keep(data, tmp_path / "out")
    assert first.problems or kind != "coco"
    same(first, keep(data, tmp_path / "out"))
    # A stage in the folder of a run finds that of the run.
    same(first, keep(data, tmp_path / "out" / "label"))
    assert reads == ["train"]
    assert not (tmp_path / "out" / "label" / ".index").exists()
    same(first, formats.load(data))


def touch(data: Data) -> None:
    photo = next(data.root.rglob("*.jpg"))
    os.utime(photo, (1, 1))


def grow(data: Data) -> None:
    annotation = next(iter([*data.root.rglob("*.xml"), *data.root.rglob("*.json")]))
    times = annotation.stat()
    annotation.write_bytes(annotation.read_bytes() + b"\n")
    os.utime(annotation, ns=(times.st_atime_ns, times.st_mtime_ns))


def add(data: Data) -> None:
    shutil.copy2(photo := next(data.root.rglob("*.jpg")), photo.with_name("new.jpg"))


def remove(data: Data) -> None:
    next(data.root.rglob("*.jpg")).unlink()


@pytest.mark.parametrize("change", [touch, grow, add, remove])
@pytest.mark.parametrize("kind", ["coco", "voc"])
def test_what_has_changed_is_read_anew_and_said(
    tmp_path: Path, kind: str, change: Callable[[Data], None], reads: list[str], caplog: Any
) -> None:
    caplog.set_level(logging.INFO, "boxseg")
    data = KINDS[kind](tmp_path / "data")
    keep(data, tmp_path / "out")
    change(data)
    del reads[:]
    found = keep(data, tmp_path / "out")
    assert reads == ["train"]
    assert len(caplog.messages) == 1
    assert "files of the data set have changed since: read anew" in caplog.messages[0]
    same(found, formats.load(data))
    del reads[:]
    same(found, keep(data, tmp_path / "out"))
    assert reads == []


def test_photos_outside_of_the_data_set_are_looked_at_too(tmp_path: Path, reads: list[str]) -> None:
    data = coco(tmp_path / "data")
    elsewhere = tmp_path / "elsewhere"
    (data.root / "train").rename(elsewhere)
    (data.root / "train").symlink_to(elsewhere)
    keep(data, tmp_path / "out")
    os.utime(elsewhere / "a.jpg", (1, 1))
    keep(data, tmp_path / "out")
    assert reads == ["train", "train"]


def test_annotations_outside_of_the_data_set_are_looked_at_too(tmp_path: Path, reads: list[str]) -> None:
    for name in "ab":
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("RGB", (40, 30)).save(tmp_path / "photos" / f"{name}.jpg")
    table = tmp_path / "ann" / "boxes.csv"
    table.parent.mkdir()
    data = Data(root=tmp_path / "photos", annotations=Path("../ann/boxes.csv"))
    for corner in (9, 12):
        table.write_text(f"filename,xmin,ymin,xmax,ymax,class\na.jpg,1,1,{corner},9,cat\nb.jpg,1,1,9,9,cat\n")
        os.utime(table, (corner, corner))
        found = keep(data, tmp_path / "out")
        assert found.samples[0].boxes.tolist() == [[1, 1, corner, 9]]
    keep(data, tmp_path / "out")
    assert reads == ["train", "train"]


@pytest.mark.parametrize("option", [{"limit": 1}, {"exif": "ignore"}, {"classes": ("cat",)}])
def test_other_options_have_an_index_of_their_own(
    tmp_path: Path, option: dict[str, Any], reads: list[str]
) -> None:
    data = coco(tmp_path / "data")
    keep(data, tmp_path / "out")
    other = dataclasses.replace(data, **option)
    del reads[:]
    found = keep(other, tmp_path / "out")
    assert reads == ["train"]
    same(found, keep(other, tmp_path / "out"))
    same(keep(data, tmp_path / "out"), formats.load(data))


def test_results_of_boxseg_below_the_data_set_change_nothing(tmp_path: Path, reads: list[str]) -> None:
    data = voc(tmp_path / "data")
    out = data.root / "out"
    keep(data, out)
    for name in ("config.yaml", "versions.json", "labels/a.png"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("{}")
    keep(data, out)
    assert reads == ["train"]


def test_any_damage_of_a_file_is_seen(tmp_path: Path, reads: list[str], caplog: Any) -> None:
    caplog.set_level(logging.INFO, "boxseg")
    data = coco(tmp_path / "data")
    first = keep(data, tmp_path / "out")
    (folder,) = (tmp_path / "out" / ".index").iterdir()
    names = sorted(file.name for file in folder.iterdir())
    assert "photos.parquet" in names
    for count, name in enumerate(names, start=2):
        file = folder / name
        content = file.read_bytes()
        # Of the parts of a file, its data come first; at the end is where they are.
        for broken in (content[:-9], b"", content[:30] + bytes([content[30] ^ 255]) + content[31:]):
            file.write_bytes(broken)
            same(first, IndexedSplits(tmp_path / "out").load(data))
        file.write_bytes(content)
        assert len(reads) == 1 + 3 * (count - 1), (name, caplog.messages[-1])
    assert all("it is damaged" in message for message in caplog.messages)


def test_a_small_data_set_and_one_with_files_elsewhere_have_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = coco(tmp_path / "data")
    keep(dataclasses.replace(data, outside=True), tmp_path / "out")
    monkeypatch.setattr(data_index, "FEWEST", 5000)
    keep(data, tmp_path / "out")
    assert not (tmp_path / "out" / ".index").exists()


def test_without_pyarrow_all_is_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    data = coco(tmp_path / "data")
    keep(data, tmp_path / "out")
    monkeypatch.setattr(data_index, "find_spec", lambda _: None)
    same(keep(data, tmp_path / "out"), formats.load(data))
    assert not caplog.messages


def test_ground_truth_of_an_unknown_kind_is_not_written(tmp_path: Path) -> None:
    data = coco(tmp_path / "data")
    found = formats.load(data)
    odd = dataclasses.replace(found.samples[0], ground_truth=lambda: np.zeros((1, 1), np.uint8))
    assert not formats_can_be_written(dataclasses.replace(found, samples=(odd,)))


def formats_can_be_written(dataset: BoxDataset) -> bool:
    from boxseg.formats.parquet import can_be_written
    from boxseg.formats.samples import packed

    return can_be_written(dataclasses.replace(dataset, samples=packed(dataset.samples)))
