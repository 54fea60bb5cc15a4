"""Labels by GrabCut, beside OpenCV's own answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import boxseg
from boxseg import formats
from boxseg.config import Data, Label, TrainerOptions
from boxseg.data.box_masks import grabcut_mask
from boxseg.dataset import BoxDataset, Sample
from boxseg.formats.images import read_image
from boxseg.jobs import LabelJob
from boxseg.labelling.methods import METHODS


def grabcut_labels(
    photo: NDArray[np.uint8], boxes: NDArray[np.float64], labels: NDArray[np.int64], seed: int
) -> NDArray[np.int64]:
    """What the method says of a photo before the CRF: the most probable class of each pixel."""
    sample = Sample(
        id="p", image=Path("p.jpg"), width=photo.shape[1], height=photo.shape[0],
        boxes=boxes.copy(), labels=labels.copy(),  # torch takes no views from back to front
        difficult=np.zeros(len(labels), dtype=bool),
    )  # fmt: skip
    trainer = TrainerOptions(seed=seed, accelerator="cpu")
    job = LabelJob(data=Data(root=Path("d")), out=Path("o"), label=Label(method="grabcut"), trainer=trainer)
    dataset = BoxDataset(root=Path("d"), format="voc", split="train", classes=("a",) * 9, samples=(sample,))
    scored = METHODS["grabcut"](job, dataset).score(sample, photo)
    return np.array([0, *scored.boxes.classes.tolist()])[scored.probabilities.argmax(0).numpy()]


def test_grabcut_is_opencvs_box_by_box(root: Path) -> None:
    """Beside a pixel-by-pixel painting of OpenCV's answers, also for boxes in another order."""
    cv2 = pytest.importorskip("cv2")
    for sample in formats.load(Data(root=root)).samples:
        photo = read_image(sample.image)
        best: dict[tuple[int, int], tuple[float, int]] = {}
        for (x1, y1, x2, y2), label in zip(sample.boxes, sample.labels.tolist(), strict=True):
            left, top, right, bottom = (round(edge) for edge in (x1, y1, x2, y2))
            marks = np.zeros(photo.shape[:2], np.uint8)
            cv2.setRNGSeed(7)
            rectangle = (left, top, right - left, bottom - top)
            cv2.grabCut(photo, marks, rectangle, None, None, 5, cv2.GC_INIT_WITH_RECT)
            rows, columns = np.nonzero((marks == 1) | (marks == 3))
            if len(rows) == 0:
                rows, columns = (
                    part.ravel() for part in np.meshgrid(range(top, bottom), range(left, right), indexing="ij")
                )
            for place in zip(rows.tolist(), columns.tolist(), strict=True):
                size = ((x2 - x1) * (y2 - y1), label)
                best[place] = min(best.get(place, size), size)
        expected = np.zeros(photo.shape[:2], np.uint8)
        for place, (_, label) in best.items():
            expected[place] = label
        for order in (slice(None), slice(None, None, -1)):
            found = grabcut_labels(photo, sample.boxes[order], sample.labels[order], 7)
            np.testing.assert_array_equal(found, expected)


def test_grabcut_finds_the_object_in_its_box() -> None:
    pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 40, (60, 80, 3), np.uint8)
    disc = (np.indices((60, 80)) - np.array([30, 40])[:, None, None]).__pow__(2).sum(0) < 15**2
    photo[disc] += 180
    found = grabcut_labels(photo, np.array([[20.0, 10, 60, 50]]), np.array([4]), 0)
    np.testing.assert_array_equal(found, np.where(disc, 4, 0))


@pytest.mark.parametrize("box", [(0, 0, 20, 16), (0, 0, 20, 15), (3, 3, 4, 4), (5, 5, 5, 9), (19, 0, 20, 16)])
def test_grabcut_of_boxes_at_the_limits(box: tuple[int, int, int, int]) -> None:
    """Full photos, one pixel, none: a box is never left without its object."""
    pytest.importorskip("cv2")
    photo = np.random.default_rng(1).integers(0, 256, (16, 20, 3), np.uint8)
    for picture in (photo, np.full_like(photo, 9)):
        found = grabcut_mask(picture, box, 0)
        assert found.shape == (box[3] - box[1], box[2] - box[0])
        assert found.any() or found.size == 0
        if box == (0, 0, 20, 16):
            assert found.all()


@pytest.mark.slow
def test_grabcut_on_real_photos_is_better_than_their_boxes(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    data = {"root": shared_data / "voc2012", "split": "val", "limit": 20}
    scores = boxseg.label(method="grabcut", data=data, out=tmp_path, crf=False, workers=0).scores
    assert scores.labels["labels"].miou > scores.whole_box.miou


def test_every_seed_of_a_training_will_do() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    for seed in (2**31, 3_000_000_000, 2**32 - 1):
        np.testing.assert_array_equal(
            grabcut_mask(picture, (5, 5, 30, 25), seed), grabcut_mask(picture, (5, 5, 30, 25), seed - 2**31)
        )
