"""Counts of the boxes of a split, by class and by size."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from boxseg.dataset import BoxDataset
from boxseg.formats.boxes import box_areas

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
    images: Counter[int] = Counter()
    boxes: Counter[int] = Counter()
    small: Counter[int] = Counter()
    for sample in dataset.samples:
        labels = sample.labels.tolist()
        images.update(set(labels))
        boxes.update(labels)
        small.update(sample.labels[box_areas(sample.boxes) < MEDIUM].tolist())
    return [
        ClassCount(name=name, images=images[label], boxes=boxes[label], small=small[label])
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
    images: Counter[str] = Counter()
    boxes: Counter[str] = Counter()
    for sample in dataset.samples:
        areas = box_areas(sample.boxes)
        sizes = [SIZES[place] for place in ((areas >= MEDIUM).astype(np.int64) + (areas > LARGE)).tolist()]
        images.update(set(sizes))
        boxes.update(sizes)
    return [
        ClassCount(name=size, images=images[size], boxes=boxes[size], small=boxes[size] * (size == "small"))
        for size in SIZES
    ]
