"""Labels go out to CVAT or Label Studio, are corrected there, and come back as true masks of a training.

What the programs do is done here by code, on the files as they export them.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.end_to_end.conftest import Command

from annotation_writers import cvat_mask
from boxseg import formats
from boxseg.config import Augment, Data
from boxseg.data.loading import LabelTraining
from boxseg.formats.coco_results import decode_window
from boxseg.formats.label_studio_brush import decode_brush, encode_brush
from boxseg.jobs import SegmentJob
from boxseg.options import from_python
from boxseg.training.labels import training_labels

# The photo whose masks are corrected: each grows by its own pixels, moved to the right and down.
CORRECTED = "train_0003"
MOVED = 3


def corrected(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    grown = mask.copy()
    grown[MOVED:, MOVED:] |= mask[:-MOVED, :-MOVED]
    return grown


@pytest.fixture(scope="module")
def labels(toy: Path, boxseg: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels of the demo set, which are ellipses, with what the two programs are given."""
    out = tmp_path_factory.mktemp("labels") / "l"
    words = ("method=ellipse", "crf=false", "scores=false", "label.formats=[cvat,label-studio]")
    boxseg("label", *words, f"data={toy}", f"out={out}")
    return out


def cvat_export(labels: Path, out: Path) -> Path:
    """As CVAT exports a task without its photos: its own file, in which some attributes are new."""
    tree = ET.parse(labels / "cvat" / "train.xml")
    task = tree.getroot().find("meta/task")
    assert task is not None
    for name, text in {"id": "7", "overlap": "0", "dumped": "2026-01-01"}.items():
        ET.SubElement(task, name).text = text
    for image in list(tree.getroot().iter("image")):
        if image.get("name") == f"{CORRECTED}.jpg":
            size = int(image.get("width", "")), int(image.get("height", ""))
            for node in image.findall("mask"):
                node.attrib |= cvat_mask(corrected(_painted(node, *size)))
                node.set("source", "manual")
    out.mkdir()
    tree.write(out / "annotations.xml", encoding="utf-8", xml_declaration=True)
    return out / "annotations.xml"


def _painted(node: ET.Element, width: int, height: int) -> NDArray[np.bool_]:
    left, top, across, down = (int(node.get(key, "")) for key in ("left", "top", "width", "height"))
    pixels: list[bool] = []
    for number, run in enumerate(node.get("rle", "").split(",")):
        pixels += [number % 2 == 1] * int(run)
    mask = np.zeros((height, width), bool)
    mask[top : top + down, left : left + across] = np.reshape(pixels, (down, across))
    return mask


def label_studio_export(labels: Path, out: Path) -> Path:
    """As Label Studio exports a project: tasks and annotations with numbers, authors and times."""
    tasks = json.loads((labels / "label-studio" / "train.json").read_text())
    for number, task in enumerate(tasks, start=1):
        task |= {"id": number, "project": 4, "predictions": [], "meta": {}}
        (made,) = task["annotations"]
        made |= {"id": number, "completed_by": 1, "was_cancelled": False, "updated_at": "2026-01-01"}
        if task["data"]["image"].endswith(f"{CORRECTED}.jpg"):
            for region in made["result"]:
                if region["type"] == "brushlabels":
                    size = region["original_width"], region["original_height"]
                    mask = corrected(decode_brush(region["value"]["rle"], *size))
                    region["value"]["rle"] = encode_brush(mask)
                    region["origin"] = "manual"
    out.mkdir()
    file = out / "project-4-at-2026-01-01-10-00-3fa85f64.json"
    file.write_text(json.dumps(tasks))
    return file


def expected(labels: Path, toy: Path, name: str) -> NDArray[np.uint8]:
    """The masks of a photo as `label` made them, corrected, small ones on top."""
    dataset = formats.load(Data(root=toy))
    sample = next(sample for sample in dataset.samples if sample.id == name)
    entries = json.loads((labels / "masks" / f"{name}.json").read_text())
    masks = []
    for entry, label in zip(entries, sample.labels.tolist(), strict=True):
        window, left, top = decode_window(entry["segmentation"])
        mask = np.zeros((sample.height, sample.width), bool)
        mask[top : top + window.shape[0], left : left + window.shape[1]] = window
        masks.append((corrected(mask) if name == CORRECTED else mask, label))
    truth = np.zeros((sample.height, sample.width), np.uint8)
    for mask, label in sorted(masks, key=lambda one: (-one[0].sum(), one[1])):
        truth[mask] = label
    return truth


