"""Boxes as pixels: which belong to a box, to a class, to the background.

Boxes keep their float coordinates until here; a pixel belongs to a box when its centre does. Boxes are
half-open, so boxes that share an edge share no pixel, and a box 1 pixel wide or more is never empty.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from boxseg.formats.boxes import clip_boxes, pixel_ranges

__all__ = ["background_map", "clip_boxes", "painting_order", "pixel_ranges", "rasterise", "whole_box_labels"]


def rasterise(
    boxes: NDArray[np.float64], labels: NDArray[np.int64], height: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where each class has a box.

    Args:
        boxes: (n, 4) xyxy, pixels.
        labels: (n,) class of each box.
        height: Height of the image, pixels.
        width: Width of the image, pixels.

    Returns:
        The k classes that have boxes, (k,) ascending, and for each the pixels inside any of its boxes,
        (k, H, W) bool.

    Raises:
        ValueError: Not one label a box.
    """
    _check(boxes, labels)
    classes, which = np.unique(labels, return_inverse=True)
    masks = np.zeros((len(classes), height, width), dtype=bool)
    for index, (x1, y1, x2, y2) in zip(which, pixel_ranges(boxes, height, width), strict=True):
        masks[index, y1:y2, x1:x2] = True
    return classes.astype(np.int64), masks


def background_map(boxes: NDArray[np.float64], height: int, width: int) -> NDArray[np.bool_]:
    """M: (H, W) bool, true outside every box (n, 4).

    Source: BANA, section 3.1.
    """
    background = np.ones((height, width), dtype=bool)
    for x1, y1, x2, y2 in pixel_ranges(boxes, height, width):
        background[y1:y2, x1:x2] = False
    return background


def whole_box_labels(
    boxes: NDArray[np.float64], labels: NDArray[np.int64], height: int, width: int
) -> NDArray[np.uint8]:
    """The whole-box baseline: every pixel of a box is of its class, the smallest box wins.

    Boxes of one size: the lower class wins, so the order of boxes does not matter.

    Args:
        boxes: (n, 4) xyxy, pixels.
        labels: (n,) class 1..L of each box.
        height: Height of the image, pixels.
        width: Width of the image, pixels.

    Returns:
        (H, W) uint8, 0 outside every box.

    Raises:
        ValueError: Not one label a box.
    """
    _check(boxes, labels)
    result = np.zeros((height, width), dtype=np.uint8)
    ranges = pixel_ranges(boxes, height, width)
    for index in painting_order(boxes, labels):
        x1, y1, x2, y2 = ranges[index]
        result[y1:y2, x1:x2] = labels[index]
    return result


def painting_order(boxes: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.intp]:
    """Places of boxes (n, 4) from the largest, so that smaller ones are painted over it.

    Of boxes of one size the lower class comes last.
    """
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return np.lexsort((labels, area))[::-1]


def _check(boxes: NDArray[np.float64], labels: NDArray[np.int64]) -> None:
    if boxes.shape != (len(labels), 4):
        raise ValueError(
            f"Invalid boxes, expected ({len(labels)}, 4) for {len(labels)} labels, got {boxes.shape}"
        )
