"""Which boxes can be used: the same rules in every format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Clipping by less than half a pixel moves no pixel centre in or out: it counts as rounding, not as a problem.
_ROUNDING = 0.5
# One pixel, less the rounding of coordinates written as shares of the photo.
_NARROWEST = 0.99


@dataclass(frozen=True)
class Verdict:
    """What happens to one box that cannot be used as it is; kind, detail and action as in `Problem`."""

    index: int  # its place among the boxes given
    kind: str
    detail: str
    action: str


# Pixels: the side of one photo, or (n,) the side of each box's photo.
Side = int | NDArray[np.int64]


def clip_boxes(boxes: NDArray[np.float64], width: Side, height: Side) -> NDArray[np.float64]:
    """Clip boxes (n, 4) xyxy in pixels to the photo; a box outside it becomes one without area."""
    edges = np.stack([width, height, width, height], axis=-1).astype(np.float64)
    return np.clip(np.asarray(boxes, dtype=np.float64).reshape(-1, 4), 0.0, edges)


def box_areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Areas (n,) of boxes (n, 4) xyxy."""
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def mask_bounds(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The box x1 y1 x2 y2 around the pixels of a mask (H, W); ValueError if it has none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise ValueError("a mask without a pixel")
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def pixel_ranges(boxes: NDArray[np.float64], height: int, width: int) -> NDArray[np.int64]:
    """First and one past the last pixel column and row of boxes (n, 4) xyxy, which may stick out of the image.

    Returns:
        (n, 4) int64 x1 y1 x2 y2 within the image: the pixels `[y1:y2, x1:x2]` have their centres in the box.
    """
    # The centre x + 0.5 is in [x1, x2) exactly when x is in [ceil(x1 - 0.5), ceil(x2 - 0.5)).
    return np.ceil(clip_boxes(boxes, width, height) - 0.5).astype(np.int64)


def touched_pixels(boxes: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
    """Boxes (n, 4) around all pixels that boxes (n, 4) xyxy touch, also inverted ones and lines.

    Of a box outside the photo, nothing is left: it has no area. All coordinates are finite.
    """
    low = np.floor(np.minimum(boxes[:, :2], boxes[:, 2:]))
    high = np.maximum(np.ceil(np.maximum(boxes[:, :2], boxes[:, 2:])), low + 1)
    return clip_boxes(np.concatenate([low, high], axis=1), width, height)


def judge_boxes(
    boxes: NDArray[np.float64], width: Side, height: Side
) -> tuple[NDArray[np.float64], NDArray[np.bool_], list[Verdict]]:
    """Clip boxes (n, 4) to their photos and find those that cannot be used.

    Boxes are xyxy in pixels, as annotated; `width` and `height` are of one photo or, (n,), of each box's photo.

    Returns:
        The clipped boxes (n, 4); which to keep (n,); and a verdict on every box that is dropped, clipped by
        half a pixel or more, or not finite: its photo is to be skipped.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    clipped = clip_boxes(np.where(np.isfinite(boxes), boxes, 0.0), width, height)
    sides = np.broadcast_to(np.stack([width, height], axis=-1), (len(boxes), 2))
    verdicts = list(_verdicts(boxes, clipped, sides))
    keep = np.ones(len(boxes), dtype=bool)
    keep[[verdict.index for verdict in verdicts if verdict.action != "clipped"]] = False
    return clipped, keep, verdicts


def _verdicts(
    boxes: NDArray[np.float64], clipped: NDArray[np.float64], sides: NDArray[np.int64]
) -> Iterator[Verdict]:
    # A box that clipping hardly moved and that is at least a pixel wide and high is fine; nearly all are.
    whole = (clipped[:, 2:] - clipped[:, :2] >= _NARROWEST).all(axis=1)
    fine = whole & (np.abs(boxes - clipped) < _ROUNDING).all(axis=1)  # false for NaN
    for index in map(int, np.flatnonzero(~fine)):
        box, cut = boxes[index], clipped[index]
        text, photo = "({:g}, {:g}, {:g}, {:g})".format(*box), "{} x {}".format(*sides[index])
        if not np.isfinite(box).all():
            yield Verdict(index, "box is not a number", text, "skipped")
        elif box[2] <= box[0] or box[3] <= box[1]:
            yield Verdict(index, "box is empty or inverted", text, "dropped")
        elif cut[2] <= cut[0] or cut[3] <= cut[1]:
            yield Verdict(index, "box is outside the photo", f"{text} in {photo}", "dropped")
        elif min(cut[2] - cut[0], cut[3] - cut[1]) < _NARROWEST:
            yield Verdict(index, "box is narrower than 1 pixel", f"{text} in {photo}", "dropped")
        else:
            yield Verdict(index, "box sticks out of the photo", f"{text} in {photo}", "clipped")
