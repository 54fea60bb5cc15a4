"""A classifier of VOC's classes labels photos of COCO: labels, masks of single boxes, AP."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from boxseg import formats
from boxseg.cli import execute
from boxseg.config import Data

coco_mask = pytest.importorskip("pycocotools.mask")
COCO = pytest.importorskip("pycocotools.coco").COCO
COCOeval = pytest.importorskip("pycocotools.cocoeval").COCOeval

PHOTOS = (149, 544, 92660, 255165)  # with crowds: of persons, of bananas, of books
STRANGERS = 60  # classes of COCO that VOC has not


@pytest.fixture(scope="module")
def classifier(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Knows VOC's 20 classes by name, and hardly anything about them."""
    out = tmp_path_factory.mktemp("classifier")
    tiny = ("classify.iterations=1", "classify.batch=2", "classify.augment.crop=65", "workers=0")
    assert execute(["classify", *tiny, f"data={shared_data}/voc2012", "data.limit=2", f"out={out}"]) == 0
    return out


@pytest.fixture(scope="module")
def content(shared_data: Path) -> dict[str, Any]:
    raw = json.loads((shared_data / "coco" / "annotations" / "instances_train2017.json").read_text())
    raw["images"] = [image for image in raw["images"] if image["id"] in PHOTOS]
    raw["annotations"] = [item for item in raw["annotations"] if item["image_id"] in PHOTOS]
    return raw


