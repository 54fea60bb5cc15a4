"""What every annotation format is read into: images with boxes, and the problems found in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from boxseg.wording import counted

BACKGROUND = 0
BACKGROUND_NAME = "background"
IGNORE = 255

# What somebody wants in place of a box's mask: that of a simple method, none, or one that is yet to be drawn.
Correction = Literal["ellipse", "box", "grabcut", "leave-out", "redraw"]
LEAVE_OUT: Final = "leave-out"
REDRAW: Final = "redraw"

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Instance:
    """One object of the ground truth, with its own mask; used for scoring only.

    Attributes:
        label: Class 1..L.
        region: Polygons [[x0, y0, x1, y1, …], …] in pixels, or a COCO run-length code.
        crowd: Whether it is a crowd: not an object, and nothing inside it counts as wrong.
        area: Pixels as annotated; None if not stated: then the mask's pixels count.
        annotation_id: Of its annotation, as in `Sample.annotation_ids`; None where it has none.
    """

    label: int
    region: Any
    crowd: bool
    area: float | None
    annotation_id: int | str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One annotated photo.

    Attributes:
        id: Name in the data set, without suffix, unique; names the files made from it. May contain `/`.
        image: Path of the photo.
        width: Width of the photo as it is read, pixels.
        height: Height of the photo as it is read, pixels.
        boxes: (n, 4) float64, x1 y1 x2 y2 in pixels: 0-based half-open edges, inside the photo, positive area.
        labels: (n,) int64, class 1..L of each box.
        difficult: (n,) bool, objects the annotators marked as difficult.
        crowds: (m, 4) float64 like boxes, around what is neither an object nor sure background: crowds (COCO),
            and objects that cannot be read.
        crowd_labels: (m,) int64, class 1..L of each of `crowds`; 0 where it is not known.
        ground_truth: Reads the (H, W) uint8 mask: 0 background, 1..L, 255 ignored. For scoring; picklable.
        ignored: Reads the (H, W) uint8 mask of `crowds`: 255 on their pixels, 0 elsewhere. Picklable.
        instances: Every object and crowd with its mask (COCO), or None if one is missing.
        image_id: The image's number or name in COCO files; None stands for `id`.
        more_image_ids: Those of further entries of the same photo, whose objects are among its own.
        annotation_ids: The id of each box's annotation (COCO) or region (Label Studio), as it is in the file,
            where it need not be unique. None where the format has none, or a box of the photo lacks one.
        as_stored: Whether the photo is read as its pixels are stored, although EXIF turns it, because its boxes
            were drawn so. Any other photo is read upright.
        corrections: What somebody wants in place of the masks of some boxes, by the place of the box.
    """

    id: str
    image: Path
    width: int
    height: int
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    difficult: NDArray[np.bool_]
    crowds: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 4)))
    crowd_labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    ground_truth: Callable[[], NDArray[np.uint8]] | None = None
    ignored: Callable[[], NDArray[np.uint8]] | None = None
    instances: tuple[Instance, ...] | None = None
    image_id: int | str | None = None
    more_image_ids: tuple[int | str, ...] = ()
    annotation_ids: tuple[int | str, ...] | None = None
    as_stored: bool = False
    corrections: Mapping[int, Correction] = field(default_factory=dict)


@dataclass(frozen=True)
class Turned:
    """Photos that EXIF turns or mirrors and that are read alike, for the same reason.

    Attributes:
        as_stored: Whether they are read as their pixels are stored, or upright.
        why: What decided: `option`, `boxes`, `size` (which the annotations state), `others` (as most photos of
            which boxes or sizes tell) or `nothing` (then they are read upright).
        count: How many they are.
    """

    as_stored: bool
    why: Literal["option", "boxes", "size", "others", "nothing"]
    count: int


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One broken or doubtful item of a data set.

    Attributes:
        file: The file it is in.
        kind: What is wrong; problems are counted by kind.
        detail: Which item it is, and the values found there; empty if the file says it all.
        action: What boxseg does about it: image `skipped`, box `dropped` or `clipped`, `kept` …
    """

    file: Path
    kind: str
    detail: str = ""
    action: str

    @classmethod
    def skipped(cls, file: Path, kind: str, detail: str = "") -> Problem:
        """An image that is left out."""
        return cls(file=file, kind=kind, detail=detail, action="skipped")

    @classmethod
    def dropped(cls, file: Path, kind: str, detail: str = "") -> Problem:
        """A box that is left out."""
        return cls(file=file, kind=kind, detail=detail, action="dropped")

    @property
    def what(self) -> str:
        """Kind and detail in one line."""
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


@dataclass(frozen=True, kw_only=True)
class ClassChoice:
    """What became of the classes that a data set has, where some are left out or merged.

    Attributes:
        own: Names of its own classes 1..K.
        labels: Class 1..L that each of them is; 0 for those left out.
        boxes: Usable boxes of each in the split.
        category_ids: COCO's ids of its own classes; empty where it has none.
    """

    own: tuple[str, ...]
    labels: tuple[int, ...]
    boxes: tuple[int, ...]
    category_ids: tuple[int, ...] = ()

    @property
    def boxes_left_out(self) -> int:
        """Boxes of classes that are left out."""
        return sum(count for count, label in zip(self.boxes, self.labels, strict=True) if not label)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What was decided about a data set as a whole.

    Attributes:
        about: What had to be decided: `format`, `classes`, `ground truth` …
        decided: The decision.
        why: What it follows from.
    """

    about: str
    decided: str
    why: str


@dataclass(frozen=True, kw_only=True, repr=False)
class BoxDataset:
    """Samples of one split, in the order of the data set.

    Attributes:
        root: Folder it was read from.
        format: Name of its format.
        split: Name of the split.
        classes: Names of classes 1..L, without the background.
        samples: The usable images; many are held in columns by `load`, and each is made when it is asked for.
        problems: What was skipped, clipped or ignored.
        category_ids: COCO's IDs of classes 1..L; empty if they are 1..L.
        annotations: The COCO file that it was read from; None for any other format.
        turned: The photos that EXIF turns, and how they are read.
        choice: What became of its own classes; None if they are `classes`.
        decisions: How it was read, and why.
    """

    root: Path
    format: str
    split: str
    classes: tuple[str, ...]
    samples: Sequence[Sample]
    problems: tuple[Problem, ...] = ()
    category_ids: tuple[int, ...] = ()
    annotations: Path | None = None
    turned: tuple[Turned, ...] = ()
    choice: ClassChoice | None = None
    decisions: tuple[Decision, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        parts = ((self.classes, "class"), (self.samples, "sample"), (self.problems, "problem"))
        counts = ", ".join(counted(len(part), noun) for part, noun in parts)
        return f"BoxDataset({str(self.root)!r}, {self.format!r}, split {self.split!r}: {counts})"

    @property
    def has_ground_truth(self) -> bool:
        """Whether at least one image can be scored."""
        return any(sample.ground_truth is not None for sample in self.samples)

    @property
    def labels_by_category(self) -> dict[int, int]:
        """Class 1..L of each category id in COCO results; 0 for those of classes that are left out."""
        own = dict(zip(self.choice.category_ids, self.choice.labels, strict=False)) if self.choice else {}
        ids = self.category_ids or range(1, len(self.classes) + 1)
        return own | {category: label for label, category in enumerate(ids, start=1)}
