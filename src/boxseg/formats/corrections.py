"""What somebody said of masks in the report: the file that its page saves, and the boxes that it is about.

    {"boxseg": "corrections", "version": 1, "photos": {
      "000123": {"wrong": true},
      "000456": {"boxes": [{"box": [10.5, 20.0, 99.0, 140.2], "class": "cat", "do": "ellipse"}]}}}

Boxes are x1 y1 x2 y2 in pixels, rounded to a tenth. `do` is a `Correction`. A photo that is wrong is not
trained with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from boxseg.dataset import BoxDataset, Correction, Sample
from boxseg.documents import as_record, read_json, refusing, require_regular
from boxseg.errors import DataError, shown
from boxseg.formats.samples import held

# Boxes may be this far from those in the file, pixels: half a tenth, and what rounding it adds.
_TOLERANCE = 0.06
# A file of a million boxes is not larger.
_MOST_BYTES = 1 << 27
_WHAT = "corrections of version 1, as the report's page saves them"
_ANEW = "make the report again, and correct there"


@dataclass(frozen=True)
class CorrectedBox:
    """What somebody wants in place of the mask of one box.

    Attributes:
        box: x1 y1 x2 y2, pixels, rounded to a tenth.
        class_: Name of its class; `class` in the file.
        do: What to do.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {
        "extra": "forbid",
        "alias_generator": lambda name: name.rstrip("_"),
    }
    box: tuple[float, float, float, float]
    class_: str
    do: Correction

    def __str__(self) -> str:
        return f"{shown(self.class_)} with the box [{', '.join(f'{edge:.10g}' for edge in self.box)}]"


@dataclass(frozen=True)
class CorrectedPhoto:
    """What somebody said of one photo.

    Attributes:
        wrong: Whether it is not to be trained with.
        boxes: The boxes whose masks are corrected.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}
    wrong: bool = False
    boxes: tuple[CorrectedBox, ...] = ()


@dataclass(frozen=True)
class _File:
    boxseg: Literal["corrections"]
    version: Literal[1]
    photos: dict[str, CorrectedPhoto]


@dataclass(frozen=True, kw_only=True)
class Corrections:
    """The content of a file of corrections.

    Attributes:
        file: The file.
        photos: What it says of photos, by their ids.
        content: All of it, as JSON types.
    """

    file: Path
    photos: Mapping[str, CorrectedPhoto] = field(default_factory=dict)
    content: Any = None

    @property
    def wrong(self) -> frozenset[str]:
        """Ids of the photos that are not to be trained with."""
        return frozenset(name for name, photo in self.photos.items() if photo.wrong)


def read_corrections(file: Path) -> Corrections:
    """Read a file of corrections.

    Raises:
        DataError: It cannot be read, or holds something else.
    """
    with refusing(file, "cannot be read"):
        require_regular(file)
        if file.stat().st_size > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES >> 20} MB, which no corrections of photos take")
    content = read_json(file)
    photos = as_record(_File, content, file, _WHAT).photos
    for name, photo in photos.items():
        for item in photo.boxes:
            if not all(map(math.isfinite, item.box)):
                raise DataError(f"{file} does not hold {_WHAT} (photo {shown(name)}: {item} is no box)")
    return Corrections(file=file, photos=photos, content=content)


def with_corrections(
    dataset: BoxDataset, corrections: Corrections, others: Callable[[], Iterable[BoxDataset]]
) -> tuple[BoxDataset, dict[str, int]]:
    """A data set whose samples know what somebody wants in place of their masks.

    Args:
        dataset: The data set.
        corrections: What somebody said.
        others: Other splits that the report may have shown. It is called only if there are photos which this
            split lacks: those of others are left aside.

    Returns:
        The data set, and the number of photos that were left aside by the names of their splits.

    Raises:
        DataError: A photo is in no split, or has no such box: the data is no longer that of the report.
    """
    there = {sample.id for sample in dataset.samples}
    unknown = [name for name in corrections.photos if name not in there]
    aside = _of_others(unknown, dataset, corrections.file, others) if unknown else {}
    samples = held(
        replace(sample, corrections=_matched(sample, photo, dataset.classes, corrections.file))
        if (photo := corrections.photos.get(sample.id)) and photo.boxes
        else sample
        for sample in dataset.samples
    )
    return replace(dataset, samples=samples), aside


def _of_others(
    names: list[str], dataset: BoxDataset, file: Path, others: Callable[[], Iterable[BoxDataset]]
) -> dict[str, int]:
    """How many of these photos each other split has."""
    left, found, looked_at = set(names), {}, [dataset.split]
    for other in others():
        own = left & {sample.id for sample in other.samples}
        left -= own
        found[other.split] = len(own)
        looked_at.append(other.split)
    if left:
        first = next(name for name in names if name in left)
        splits = " or ".join(looked_at)
        raise DataError(
            f"{file}: photo {shown(first)} is not in split {splits} of {dataset.root}: photos and boxes have "
            f"changed since the report was made, or it is of another data set: {_ANEW}"
        )
    return {split: count for split, count in found.items() if count}


def _matched(
    sample: Sample, photo: CorrectedPhoto, classes: tuple[str, ...], file: Path
) -> dict[int, Correction]:
    """What is to be done with the boxes of a photo, by their places.

    The nearest pairs of a box in the file and one of the photo come first, so that the order of the file
    matters only among boxes that are equal there.
    """
    pairs = []
    for number, item in enumerate(photo.boxes):
        label = classes.index(item.class_) + 1 if item.class_ in classes else 0
        away = np.abs(sample.boxes - np.array(item.box)).max(axis=1, initial=0.0)
        near = np.flatnonzero((sample.labels == label) & (away <= _TOLERANCE)).tolist()
        # In steps that are coarser than the noise of rounding: equal boxes stay in their order.
        pairs += [(round(float(away[place]), 6), number, place) for place in near]
    found: dict[int, int] = {}
    taken: set[int] = set()
    for _, number, place in sorted(pairs):
        if number not in found and place not in taken:
            found[number] = place
            taken.add(place)
    for number, item in enumerate(photo.boxes):
        if number not in found:
            raise DataError(
                f"{file}: photo {shown(sample.id)} has no {item}, or not so many: its boxes have changed since "
                f"the report was made: {_ANEW}"
            )
    return {place: photo.boxes[number].do for number, place in found.items()}
