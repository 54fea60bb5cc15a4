"""Whole boxes as labels, the baseline: every pixel of a box is of its class, the smallest box on top."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from boxseg.data.geometry import whole_box_labels
from boxseg.dataset import BoxDataset, Sample
from boxseg.inference.devices import torch_device
from boxseg.jobs import LabelJob
from boxseg.labelling.method import HardLabels


def start(job: LabelJob, dataset: BoxDataset) -> HardLabels:
    """There is nothing to prepare."""
    return HardLabels(paint=_paint, device=torch_device(job.trainer))


def _paint(sample: Sample, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return whole_box_labels(sample.boxes, sample.labels, sample.height, sample.width)
