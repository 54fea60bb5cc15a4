"""The mask of a single box without a network: the whole box, the ellipse in it, GrabCut.

Labels are painted from them (`labelling`), and masks of networks are compared with them (`scoring`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxseg.data.geometry import painting_order
from boxseg.dataset import BACKGROUND
from boxseg.extras import import_extra
from boxseg.formats.boxes import pixel_ranges

# The pixels of a box, half-open: left, top, right, bottom, inside the photo.
Window = tuple[int, int, int, int]

# The object in a box x1 y1 x2 y2 whose pixels are a window: (h, w) bool as the window.
BoxMask = Callable[[NDArray[np.float64], Window], NDArray[np.bool_]]

# Alternations between colour models and cut, as in OpenCV's own example.
_ITERATIONS = 5


def object_windows(boxes: NDArray[np.float64], height: int, width: int) -> list[Window]:
    """The pixels of each box (n, 4) xyxy, as of `pixel_ranges`; of one between pixel centres, the nearest."""
    windows = []
    for box, (left, top, right, bottom) in zip(boxes, pixel_ranges(boxes, height, width).tolist(), strict=True):
        if left >= right:
            left = min(max(int((box[0] + box[2]) / 2), 0), width - 1)
            right = left + 1
        if top >= bottom:
            top = min(max(int((box[1] + box[3]) / 2), 0), height - 1)
            bottom = top + 1
        windows.append((left, top, right, bottom))
    return windows


def whole_mask(box: NDArray[np.float64], window: Window) -> NDArray[np.bool_]:
    """All pixels of a box, (h, w) bool as its window."""
    left, top, right, bottom = window
    return np.ones((bottom - top, right - left), dtype=np.bool_)


def ellipse_mask(box: NDArray[np.float64], window: Window) -> NDArray[np.bool_]:
    """Pixels with their centre in the ellipse inscribed in a box, (h, w) bool as its window.

    Where the ellipse passes between all centres, those nearest to its middle, in sides of the box: a window
    with pixels is never left without its object.

    Args:
        box: x1 y1 x2 y2, pixels.
        window: Its pixels.
    """
    left, top, right, bottom = window
    x1, y1, x2, y2 = map(float, box)
    width, height = x2 - x1, y2 - y1
    # (x / half the width)² + (y / half the height)² ≤ 1 without a division: exact for boxes of whole pixels.
    across = (2 * np.arange(left, right) + 1 - (x1 + x2)) * height
    down = (2 * np.arange(top, bottom) + 1 - (y1 + y2)) * width
    across, down = np.square(across), np.square(down)
    if not len(across) or not len(down):
        return np.zeros((len(down), len(across)), dtype=np.bool_)
    most = max((width * height) ** 2, float(down.min() + across.min()))
    inside = np.empty((len(down), len(across)), dtype=np.bool_)
    for row, square in enumerate(down):  # the sums of all rows at once take eight bytes a pixel
        np.less_equal(across + square, most, out=inside[row])
    return inside


def grabcut_mask(photo: NDArray[np.uint8], window: Window, seed: int) -> NDArray[np.bool_]:
    """What GrabCut cuts out of a box, (h, w) bool as its window: outside is background, inside is cut.

    All of the box where it fills the photo, which leaves no background to learn from, and where GrabCut finds
    no object, for there is one.

    Args:
        photo: (H, W, 3) uint8 RGB.
        window: Pixels of the box.
        seed: Seed of the colour models.

    Raises:
        MissingExtraError: OpenCV is not installed.

    Source: Rother, Kolmogorov and Blake, "GrabCut: interactive foreground extraction using iterated graph
        cuts", SIGGRAPH 2004; OpenCV's implementation.
    """
    left, top, right, bottom = window
    whole = np.ones((bottom - top, right - left), dtype=np.bool_)
    if whole.size in (0, photo.shape[0] * photo.shape[1]):
        return whole
    cv2 = opencv()
    marks = np.zeros(photo.shape[:2], dtype=np.uint8)
    rectangle = (left, top, right - left, bottom - top)
    cv2.setRNGSeed(seed % 2**31)  # a C int
    cv2.grabCut(photo, marks, rectangle, None, None, _ITERATIONS, cv2.GC_INIT_WITH_RECT)
    marks = marks[top:bottom, left:right]
    found: NDArray[np.bool_] = (marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)
    return found if found.any() else whole


def opencv() -> Any:
    """OpenCV, for GrabCut.

    Raises:
        MissingExtraError: It is not installed.
    """
    return import_extra("cv2", extra="grabcut", purpose="GrabCut")


def paint_masks(
    boxes: NDArray[np.float64],
    labels: NDArray[np.int64],
    size: tuple[int, int],
    masks: Sequence[NDArray[np.bool_]],
) -> NDArray[np.uint8]:
    """Labels (H, W) uint8 of the objects in boxes, that of the smallest box on top; 0 outside their masks.

    Args:
        boxes: (n, 4) xyxy, pixels.
        labels: (n,) class 1..L of each box.
        size: (H, W) of the photo, pixels.
        masks: The object in each box, (h, w) as its window of `object_windows`.
    """
    result = np.full(size, BACKGROUND, dtype=np.uint8)
    windows = object_windows(boxes, *size)
    for index in painting_order(boxes, labels):
        left, top, right, bottom = windows[index]
        result[top:bottom, left:right][masks[index]] = labels[index]
    return result
