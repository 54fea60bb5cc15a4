"""The published numbers, in percent, and the setting they were made in.

Sources: `authors`: Oh, Kim and Ham, "Background-Aware Pooling and Noise-Aware Loss for Weakly-Supervised
Semantic Segmentation", CVPR 2021, arXiv 2104.00905. `reproduction`: Mehta et al., "[Re] Background-Aware
Pooling and Noise-Aware Loss for Weakly-Supervised Semantic Segmentation", ReScience C 2022, doi
10.5281/zenodo.6574677.
"""

from __future__ import annotations

from dataclasses import dataclass

Numbers = tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Published:
    """Published numbers of a row, one for each metric; None if there are none."""

    authors: Numbers | None = None
    reproduction: Numbers | None = None


def _both(authors: float | Numbers, reproduction: float | Numbers) -> Published:
    pair = [value if isinstance(value, tuple) else (value,) for value in (authors, reproduction)]
    return Published(authors=pair[0], reproduction=pair[1])


# Images of PASCAL VOC 2012: train with SBD's extra annotations, VOC's own train, and val.
TRAIN_AUG = 10_582
TRAIN = 1_464
VAL = 1_449

# Photos of COCO 2017's train split.
COCO_TRAIN = 118_287

# Initial weights of the authors' VGG-16 and ResNet-101.
IMAGENET = "ImageNet's weights"
IMAGENET_COCO = "ImageNet's and COCO's weights"

WHOLE_BOX = "whole box"
GAP = "GAP"
WITHOUT_U0 = "BAP, Y_crf without u_0"
Y_CRF = "BAP, Y_crf"
Y_RET = "BAP, Y_ret"
BOTH = "BAP, Y_crf & Y_ret"

PSEUDO_LABELS = {
    WHOLE_BOX: Published(authors=(62.2,)),
    GAP: _both(76.1, 75.5),
    WITHOUT_U0: _both(77.8, 77.0),
    Y_CRF: _both(79.2, 78.8),
    Y_RET: _both(69.9, 69.9),
    BOTH: _both(68.2, 72.7),
}

# The reproduction's mIoU: a row for each N at training, 1 to 5; a column for each N at generation, 1 to 3.
_GRID = (
    (75.82, 75.77, 75.65),
    (76.11, 76.10, 75.15),
    (75.87, 75.78, 75.81),
    (78.83, 78.72, 78.82),
    (74.16, 74.07, 74.02),
)


def grid_row(train: int, generation: int) -> str:
    """Name of a row of the grid table."""
    return f"N = {train} at training, {generation} at generation"


GRID = {
    grid_row(train, generation): Published(reproduction=(value,))
    for train, values in enumerate(_GRID, start=1)
    for generation, value in enumerate(values, start=1)
}

# Before and after the CRF.
LOSS_TABLE = {
    "BASELINE": _both((61.8, 67.5), (60.9, 64.5)),
    "ER": _both((61.4, 67.3), (60.8, 64.1)),
    "BS": _both((61.9, 67.6), (60.9, 64.6)),
    "NAL": _both((62.4, 68.1), (61.4, 64.8)),
}

FINAL_VGG = {
    "Y_crf": _both(67.8, 64.7),
    "Y_ret": _both(66.1, 62.8),
    "NAL": _both(68.1, 64.8),
    "NAL (test)": _both(69.4, 65.6),
}

FINAL_RESNET = {
    "Y_crf": _both(74.0, 67.0),
    "Y_ret": _both(72.4, 70.2),
    "NAL": _both(74.6, 70.8),
    "NAL (test)": _both(76.1, 71.7),
}

# AP, AP50, AP75, and by size of the object: small, medium, large.
COCO = {
    "Y_crf": _both((11.7, 28.7, 8.0, 3.0, 15.0, 27.1), (8.6, 20.1, 6.5, 1.9, 8.8, 15.9)),
    "Y_ret": _both((9.0, 30.1, 2.8, 4.4, 10.2, 16.2), (6.6, 20.2, 2.5, 3.3, 5.7, 10.6)),
}
