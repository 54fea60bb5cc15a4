"""GrabCut from each box: its surroundings are background, its inside is cut.

Source: Rother, Kolmogorov and Blake, "GrabCut: interactive foreground extraction using iterated graph cuts",
    SIGGRAPH 2004; OpenCV's implementation.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxseg.data.geometry import painting_order
from boxseg.dataset import BACKGROUND, BoxDataset, Sample
from boxseg.extras import import_extra
from boxseg.formats.boxes import pixel_ranges
from boxseg.inference.devices import torch_device
from boxseg.jobs import LabelJob
from boxseg.labelling.method import HardLabels

# Alternations between colour models and cut, as in OpenCV's own example.
_ITERATIONS = 5


def start(job: LabelJob, dataset: BoxDataset) -> HardLabels:
    """GrabCut, box by box.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    _opencv()
    return HardLabels(paint=partial(_paint, seed=job.trainer.seed), device=torch_device(job.trainer))


def _paint(sample: Sample, photo: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    return grabcut_labels(photo, sample.boxes, sample.labels, seed)


def grabcut_labels(
    photo: NDArray[np.uint8], boxes: NDArray[np.float64], labels: NDArray[np.int64], seed: int
) -> NDArray[np.uint8]:
    """Labels (H, W) uint8 of the objects cut out of boxes, that of the smallest box on top.

    Boxes are (n, 4) xyxy, pixels, with labels (n,) 1..L. The colour models get the same seed for each box.
    """
    height, width = photo.shape[:2]
    result = np.full((height, width), BACKGROUND, dtype=np.uint8)
    ranges = pixel_ranges(boxes, height, width).tolist()
    for index in painting_order(boxes, labels):
        left, top, right, bottom = ranges[index]
        inside = result[top:bottom, left:right]
        inside[cut(photo, (left, top, right, bottom), seed)] = labels[index]
    return result


def cut(photo: NDArray[np.uint8], box: tuple[int, int, int, int], seed: int) -> NDArray[np.bool_]:
    """Pixels of the object in a box, (h, w) bool; the box is half-open pixels (left, top, right, bottom).

    The whole box if it fills the photo, which leaves no background to learn from, or if GrabCut finds nothing.
    """
    left, top, right, bottom = box
    whole = np.ones((bottom - top, right - left), dtype=np.bool_)
    if whole.size in (0, photo.shape[0] * photo.shape[1]):
        return whole
    cv2 = _opencv()
    marks = np.zeros(photo.shape[:2], dtype=np.uint8)
    rectangle = (left, top, right - left, bottom - top)
    cv2.setRNGSeed(seed)
    cv2.grabCut(photo, marks, rectangle, None, None, _ITERATIONS, cv2.GC_INIT_WITH_RECT)
    marks = marks[top:bottom, left:right]
    found: NDArray[np.bool_] = (marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)
    return found if found.any() else whole


def _opencv() -> Any:
    return import_extra("cv2", extra="grabcut", purpose="label.method=grabcut")
