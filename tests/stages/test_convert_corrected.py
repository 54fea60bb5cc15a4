"""Corrected labels for other programs: without boxes that are left out, or only with what is to be redrawn."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from annotation_writers import write_coco
from boxseg import formats
from boxseg.cli import execute
from boxseg.config import Data, LabelFormat
from boxseg.data.toy import write_toy
from boxseg.dataset import BoxDataset
from boxseg.formats.writers import OVERLAPPING
from correction_files import save_corrections

ELLIPSES = ("method=ellipse", "crf=false", "scores=false", "workers=0", "--quiet")
BOXED: tuple[LabelFormat, ...] = ("voc", "coco", "cvat", "label-studio")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_toy(folder, train=5, val=1, size=64, seed=5)
    return folder


@pytest.fixture(scope="module")
def dataset(root: Path) -> BoxDataset:
    return formats.load(Data(root=root))


@pytest.fixture(scope="module")
def names(dataset: BoxDataset) -> list[str]:
    """Photos with two boxes and more, then the others."""
    return [sample.id for sample in sorted(dataset.samples, key=lambda sample: -len(sample.labels))]


@pytest.fixture(scope="module")
def labels(root: Path, dataset: BoxDataset, names: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A box of the first photo is left out, one of the second is to be redrawn, and the third is wrong."""
    folder = tmp_path_factory.mktemp("labels")
    file = save_corrections(
        folder / "c.json", dataset, {names[0]: {0: "leave-out"}, names[1]: {1: "redraw"}}, names[2]
    )
    more = f"label.formats=[{','.join(BOXED)}]"
    assert execute(["label", f"data={root}", f"out={folder}/l", f"corrections={file}", more, *ELLIPSES]) == 0
    return folder / "l"


def counts(text: str) -> tuple[int, int]:
    """Photos and objects that `convert` says it wrote."""
    found = re.search(r"(\d+) photos, (\d+) objects", text)
    assert found is not None, text
    return int(found[1]), int(found[2])


def boxes_in(folder: Path, name: LabelFormat) -> dict[str, int]:
    data = Data(root=folder, format=name if name != "voc" else "auto")
    return {sample.id: len(sample.labels) for sample in formats.load(data).samples}


@pytest.mark.parametrize("name", BOXED)
def test_a_box_that_is_left_out_is_in_no_format(
    name: LabelFormat, labels: Path, dataset: BoxDataset, names: list[str], tmp_path: Path, capsys
) -> None:
    assert execute(["convert", str(labels), f"{tmp_path}/o", f"format={name}"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    boxes = {sample.id: len(sample.labels) for sample in dataset.samples}
    every = sum(boxes.values())
    # What is to be redrawn is an object where objects are masks, and has no pixels where they are labels.
    assert counts(out) == (5, every - 1 if name in OVERLAPPING else every - 2)
    assert "left out: 1 box, by corrections" in out
    assert ("left out: 1 boxes without a pixel of their class" in out) == (name not in OVERLAPPING)
    expected = {**boxes, names[0]: boxes[names[0]] - 1}
    for folder in (tmp_path / "o", labels / name):
        assert boxes_in(folder, name) == expected, folder


@pytest.mark.parametrize("name", ["palette", "masks", "yolo-seg"])
def test_formats_without_boxes(name: LabelFormat, labels: Path, tmp_path: Path, capsys) -> None:
    assert execute(["convert", str(labels), f"{tmp_path}/o", f"format={name}"]) == 0
    assert "left out: 1 box, by corrections" in capsys.readouterr().out


def test_objects_of_labels_and_masks_in_coco(labels: Path, dataset: BoxDataset, tmp_path: Path, capsys) -> None:
    every = sum(len(sample.labels) for sample in dataset.samples)
    for objects, number in (("masks", every - 1), ("boxes", every - 2)):
        words = ["convert", str(labels), f"{tmp_path}/{objects}", "format=coco", f"objects={objects}"]
        assert execute(words) == 0
        assert counts(capsys.readouterr().out) == (5, number)
        file = tmp_path / objects / "annotations" / "instances_train.json"
        assert len(json.loads(file.read_text())["annotations"]) == number
    # Connected regions know no boxes.
    assert execute(["convert", str(labels), f"{tmp_path}/r", "format=coco", "objects=regions"]) == 0
    assert "by corrections" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["cvat", "label-studio"])
def test_only_what_is_to_be_redrawn(
    name: LabelFormat, labels: Path, names: list[str], dataset: BoxDataset, tmp_path: Path, capsys
) -> None:
    assert execute(["convert", str(labels), f"{tmp_path}/o", f"format={name}", "redraw=true"]) == 0
    boxes = {sample.id: len(sample.labels) for sample in dataset.samples}
    assert counts(capsys.readouterr().out) == (2, boxes[names[1]] + boxes[names[2]])
    found = {sample.id: sample for sample in formats.load(Data(root=tmp_path / "o", format=name)).samples}
    assert set(found) == {names[1], names[2]}
    # The mask that is to be redrawn is there, to begin with.
    truth = found[names[1]].ground_truth()
    assert (truth == found[names[1]].labels[1]).any()
    assert not (truth == 255).any()


def test_there_must_be_something_to_redraw(
    root: Path, dataset: BoxDataset, names: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["label", f"data={root}", f"out={tmp_path}/l", *ELLIPSES]
    convert = ["convert", f"{tmp_path}/l", f"{tmp_path}/o", "format=cvat", "redraw=true"]
    assert execute(words) == 0
    assert execute(convert) == 2
    assert (
        "were made without corrections: give them to `boxseg label corrections=FILE` first"
        in capsys.readouterr().err
    )
    file = save_corrections(tmp_path / "c.json", dataset, {names[0]: {0: "box"}})
    assert execute([*words, f"corrections={file}"]) == 0
    assert execute(convert) == 2
    assert "calls no photo wrong, and wants no mask redrawn" in capsys.readouterr().err
    (tmp_path / "l" / "applied-corrections.json").write_text("[]")
    assert execute(convert) == 2
    assert "applied-corrections.json does not hold corrections of version 1" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_a_coco_file_comes_back_without_what_is_left_out(root: Path, tmp_path: Path) -> None:
    """All else is as it was."""
    write_coco(formats.load(Data(root=root)), tmp_path / "coco")
    dataset = formats.load(Data(root=tmp_path / "coco"))
    sample = max(dataset.samples, key=lambda sample: len(sample.labels))
    words = ["label", f"data={tmp_path}/coco", *ELLIPSES]
    file = save_corrections(tmp_path / "c.json", dataset, {sample.id: {1: "leave-out"}})
    assert execute([*words, f"out={tmp_path}/p"]) == 0
    assert execute([*words, f"out={tmp_path}/l", f"corrections={file}"]) == 0
    plain, found = (json.loads((tmp_path / name / "masks.json").read_text()) for name in "pl")
    gone = [entry for entry in plain["annotations"] if entry not in found["annotations"]]
    assert len(gone) == 1
    x, y, width, height = gone[0]["bbox"]
    np.testing.assert_allclose([x, y, x + width, y + height], sample.boxes[1])
    plain["annotations"].remove(gone[0])
    assert found == plain
