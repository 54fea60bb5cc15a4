"""How well the mask of each object fits: its IoU with the object's true mask, whatever its score.

AP ranks results and counts those that fit well enough. Where every object had a box, each should have a mask of
its own, and the mean IoU of these says how good they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from boxseg.formats import run_lengths
from boxseg.scoring.coco_masks import FoundMasks, TrueObjects

# IoU below which a mask misses its object.
POOR = 0.25
# Areas, in pixels, from which objects are medium and above which they are large, as for AP.
_MEDIUM, _LARGE = 32**2, 96**2


@dataclass(frozen=True, kw_only=True)
class ObjectIous:
    """IoU of every object's own mask with its true mask, 0 without one. Crowds are no objects.

    Attributes:
        objects: Their number.
        without_mask: Objects without a mask.
        poor: Objects with an IoU below 0.25, those without a mask among them.
        mean: Mean over all objects, 0..1; None where there is none, here and below.
        small: Over objects smaller than 32² pixels.
        medium: Over objects from there to 96² pixels.
        large: Over larger ones.
    """

    objects: int
    without_mask: int
    poor: int
    mean: float | None
    small: float | None
    medium: float | None
    large: float | None

    def as_dict(self) -> dict[str, Any]:
        """For metrics.json."""
        return {
            "objects": self.objects,
            "objects_without_mask": self.without_mask,
            "objects_below_iou_25": self.poor,
            "mean_iou": self.mean,
            "mean_iou_small": self.small,
            "mean_iou_medium": self.medium,
            "mean_iou_large": self.large,
        }


class Own(NamedTuple):
    """An object's own result: its place among the results of the image, and its IoU with the true mask."""

    place: int
    iou: float


def object_ious(truth: TrueObjects, found: FoundMasks) -> ObjectIous:
    """IoU of every object's own mask, by size of the object."""
    objects, masks = _by_image(truth.objects), _by_image(found.masks)
    areas, ious, missing = [], [], 0
    for number, all_objects in objects.items():
        owners = [item for item in all_objects if not item["iscrowd"]]
        for item, own in zip(owners, own_results(owners, masks.get(number, [])), strict=True):
            areas.append(item["area"])
            ious.append(own.iou if own else 0.0)
            missing += own is None
    size, iou = np.array(areas, dtype=np.float64), np.array(ious, dtype=np.float64)
    return ObjectIous(
        objects=len(iou),
        without_mask=missing,
        poor=int((iou < POOR).sum()),
        mean=_mean(iou),
        small=_mean(iou[size < _MEDIUM]),
        medium=_mean(iou[(size >= _MEDIUM) & (size <= _LARGE)]),
        large=_mean(iou[size > _LARGE]),
    )


def own_results(objects: Sequence[Mapping[str, Any]], masks: Sequence[Mapping[str, Any]]) -> list[Own | None]:
    """Which result is each object's own; None for objects without one.

    Pairs of an object and a result of its class are taken by descending IoU, each object and each result once,
    until there are no more results or no more objects. So an object has none only if its class has fewer
    results than objects; a result that misses what it was made for is its own, with an IoU of 0.

    Args:
        objects: Objects of one image, as in `TrueObjects`, without crowds.
        masks: Results on this image, as in `FoundMasks`.
    """
    own: list[Own | None] = [None] * len(objects)
    labels = np.array([item["category_id"] for item in objects], dtype=np.int64)
    found = np.array([mask["category_id"] for mask in masks], dtype=np.int64)
    for label in np.unique(labels).tolist():
        rows, columns = np.flatnonzero(labels == label).tolist(), np.flatnonzero(found == label).tolist()
        if not columns:
            continue
        ious = run_lengths.ious(
            [masks[column]["segmentation"] for column in columns],
            [objects[row]["segmentation"] for row in rows],
        )
        for row, column, iou in _pairs(ious.T):
            own[rows[row]] = Own(columns[column], iou)
    return own


def _pairs(ious: NDArray[np.float64]) -> list[tuple[int, int, float]]:
    """Row, column and value of the largest entries (n, m), each row and each column once."""
    pairs: list[tuple[int, int, float]] = []
    free_rows, free_columns = set(range(ious.shape[0])), set(range(ious.shape[1]))
    # Equal ones by row, then by column, so that the numbers do not depend on the sorting.
    for place in np.argsort(-ious, axis=None, kind="stable").tolist():
        row, column = divmod(place, ious.shape[1])
        if row in free_rows and column in free_columns:
            pairs.append((row, column, float(ious[row, column])))
            free_rows.remove(row)
            free_columns.remove(column)
    return pairs


def _by_image(items: Sequence[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for item in items:
        found[item["image_id"]].append(item)
    return dict(found)


def _mean(ious: NDArray[np.float64]) -> float | None:
    return float(ious.mean()) if ious.size else None
