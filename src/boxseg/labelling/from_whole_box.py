"""Whole boxes as labels: every pixel of a box is of its class, the smallest box on top."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from boxseg.data.geometry import whole_box_labels
from boxseg.dataset import BoxDataset, Sample
from boxseg.inference.devices import torch_device
from boxseg.jobs import LabelJob
from boxseg.labelling.method import Origin, Scored, pixel_boxes
from boxseg.nn.mask_scores import label_scores


@dataclass(frozen=True, kw_only=True)
class WholeBox:
    """The baseline that needs nothing but the boxes.

    Attributes:
        device: Where the CRF starts.
        origin: Nothing else.
    """

    device: torch.device
    origin: Origin = field(default_factory=Origin)

    def on(self, device: torch.device) -> WholeBox:
        """The same on another device."""
        return replace(self, device=device)

    def score(self, sample: Sample, photo: NDArray[np.uint8]) -> Scored:
        """The whole boxes, as sure as hard labels are."""
        boxes = pixel_boxes(sample, self.device)
        labels = whole_box_labels(sample.boxes, sample.labels, sample.height, sample.width)
        return Scored(
            image=torch.from_numpy(photo).to(self.device),
            boxes=boxes,
            probabilities=label_scores(torch.from_numpy(labels).to(self.device), boxes),
        )


def start(job: LabelJob, dataset: BoxDataset) -> WholeBox:
    """There is nothing to prepare."""
    return WholeBox(device=torch_device(job.trainer))
