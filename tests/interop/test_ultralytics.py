"""What Ultralytics' own data sets make of yolo-seg and masks, and a step of its trainers on them.

The trainers need torchvision with its compiled parts; where these do not load, they are not run.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.interop.conftest import Labelled

from random_masks import paint

pytest.importorskip("ultralytics", reason="Ultralytics is not installed")


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps its settings, runs and caches in the folder of the test, and reports nothing."""
    from ultralytics.utils import SETTINGS

    monkeypatch.setitem(SETTINGS, "sync", False)
    monkeypatch.chdir(tmp_path)


def described(root: Path, copy: Path) -> tuple[Path, dict[str, object]]:
    """A copy of a data set, as it writes its cache there, and what it reads in data.yaml."""
    from ultralytics.data.utils import check_det_dataset

    shutil.copytree(root, copy)
    return copy, check_det_dataset(str(copy / "data.yaml"), autodownload=False)


def test_polygons(
    labelled: Callable[[str], Labelled], converted: Callable[[str], Path], tmp_path: Path
) -> None:
    from ultralytics.data.dataset import YOLODataset

    root, data = described(converted("yolo-seg"), tmp_path / "set")
    of = labelled("val")
    assert data["names"] == dict(enumerate(of.classes))
    found = YOLODataset(img_path=str(root / "images" / "val"), data=data, task="segment", augment=False).labels
    assert {Path(one["im_file"]).stem for one in found} == set(of.objects)
    for one in found:
        objects = of.objects[Path(one["im_file"]).stem]
        assert [of.classes[int(label)] for label in one["cls"].ravel()] == [label for label, _, _ in objects]
        height, width = one["shape"]
        for box, ring, (_, _, mask) in zip(one["bboxes"], one["segments"], objects, strict=True):
            assert mask.shape == (height, width)
            rows, columns = np.nonzero(mask)
            left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            middle = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
            assert box * [width, height, width, height] == pytest.approx(middle, abs=1e-3)
            assert np.array_equal(paint([(ring * [width, height]).round(3)], mask.shape), mask)


def test_masks(labelled: Callable[[str], Labelled], converted: Callable[[str], Path], tmp_path: Path) -> None:
    from ultralytics.data.dataset import SemanticDataset

    root, data = described(converted("masks"), tmp_path / "set")
    of = labelled("val")
    assert data["names"] == dict(enumerate(("background", *of.classes)))
    dataset = SemanticDataset(img_path=str(root / "images" / "val"), data=data, augment=False, imgsz=96)
    names = [Path(file).stem for file in dataset.im_files]
    assert set(names) == set(of.objects)
    for place, name in enumerate(names):
        mask = dataset.load_mask(place)
        assert np.array_equal(mask, of.labels(name))


@pytest.mark.parametrize(("name", "model"), [("yolo-seg", "yolo11n-seg.yaml"), ("masks", "yolo26n-sem.yaml")])
def test_a_training(converted: Callable[[str], Path], tmp_path: Path, name: str, model: str) -> None:
    """One pass over five photos; from here on it is their matter."""
    try:
        import torchvision.ops  # noqa: F401
    except Exception as error:  # a build for another torch fails in many ways
        pytest.skip(f"torchvision does not load here: {error}")
    import ultralytics

    root, _ = described(converted(name), tmp_path / "set")
    trained = ultralytics.YOLO(model)
    trained.train(
        data=str(root / "data.yaml"), epochs=1, imgsz=64, batch=2, device="cpu", workers=0,
        project=str(tmp_path), plots=False, amp=False,
    )  # fmt: skip
    assert trained.trainer.epoch == 0
    assert next(tmp_path.rglob("last.pt"))
