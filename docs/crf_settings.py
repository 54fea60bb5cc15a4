"""Print how settings of the CRF change labels of the demo set: the table of docs/crf.md.

boxseg demo
python docs/crf_settings.py runs/demo
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from boxseg.config import Crf
from boxseg.data.toy import CLASSES
from boxseg.errors import BoxsegError
from boxseg.inference.networks import load_classifier
from boxseg.scoring.confusion import ConfusionMatrix
from figures import Scored, crf_labels, score_scene

USUAL = Crf()
SETTINGS = {
    "no CRF": replace(USUAL, iterations=0),
    "defaults": USUAL,
    "sigma_rgb=1": replace(USUAL, sigma_rgb=1.0),
    "sigma_rgb=13": replace(USUAL, sigma_rgb=13.0),
    "sigma_rgb=30": replace(USUAL, sigma_rgb=30.0),
    "sigma_xy=10": replace(USUAL, sigma_xy=10.0),
    "sigma_xy=20": replace(USUAL, sigma_xy=20.0),
    "sigma_xy=120": replace(USUAL, sigma_xy=120.0),
    "bilateral_weight=2": replace(USUAL, bilateral_weight=2.0),
    "bilateral_weight=8": replace(USUAL, bilateral_weight=8.0),
    "gaussian_weight=0.5": replace(USUAL, gaussian_weight=0.5),
    "gaussian_weight=10": replace(USUAL, gaussian_weight=10.0),
    "iterations=5": replace(USUAL, iterations=5),
}


def compare(run: Path, photos: int) -> Iterator[tuple[str, float, int, int]]:
    """For each setting its name, the mIoU of Y_crf, boxes without a pixel of their class, and all boxes.

    Args:
        run: Folder of `boxseg demo`, or of a classifier trained on the demo set.
        photos: How many of the demo set's training photos to label.
    """
    network = load_classifier(run, torch.device("cpu")).network
    scored = [score_scene(network, (0, 0, index)) for index in range(photos)]
    for name, crf in SETTINGS.items():
        confusion = ConfusionMatrix(CLASSES)
        lost = 0
        for photo in scored:
            labels = crf_labels(photo, crf)
            confusion.update(labels.numpy(), photo.scene.mask)
            lost += lost_boxes(photo, labels)
        yield name, confusion.scores().miou, lost, sum(len(photo.scene.labels) for photo in scored)


def lost_boxes(photo: Scored, labels: torch.Tensor) -> int:
    """How many boxes have no pixel of their class."""
    edges = zip(photo.boxes.rectangles, photo.scene.labels, strict=True)
    return sum(not (labels[y1:y2, x1:x2] == int(label)).any() for (x1, y1, x2, y2), label in edges)


if __name__ == "__main__":
    try:
        for name, miou, lost, boxes in compare(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo"), 80):
            print(f"| {name} | {100 * miou:.1f} | {lost} of {boxes} |", flush=True)
    except BoxsegError as error:
        sys.exit(str(error))
