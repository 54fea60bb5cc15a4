"""What GrabCut cuts out of each box as its mask."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from boxseg.data.box_masks import Window, grabcut_mask, opencv
from boxseg.dataset import BoxDataset
from boxseg.inference.devices import torch_device
from boxseg.jobs import LabelJob
from boxseg.labelling.method import BoxMethod


def start(job: LabelJob, dataset: BoxDataset) -> BoxMethod:
    """GrabCut, box by box.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    opencv()
    mask_of = partial(_mask, seed=job.trainer.seed)
    return BoxMethod(name="grabcut", mask_of=mask_of, device=torch_device(job.trainer))


def _mask(photo: NDArray[np.uint8], box: NDArray[np.float64], window: Window, seed: int) -> NDArray[np.bool_]:
    return grabcut_mask(photo, window, seed)
