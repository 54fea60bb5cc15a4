"""What every annotation format is read into: images with boxes, and what was wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BACKGROUND = 0
IGNORE = 255

VOC_CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One annotated photo.

    Attributes:
        id: Name in the data set, without suffix, unique; names the files made from it. May hold `/`.
        image: Path of the photo.
        width: Width of the upright photo, pixels.
        height: Height of the upright photo, pixels.
        boxes: (n, 4) float64, x1 y1 x2 y2 in pixels: 0-based half-open edges, inside the photo, positive area.
        labels: (n,) int64, class 1..L of each box.
        difficult: (n,) bool, objects the annotators marked as difficult.
        crowds: (m, 4) float64 like boxes, around crowds (COCO): no objects, no sure background.
        ground_truth: Reads the (H, W) uint8 mask (0 background, 1..L, 255 ignored), or None where there is
            none. Used for scoring only. Picklable.
    """

    id: str
    image: Path
    width: int
    height: int
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    difficult: NDArray[np.bool_]
    crowds: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 4)))
    ground_truth: Callable[[], NDArray[np.uint8]] | None = None


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One broken or doubtful item of a data set.

    Attributes:
        file: Where it is.
        what: What is wrong with it: a kind to count by, then a colon and the particulars.
        action: What boxseg does about it: image `skipped`, box `dropped` or `clipped`, `kept` …
    """

    file: Path
    what: str
    action: str


@dataclass(frozen=True, kw_only=True)
class BoxDataset:
    """Samples of one split, in the order of the data set.

    Attributes:
        root: Folder it was read from.
        format: Name of its format.
        split: Name of the split.
        classes: Names of classes 1..L, in order, without the background.
        samples: The usable images.
        problems: What was skipped, clipped or ignored.
    """

    root: Path
    format: str
    split: str
    classes: tuple[str, ...]
    samples: tuple[Sample, ...]
    problems: tuple[Problem, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def has_ground_truth(self) -> bool:
        """Whether at least one image can be scored."""
        return any(sample.ground_truth is not None for sample in self.samples)
