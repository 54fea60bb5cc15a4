from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from annotation_writers import write_coco, write_voc, write_yolo
from boxseg import formats
from boxseg.config import Data
from boxseg.dataset import BoxDataset, Sample

WRITERS = {"voc": write_voc, "coco": write_coco, "yolo": write_yolo}
NAMES = ["ant", "a & <b>", "c: d", "person", "Größe", "7", "no"]


@st.composite
def samples(draw: st.DrawFn, number: int, classes: int) -> dict:
    width, height = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    boxes, difficult = [], []
    for _ in range(draw(st.integers(0, 3))):
        # Quarters of a pixel are exact in every format's arithmetic; at least a pixel wide, inside the photo.
        x1, y1 = draw(st.integers(0, 4 * (width - 1))), draw(st.integers(0, 4 * (height - 1)))
        x2, y2 = draw(st.integers(x1 + 4, 4 * width)), draw(st.integers(y1 + 4, 4 * height))
        boxes.append([x1 / 4, y1 / 4, x2 / 4, y2 / 4])
        difficult.append(draw(st.booleans()))
    labels = draw(st.lists(st.integers(1, classes), min_size=len(boxes), max_size=len(boxes)))
    name = draw(st.sampled_from(["img", "sub/img", "a.b", "with space", "größe"]))
    suffix = draw(st.sampled_from([".jpg", ".png"]))
    return {
        "id": f"{name}{number}",
        "suffix": suffix,
        "width": width,
        "height": height,
        "boxes": np.array(boxes, dtype=np.float64).reshape(-1, 4),
        "labels": np.array(labels, dtype=np.int64),
        "difficult": np.array(difficult, dtype=bool),
    }


@st.composite
def datasets(draw: st.DrawFn) -> tuple[tuple[str, ...], list[dict]]:
    # A VOC folder holds no list of classes: every class has a box, and they are sorted.
    count = draw(st.integers(1, 3))
    found = [draw(samples(number, len(NAMES))) for number in range(count)]
    found[0].update(width=50, height=50, boxes=np.array([[0.0, 0.0, 50.0, 50.0]] * len(NAMES)))
    found[0].update(labels=np.arange(1, len(NAMES) + 1), difficult=np.zeros(len(NAMES), dtype=bool))
    return tuple(sorted(NAMES)), found


def store(root: Path, classes: tuple[str, ...], found: list[dict]) -> BoxDataset:
    made = []
    for item in found:
        item = dict(item)
        path = root / "photos" / f"{item['id']}{item.pop('suffix')}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (item["width"], item["height"])).save(path)
        made.append(Sample(image=path, **item))
    return BoxDataset(root=root, format="voc", split="train", classes=classes, samples=tuple(made))


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=25)
@given(datasets())
def test_written_and_read_back(name: str, drawn) -> None:
    with tempfile.TemporaryDirectory() as folder:
        before = store(Path(folder) / "source", *drawn)
        root = Path(folder) / "written"
        WRITERS[name](before, root)
        after = formats.load(Data(root=root))
        assert after.format == name
        assert after.problems == ()
        assert after.classes == before.classes
        found = {sample.id: sample for sample in after.samples}
        assert len(found) == len(before)
        for sample in before.samples:
            read = found[sample.id]
            assert (read.width, read.height) == (sample.width, sample.height)
            assert read.labels.tolist() == sample.labels.tolist()
            assert read.image.read_bytes() == sample.image.read_bytes()
            if name == "yolo":
                assert np.allclose(read.boxes, sample.boxes, atol=1e-9)
            else:
                assert np.array_equal(read.boxes, sample.boxes)
            if name == "voc":
                assert np.array_equal(read.difficult, sample.difficult)


def test_real_photos_through_every_format(shared_data: Path, tmp_path: Path) -> None:
    for source in ("voc2012", "coco"):
        before = formats.load(Data(root=shared_data / source, limit=12))
        for name, write in WRITERS.items():
            root = tmp_path / source / name
            write(before, root)
            after = formats.load(Data(root=root))
            assert (after.format, len(after)) == (name, 12)
            assert after.problems == ()
            names = [[before.classes[i - 1] for i in sample.labels] for sample in before.samples]
            read = {sample.id: sample for sample in after.samples}
            for sample, expected in zip(before.samples, names, strict=True):
                other = read[sample.id]
                assert [after.classes[i - 1] for i in other.labels] == expected
                assert np.allclose(other.boxes, sample.boxes, atol=1e-9)
                if name == "coco":
                    assert np.allclose(other.crowds, sample.crowds)
                if name == "voc" and source == "voc2012":
                    assert np.array_equal(other.ground_truth(), sample.ground_truth())


def test_two_splits_in_one_folder(tmp_path: Path) -> None:
    drawn = {"width": 20, "height": 10, "boxes": np.array([[0.0, 0, 5, 5]]), "labels": np.array([1])}
    for name, write in WRITERS.items():
        root = tmp_path / name
        for split in ("train", "val"):
            item = {**drawn, "id": f"{split}0", "suffix": ".jpg", "difficult": np.array([False])}
            dataset = store(tmp_path / "source", ("ant",), [item])
            write(
                BoxDataset(root=root, format=name, split=split, classes=("ant",), samples=dataset.samples), root
            )
        for split in ("train", "val"):
            assert [sample.id for sample in formats.load(Data(root=root, split=split)).samples] == [f"{split}0"]
