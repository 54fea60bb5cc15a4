"""Whole boxes as masks, the simplest baseline."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from boxseg.data.box_masks import Window, whole_mask
from boxseg.dataset import BoxDataset
from boxseg.inference.devices import torch_device
from boxseg.jobs import LabelJob
from boxseg.labelling.method import BoxMethod


def start(job: LabelJob, dataset: BoxDataset) -> BoxMethod:
    """There is nothing to prepare."""
    return BoxMethod(name="box", mask_of=_mask, device=torch_device(job.trainer))


def _mask(photo: NDArray[np.uint8], box: NDArray[np.float64], window: Window) -> NDArray[np.bool_]:
    return whole_mask(box, window)