@pytest.fixture(scope="module")
def command(
    shared_data: Path, classifier: Path, content: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    root = tmp_path_factory.mktemp("coco")
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
    (root / "train2017").symlink_to(shared_data / "coco" / "train2017")
    words = ["-c", "coco_from_voc", f"data={root}", "label.crf.iterations=2", "workers=0"]
    return ["label", *words, f"checkpoint={classifier}"]


@pytest.fixture(scope="module")
def labelled(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("labels")
    assert execute([*command, f"out={out}"]) == 0
    return out


def pixels(folder: Path, source: str, number: int) -> np.ndarray:
    return np.asarray(Image.open(folder / source / f"{number:012d}.png"))


def test_values_are_classes_and_the_label_map_states_their_categories(
    labelled: Path, content: dict[str, Any]
) -> None:
    entries = json.loads((labelled / "labelmap.json").read_text())
    categories = sorted((item["id"], item["name"]) for item in content["categories"])
    assert [(item["category_id"], item["name"]) for item in entries[1:]] == categories
    assert [item["value"] for item in entries] == list(range(81))
    assert sum(item["classifier_class"] is None for item in entries[1:]) == STRANGERS
    value = {item["category_id"]: item["value"] for item in entries[1:]}
    for number in PHOTOS:
        boxes = [item for item in content["annotations"] if item["image_id"] == number and not item["iscrowd"]]
        for source in ("y_crf", "y_ret"):
            found = set(np.unique(pixels(labelled, source, number)).tolist())
            assert found <= {0, 255, *(value[item["category_id"]] for item in boxes)}


@pytest.mark.parametrize("source", ["y_crf", "y_ret"])
def test_crowds_are_ignored_unless_labelled_as_an_object(
    labelled: Path, content: dict[str, Any], source: str
) -> None:
    for number in PHOTOS:
        labels = pixels(labelled, source, number)
        crowd = np.zeros(labels.shape, dtype=bool)
        boxed = np.zeros(labels.shape, dtype=bool)
        for item in content["annotations"]:
            if item["image_id"] == number and item["iscrowd"]:
                code = coco_mask.frPyObjects(item["segmentation"], *labels.shape)
                crowd |= coco_mask.decode(code).astype(bool)
            elif item["image_id"] == number:
                x, y, width, height = item["bbox"]
                boxed[int(y) : int(np.ceil(y + height)), int(x) : int(np.ceil(x + width))] = True
        assert (labels[crowd & ~boxed] == 255).all()
        assert (crowd & ~boxed).sum() > 100
        assert not (labels[crowd] == 0).any()
        assert not (labels[~crowd] == 255).any()


@pytest.mark.parametrize("source", ["y_crf", "y_ret"])
def test_masks_are_the_labels_inside_the_boxes(labelled: Path, content: dict[str, Any], source: str) -> None:
    results = json.loads((labelled / f"instances_{source}.json").read_text())
    entries = json.loads((labelled / "labelmap.json").read_text())
    value = {item["category_id"]: item["value"] for item in entries[1:]}
    expected = []
    for image in content["images"]:
        labels = pixels(labelled, source, image["id"])
        y, x = np.mgrid[: image["height"], : image["width"]] + 0.5
        for item in content["annotations"]:
            if item["image_id"] != image["id"] or item["iscrowd"]:
                continue
            left, top, width, height = item["bbox"]
            inside = (x >= left) & (x < left + width) & (y >= top) & (y < top + height)
            mask = inside & (labels == value[item["category_id"]])
            if mask.any():
                expected.append((image["id"], item["category_id"], mask))
    assert len(results) == len(expected) > 10
    for result, (number, category, mask) in zip(results, expected, strict=True):
        assert (result["image_id"], result["category_id"]) == (number, category)
        code = result["segmentation"]
        assert np.array_equal(coco_mask.decode({**code, "counts": code["counts"].encode()}), mask)
        assert 0 < result["score"] <= 1
    assert len({result["score"] for result in results}) > len(results) / 2


def test_ap_is_that_of_pycocotools_on_the_files(labelled: Path, command: list[str]) -> None:
    metrics = json.loads((labelled / "metrics.json").read_text())["instances"]
    root = next(word.partition("=")[2] for word in command if word.startswith("data="))
    for source in ("y_crf", "y_ret"):
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO(f"{root}/annotations/instances_train2017.json")
            evaluation = COCOeval(truth, truth.loadRes(str(labelled / f"instances_{source}.json")), "segm")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        names = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
        assert [metrics[source][name] for name in names] == pytest.approx(evaluation.stats[:6], abs=1e-12)


def test_the_baseline_takes_every_box_for_its_mask(
    labelled: Path, command: list[str], content: dict[str, Any]
) -> None:
    metrics = json.loads((labelled / "metrics.json").read_text())["instances"]["whole_box"]
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    results = []
    for item in content["annotations"]:
        if not item["iscrowd"]:
            y, x = np.mgrid[: sizes[item["image_id"]][0], : sizes[item["image_id"]][1]] + 0.5
            left, top, width, height = item["bbox"]
            mask = (x >= left) & (x < left + width) & (y >= top) & (y < top + height)
            result = {"image_id": item["image_id"], "category_id": item["category_id"], "score": 1.0}
            results.append({**result, "segmentation": coco_mask.encode(np.asfortranarray(mask, np.uint8))})
    root = next(word.partition("=")[2] for word in command if word.startswith("data="))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(f"{root}/annotations/instances_train2017.json")
        evaluation = COCOeval(truth, truth.loadRes(results), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert [metrics["ap"], metrics["ap_large"]] == pytest.approx(evaluation.stats[[0, 5]], abs=1e-12)


def test_masks_are_scored_again_by_evaluate(
    labelled: Path, command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = [word for word in command if word.startswith("data=")]
    data.append("data.split=train2017")
    metrics = json.loads((labelled / "metrics.json").read_text())["instances"]
    capsys.readouterr()
    assert execute(["evaluate", *data, f"instances={labelled}", f"out={tmp_path}"]) == 0
    printed = capsys.readouterr().out
    assert "AP50" in printed
    assert "person" in printed
    scores = json.loads((tmp_path / "metrics.json").read_text())
    assert [scores[name] for name in ("masks", "y_crf", "y_ret")] == [
        metrics[name] for name in ("masks", "y_crf", "y_ret")
    ]
    assert execute(["evaluate", *data, f"instances={labelled}/instances_y_ret.json", f"out={tmp_path}"]) == 0
    scores = json.loads((tmp_path / "metrics.json").read_text())
    assert scores["instances_y_ret"] == metrics["y_ret"]


def test_interrupted_masks_are_completed_to_the_same_bytes(
    labelled: Path, command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Labels alone at first: the masks are added later, and only those that are missing.
    assert execute([*command, f"out={tmp_path}", "label.instances=false"]) == 0
    assert not list(tmp_path.glob("instances*"))
    assert execute([*command, f"out={tmp_path}"]) == 0
    (tmp_path / "instances" / f"{PHOTOS[1]:012d}.json").unlink()
    (tmp_path / "instances_y_ret.json").unlink()
    capsys.readouterr()
    assert execute([*command, f"out={tmp_path}"]) == 0
    assert "1 written, 3 there already" in capsys.readouterr().out
    for source in ("y_crf", "y_ret"):
        name = f"instances_{source}.json"
        assert (tmp_path / name).read_bytes() == (labelled / name).read_bytes()


def test_a_broken_crowd_is_its_box_and_costs_its_photo_the_score_only(
    command: list[str], content: dict[str, Any], shared_data: Path, tmp_path: Path
) -> None:
    broken = copy.deepcopy(content)
    number = next(item["image_id"] for item in broken["annotations"] if item["iscrowd"])
    for item in broken["annotations"]:
        if item["image_id"] == number and item["iscrowd"]:
            item["segmentation"]["counts"] = [1, 2, 3]
    file = tmp_path / "broken.json"
    file.write_text(json.dumps(broken))
    data = [f"data.annotations={file}", f"data.images={shared_data}/coco/train2017"]
    assert execute([*command, *data, f"out={tmp_path}/l"]) == 0
    assert len(list((tmp_path / "l" / "y_crf").iterdir())) == len(PHOTOS)
    metrics = json.loads((tmp_path / "l" / "metrics.json").read_text())
    assert metrics["instances"]["y_crf"]["images"] == len(PHOTOS) - 1
    assert (metrics["images"], metrics["skipped"]) == (len(PHOTOS) - 1, {})
    dataset = formats.load(Data(root=tmp_path, annotations=file, images=shared_data / "coco" / "train2017"))
    (problem,) = dataset.problems
    assert problem.kind == "outline that cannot be read"
    (sample,) = (sample for sample in dataset.samples if sample.image_id == number)
    assert (sample.ground_truth, sample.instances) == (None, None)
    (x1, y1, x2, y2), *_ = sample.crowds.astype(int).tolist()
    assert (sample.ignored()[y1:y2, x1:x2] == 255).all()


def refused(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    capsys.readouterr()
    assert execute(words) == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_what_cannot_be_used_is_refused(
    command: list[str], labelled: Path, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, [*command, f"out={tmp_path}/l", "class_map=null"])
    assert "voc_to_coco" in line
    assert "missing: motorcycle, airplane" in line
    assert not (tmp_path / "l").exists()
    voc = ["evaluate", f"data={shared_data}/voc2012", "data.limit=2", f"out={tmp_path}/e"]
    assert "needs COCO annotations" in refused(capsys, [*voc, f"instances={labelled}"])
    assert "instances=FILE" in refused(capsys, voc)
    data = [*(word for word in command if word.startswith("data=")), "data.split=train2017"]
    line = refused(capsys, ["evaluate", *data, f"instances={tmp_path}"])
    assert "has no masks.json: give a folder made by `boxseg label`" in line
    assert "no such results file" in refused(capsys, ["evaluate", *data, f"instances={tmp_path}/x.json"])
    (labelled / "strange.json").write_text(
        '[{"image_id": 1, "category_id": 1, "segmentation": {}, "score": 1}]'
    )
    line = refused(capsys, ["evaluate", *data, f"instances={labelled}/strange.json"])
    assert "none of the results is for an image" in line
