"""The ellipse in each box as its mask, a better baseline than whole boxes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from boxseg.data.box_masks import Window, ellipse_mask
from boxseg.dataset import BoxDataset
from boxseg.inference.devices import torch_device
from boxseg.jobs import LabelJob
from boxseg.labelling.method import BoxMethod


def start(job: LabelJob, dataset: BoxDataset) -> BoxMethod:
    """There is nothing to prepare."""
    return BoxMethod(name="ellipse", mask_of=_mask, device=torch_device(job.trainer))


def _mask(photo: NDArray[np.uint8], box: NDArray[np.float64], window: Window) -> NDArray[np.bool_]:
    return ellipse_mask(box, window)
