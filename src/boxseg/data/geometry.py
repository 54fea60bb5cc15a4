"""Boxes as pixels: which pixels belong to a box, which to the background.

Boxes keep their float coordinates until here; a pixel belongs to a box when its centre does. Boxes are
half-open, so boxes that share an edge share no pixel, and a box 1 pixel wide or more is never empty.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from boxseg.formats.boxes import box_areas, pixel_ranges
from boxseg.wording import counted


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
    """The whole-box baseline: (H, W) uint8, 0 outside all boxes; every pixel of a box has its class.

    Boxes are (n, 4) xyxy in pixels, with classes 1..L (n,). The smallest box wins; among boxes of one size the
    lower class, so the order of boxes does not matter.

    Raises:
        ValueError: Boxes are not (n, 4) for n labels.
    """
    if boxes.shape != (len(labels), 4):
        raise ValueError(
            f"Invalid boxes, expected ({len(labels)}, 4) for {counted(len(labels), 'label')}, got {boxes.shape}"
        )
    result = np.zeros((height, width), dtype=np.uint8)
    ranges = pixel_ranges(boxes, height, width)
    for index in painting_order(boxes, labels):
        x1, y1, x2, y2 = ranges[index]
        result[y1:y2, x1:x2] = labels[index]
    return result


def painting_order(boxes: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.intp]:
    """Indices of boxes (n, 4), the largest box first; among boxes of one size the lower class is last."""
    return np.lexsort((labels, box_areas(boxes)))[::-1]
