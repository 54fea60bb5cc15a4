"""Ellipses as labels, a better baseline than whole boxes: the one in each box, that of the smallest on top."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from boxseg.data.box_masks import ellipse_mask, paint_masks
from boxseg.dataset import BoxDataset, Sample
from boxseg.inference.devices import torch_device
from boxseg.jobs import LabelJob
from boxseg.labelling.method import HardLabels


def start(job: LabelJob, dataset: BoxDataset) -> HardLabels:
    """There is nothing to prepare."""
    return HardLabels(paint=_paint, device=torch_device(job.trainer))


def _paint(sample: Sample, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return paint_masks(sample.boxes, sample.labels, (sample.height, sample.width), ellipse_mask)