@pytest.mark.parametrize("export", [cvat_export, label_studio_export])
@pytest.mark.parametrize("folder", [False, True])
def test_corrected_masks_arrive_and_are_trained_with(
    export: Any, folder: bool, labels: Path, toy: Path, tmp_path: Path
) -> None:
    file = export(labels, tmp_path / "export")
    options = {"data": {"root": toy}, "labels": str(labels), "out": "o"}
    job = from_python("segment", SegmentJob, {**options, "strong": str(file.parent if folder else file)})
    found = training_labels(formats.load(job.data), job)
    assert len(found.strong) == 10
    training = LabelTraining(
        found.dataset, Augment(crop=96, scale=(1, 1), flip=0, jitter=0), 0, found.sources, found.strong
    )
    for place, sample in enumerate(found.dataset.samples):
        truth = expected(labels, toy, sample.id)
        assert np.array_equal(sample.ground_truth(), truth), sample.id
        item = training[place, 0]
        inside = np.s_[: sample.height, : sample.width]
        for name in ("y_crf", "y_ret"):
            assert np.array_equal(item[name].numpy()[inside], truth[:96, :96]), sample.id


@pytest.mark.parametrize("export", [cvat_export, label_studio_export])
def test_as_the_documentation_says(
    export: Any, labels: Path, toy: Path, miniature: tuple[str, ...], tmp_path: Path, boxseg: Command
) -> None:
    """`convert`, a correction, `segment`; only photos that were corrected are in the export."""
    name = "cvat" if export is cvat_export else "label-studio"
    boxseg("convert", labels, tmp_path / "corrections" / name, f"format={name}")
    file = export(tmp_path / "corrections", tmp_path / "export")
    if name == "cvat":
        tree = ET.parse(file)
        for image in tree.getroot().findall("image"):
            if image.get("name") != f"{CORRECTED}.jpg":
                tree.getroot().remove(image)
        tree.write(file)
    else:
        tasks = json.loads(file.read_text())
        file.write_text(json.dumps([t for t in tasks if t["data"]["image"].endswith(f"{CORRECTED}.jpg")]))
    segment = [word for word in miniature if not word.startswith(("adapt", "classify", "label"))]
    words = (f"labels={labels}", f"strong={file}", f"data={toy}", f"out={tmp_path}/s", "scores=false")
    done = boxseg("segment", *segment, *words)
    assert "1 image with true masks, 9 with labels" in done.stderr
    assert (tmp_path / "s" / "model.safetensors").is_file()


def test_a_data_set_of_its_own_has_true_masks(labels: Path, toy: Path, tmp_path: Path, boxseg: Command) -> None:
    """Found by the names of its photos, which are copies."""
    boxseg("convert", labels, tmp_path / "coco", "format=coco")
    options = {"data": {"root": toy}, "labels": str(labels), "out": "o"}
    job = from_python("segment", SegmentJob, {**options, "strong": str(tmp_path / "coco")})
    assert len(training_labels(formats.load(job.data), job).strong) == 10


def test_what_is_wrong_with_true_masks_is_named(
    labels: Path, toy: Path, tmp_path: Path, boxseg: Command
) -> None:
    words = ("segment", f"labels={labels}", f"data={toy}", f"out={tmp_path}/s", "model.weights=none")

    def refused(strong: Path) -> str:
        done = boxseg(*words, f"strong={strong}", check=False)
        assert done.returncode == 2
        return done.stderr

    assert "there is no such file or folder" in refused(tmp_path / "nowhere.xml")
    file = cvat_export(labels, tmp_path / "export")
    text = file.read_text()
    file.write_text(text.replace(">fish<", ">trout<").replace('"fish"', '"trout"'))
    assert "trout is no class of" in refused(file)
    # An object without its mask: the photo is listed, and has no true mask.
    tree = ET.ElementTree(ET.fromstring(text))
    for image in tree.getroot().iter("image"):
        image.remove(image.findall("mask")[0])
    tree.write(file)
    assert "it has no mask for any image of split train" in refused(file)
    (tmp_path / "empty").mkdir()
    assert "it has no mask for any image of split train" in refused(tmp_path / "empty")
