"""GrabCut from each box, the smallest box on top."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from boxseg.data.box_masks import grabcut_mask, opencv, paint_masks
from boxseg.dataset import BoxDataset, Sample
from boxseg.inference.devices import torch_device
from boxseg.jobs import LabelJob
from boxseg.labelling.method import HardLabels


def start(job: LabelJob, dataset: BoxDataset) -> HardLabels:
    """GrabCut, box by box.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    opencv()
    return HardLabels(paint=partial(_paint, seed=job.trainer.seed), device=torch_device(job.trainer))


def _paint(sample: Sample, photo: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    return grabcut_labels(photo, sample.boxes, sample.labels, seed)


def grabcut_labels(
    photo: NDArray[np.uint8], boxes: NDArray[np.float64], labels: NDArray[np.int64], seed: int
) -> NDArray[np.uint8]:
    """Labels (H, W) uint8 of the objects cut out of boxes.

    Args:
        photo: (H, W, 3) uint8 RGB.
        boxes: (n, 4) xyxy, pixels.
        labels: (n,) class 1..L of each box.
        seed: Seed of the colour models, for each box anew.
    """
    size = (photo.shape[0], photo.shape[1])
    return paint_masks(boxes, labels, size, lambda _, window: grabcut_mask(photo, window, seed))
