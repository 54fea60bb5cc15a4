"""Counts of the boxes of a split, by class and by size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boxseg.dataset import BoxDataset
from boxseg.formats.boxes import box_areas
from boxseg.formats.sample_counts import Boxes, all_boxes

# Areas, in pixels, from which boxes are medium and above which they are large: those of COCO's objects.
MEDIUM, LARGE = 32**2, 96**2
SIZES = ("small", "medium", "large")


@dataclass(frozen=True, kw_only=True)
class ClassCount:
    """One class, or one size.

    Attributes:
        name: Of the class, or `small`, `medium`, `large`.
        images: Images that have such a box.
        boxes: Their number.
        small: How many of these are smaller than 32² pixels.
    """

    name: str
    images: int
    boxes: int
    small: int

    @property
    def share_small(self) -> float | None:
        """Share of small boxes, 0..1; None without a box."""
        return self.small / self.boxes if self.boxes else None


def count_classes(dataset: BoxDataset) -> list[ClassCount]:
    """Counts of classes 1..L."""
    found = all_boxes(dataset.samples)
    small = box_areas(found.corners) < MEDIUM
    first = _first_of_photo(found, found.labels)
    images, boxes, few = (
        np.bincount(found.labels[rows], minlength=len(dataset.classes) + 1).tolist()
        for rows in (first, slice(None), small)
    )
    return [
        ClassCount(name=name, images=images[label], boxes=boxes[label], small=few[label])
        for label, name in enumerate(dataset.classes, start=1)
    ]


def rare_classes(dataset: BoxDataset, few: int = 10) -> list[ClassCount]:
    """Classes of fewer than `few` boxes, rarest first, if the commonest has at least ten times as many."""
    counts = count_classes(dataset)
    if max((count.boxes for count in counts), default=0) < 10 * few:
        return []
    return sorted((count for count in counts if count.boxes < few), key=lambda count: count.boxes)


def count_sizes(dataset: BoxDataset) -> list[ClassCount]:
    """Counts of small, medium and large boxes, by their areas."""
    found = all_boxes(dataset.samples)
    areas = box_areas(found.corners)
    sizes = (areas >= MEDIUM).astype(np.int64) + (areas > LARGE)
    first = _first_of_photo(found, sizes)
    images, boxes = (np.bincount(sizes[rows], minlength=len(SIZES)).tolist() for rows in (first, slice(None)))
    return [
        ClassCount(name=size, images=images[place], boxes=boxes[place], small=boxes[place] * (size == "small"))
        for place, size in enumerate(SIZES)
    ]


def _first_of_photo(found: Boxes, kinds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of boxes (N,), one for each kind (N,) that a photo has."""
    every = int(kinds.max(initial=0)) + 1
    return np.asarray(np.unique(found.owners * every + kinds, return_index=True)[1], dtype=np.int64)
