"""Baselines of masks of boxes: by themselves, and as `evaluate instances=… baselines=true` prints them."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import boxseg
from boxseg import extras, formats
from boxseg.cli import execute
from boxseg.config import Data, TrainerOptions
from boxseg.dataset import BoxDataset
from boxseg.formats.images import read_image
from boxseg.formats.regions import encode_region
from boxseg.scoring.baseline_masks import ellipses, grabcuts, whole_boxes

coco_mask = pytest.importorskip("pycocotools.mask")

IDS = (5, 8)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos of bright discs in boxes that stick out a little, at fractions of pixels."""
    folder = tmp_path_factory.mktemp("coco")
    (folder / "annotations").mkdir()
    (folder / "train").mkdir()
    random = np.random.default_rng(4)
    images, annotations = [], []
    for number, discs in ((11, [(30, 40, 15, 5), (42, 90, 12, 8)]), (4, [(25, 30, 20, 5)])):
        photo = random.integers(0, 40, (64, 120, 3), np.uint8)
        for row, column, radius, category in discs:
            near = (np.indices((64, 120)) + 0.5 - np.array([row, column])[:, None, None]).__pow__(2).sum(0)
            photo[near < radius**2] += 180
            corners = [(column + radius * np.cos(a), row + radius * np.sin(a)) for a in np.arange(0, 6.28, 0.1)]
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": number, "category_id": category, "iscrowd": 0,
                    "bbox": [column - radius - 0.3, row - radius - 0.4, 2 * radius + 0.9, 2 * radius + 0.6],
                    "segmentation": [[float(value) for corner in corners for value in corner]],
                    "area": float((near < radius**2).sum()),
                }
            )  # fmt: skip
        Image.fromarray(photo).save(folder / "train" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 120, "height": 64})
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": IDS[0], "name": "ball"}, {"id": IDS[1], "name": "moon"}],
    }
    (folder / "annotations" / "instances_train.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def dataset(root: Path) -> BoxDataset:
    return formats.load(Data(root=root))


def decoded(results: list[dict[str, Any]]) -> list[NDArray[np.uint8]]:
    codes = [result["segmentation"] for result in results]
    return [coco_mask.decode({**code, "counts": code["counts"].encode()}) for code in codes]


def test_boxes_and_ellipses_are_those_of_pixel_centres(dataset: BoxDataset) -> None:
    y, x = np.mgrid[:64, :120] + 0.5
    expected_boxes, expected_ellipses = [], []
    for sample in dataset.samples:
        for x1, y1, x2, y2 in sample.boxes:
            expected_boxes.append((x >= x1) & (x < x2) & (y >= y1) & (y < y2))
            across, down = (x - (x1 + x2) / 2) / ((x2 - x1) / 2), (y - (y1 + y2) / 2) / ((y2 - y1) / 2)
            expected_ellipses.append(across**2 + down**2 <= 1)
    for make, expected in ((whole_boxes, expected_boxes), (ellipses, expected_ellipses)):
        results = make(dataset.samples, dataset.category_ids)
        np.testing.assert_array_equal(decoded(results), expected)
        assert [r["image_id"] for r in results] == [s.image_id for s in dataset.samples for _ in s.boxes]
        assert [r["category_id"] for r in results] == [IDS[n - 1] for s in dataset.samples for n in s.labels]
    # Without ids of the data's own, classes are called 1..L.
    assert {r["category_id"] for r in whole_boxes(dataset.samples, ())} == {1, 2}


def test_grabcut_is_opencvs_box_by_box(dataset: BoxDataset) -> None:
    cv2 = pytest.importorskip("cv2")
    expected = []
    for sample in dataset.samples:
        photo = read_image(sample.image)
        for x1, y1, x2, y2 in np.ceil(sample.boxes - 0.5).astype(int).tolist():
            marks = np.zeros(photo.shape[:2], np.uint8)
            cv2.setRNGSeed(3)
            cv2.grabCut(photo, marks, (x1, y1, x2 - x1, y2 - y1), None, None, 5, cv2.GC_INIT_WITH_RECT)
            expected.append((marks == 1) | (marks == 3))
    results = grabcuts(dataset.samples, dataset.category_ids, TrainerOptions(seed=3, workers=0))
    np.testing.assert_array_equal(decoded(results), expected)


def results_file(dataset: BoxDataset, path: Path) -> Path:
    """The true masks as results."""
    results = []
    for sample in dataset.samples:
        for instance in sample.instances or ():
            code = encode_region(instance.region, sample.width, sample.height)
            segmentation = {**code, "counts": code["counts"].decode()}
            result = {"image_id": sample.image_id, "category_id": IDS[instance.label - 1], "score": 0.7}
            results.append({**result, "segmentation": segmentation})
    path.write_text(json.dumps(results))
    return path


def test_evaluate_prints_them_beside_a_file(
    root: Path, dataset: BoxDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("cv2")
    file = results_file(dataset, tmp_path / "mine.json")
    words = ["evaluate", f"instances={file}", f"data={root}", f"out={tmp_path}", "workers=0"]
    assert execute(words) == 0
    plain = json.loads((tmp_path / "metrics.json").read_text())
    assert set(plain) == {"split", "whole_box", "mine"}
    assert "ellipse" not in capsys.readouterr().out
    assert execute([*words, "baselines=true"]) == 0
    printed = capsys.readouterr().out
    scores = json.loads((tmp_path / "metrics.json").read_text())
    assert list(scores) == ["split", "whole_box", "ellipse", "grabcut", "mine"]
    assert (scores["whole_box"], scores["mine"]) == (plain["whole_box"], plain["mine"])
    assert (scores["mine"]["mean_iou"], scores["mine"]["ap"]) == (1, 1)
    for name in ("whole_box", "ellipse", "grabcut", "mine"):
        counts = ("objects", "objects_without_mask", "objects_below_iou_25")
        assert [scores[name][key] for key in counts] == [3, 0, 0]
    assert scores["ellipse"]["mean_iou"] > scores["whole_box"]["mean_iou"] + 0.1
    assert scores["grabcut"]["mean_iou"] > 0.9
    for text in ("mean IoU", "without mask", "GrabCut", f"{100 * scores['ellipse']['mean_iou']:.1f}"):
        assert text in printed


def test_a_file_may_be_called_as_a_baseline_is(root: Path, dataset: BoxDataset, tmp_path: Path) -> None:
    file = results_file(dataset, tmp_path / "ellipse.json")
    done = boxseg.evaluate(instances=file, baselines=True, data=root, out=tmp_path, workers=0)
    assert set(done.scores.parts) == {"ellipse.json"}
    assert done.scores.as_dict()["ellipse"]["mean_iou"] < 1


def test_without_opencv_its_row_is_left_out(
    root: Path, dataset: BoxDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, load = results_file(dataset, tmp_path / "mine.json"), importlib.import_module

    def without_opencv(name: str) -> ModuleType:
        if name == "cv2":
            raise ImportError(f"No module named {name!r}")
        return load(name)

    monkeypatch.setattr(extras.importlib, "import_module", without_opencv)
    done = boxseg.evaluate(instances=file, baselines=True, data=root, out=tmp_path, workers=0)
    assert list(done.scores.baselines) == ["whole_box", "ellipse"]
    assert any("pip install 'boxseg[grabcut]'" in note for note in done.notes())
    # Who has not asked for it is not told.
    assert len(boxseg.evaluate(instances=file, data=root, out=tmp_path).notes()) == 1


def test_baselines_are_for_masks_of_objects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["evaluate", f"labels={tmp_path}", "data=nowhere", "baselines=true"]) == 2
    assert "baselines=true is for masks of single objects: give instances=" in capsys.readouterr().err


def test_an_unreadable_photo_has_no_masks_of_grabcut(dataset: BoxDataset, tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    (tmp_path / "broken.png").write_bytes(b"no photo")
    samples = (replace(dataset.samples[0], image=tmp_path / "broken.png"), dataset.samples[1])
    results = grabcuts(samples, dataset.category_ids, TrainerOptions(workers=0))
    assert {result["image_id"] for result in results} == {dataset.samples[1].image_id}


def test_real_photos_score_as_measured(shared_data: Path, tmp_path: Path) -> None:
    """Figures measured once by another program, on 60 photos of COCO with 500 boxes."""
    data = {"root": shared_data / "coco", "split": "train2017"}
    dataset = formats.load(Data(**data))
    file = tmp_path / "ellipses.json"
    file.write_text(json.dumps(ellipses(dataset.samples, dataset.category_ids)))
    scores = boxseg.evaluate(instances=file, data=data, out=tmp_path).scores
    for part, mean, ap in (
        (scores.baselines["whole_box"], 57.5, 25.9),
        (scores.parts["ellipses"], 61.6, 32.2),
    ):
        assert (part.ious.objects, part.ious.without_mask) == (500, 0)
        assert 100 * part.ious.mean == pytest.approx(mean, abs=0.05)
        assert 100 * part.precision.mean.ap == pytest.approx(ap, abs=0.05)
