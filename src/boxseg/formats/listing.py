"""What every reader returns, and how to write one.

A reader is one file with three names, and an entry in `formats.READERS`:

    LOOKED_FOR       how such a data set is recognised, for the error about an unknown format
    matches(root)    whether a folder looks like such a data set
    read(data)       the `Listing` of one split; a DataError if there is none, or its files are of another kind

Readers open no photo and check no box: `formats.assemble` does that for all formats. The functions inside a
reader are generators. They yield what they read, and a `Problem` for each item that cannot be used; `sort_out`
separates the two. An object that cannot be read is there all the same: its place goes into `left_out` of its
photo, or else the photo is `unusable`, so that it does not become background:

    photos, problems = sort_out(_photos(data, …))
    return Listing(root=data.root, classes=classes, photos=photos, problems=problems)

A reader of data sets of any size gives a `Stream` of both, which is read while photos are looked at:

    photos = Stream(partial(_photos, data, …), count)
    return Listing(root=data.root, classes=classes, photos=photos, problems=())

The shortest reader to start from is `formats.voc_loose`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from boxseg.dataset import Instance, Problem

T = TypeVar("T")

Corners = tuple[float, float, float, float]  # x1 y1 x2 y2
# Where classes come from that are listed nowhere.
NAMES_USED = "the names in the annotations of all splits, sorted"

# Seconds after which reading shows how far it is.
READ_IN_SILENCE = 2.0

MaskReader = Callable[[], NDArray[np.uint8]]


class AnnotatedBox(NamedTuple):
    """One object, as annotated.

    Attributes:
        corners: (x1, y1, x2, y2), half-open edges: pixels, or shares of width and height.
        label: Class 1..L.
        name: What to call it in a problem: `object 3 (dog)`.
        difficult: Whether the annotators marked it as difficult.
        annotation_id: What the file calls it, if the format has ids.
    """

    corners: Corners
    label: int
    name: str
    difficult: bool = False
    annotation_id: int | str | None = None


class LeftOut(NamedTuple):
    """Part of a photo that is neither an object nor sure background: a crowd, or an object that cannot be read.

    Attributes:
        corners: The box around it, as in `AnnotatedBox`; finite.
        region: Its polygons or run-length code, in pixels. Without one that can be painted, its box counts.
        label: Class 1..L; 0 if it is not known.
    """

    corners: Corners
    region: Any = None
    label: int = 0


@dataclass(frozen=True, kw_only=True)
class AnnotatedPhoto:
    """One annotated photo; its file has not been opened yet.

    Attributes:
        id: Name in the data set, without suffix.
        image: Path of the photo.
        source: Annotation file, named in problems.
        boxes: Its objects.
        normalised: Whether corners are shares of width and height.
        stated_size: (width, height) in the annotation, if stated.
        size_tells: Whether boxes were drawn on a photo of that size, also where EXIF turns the photo.
        left_out: Crowds, and objects that cannot be read. Without them, they would be sure background.
        ground_truth: Makes the reader of the ground truth from (width, height).
        instances: As in `Sample`.
        image_id: As in `Sample`.
        more_image_ids: As in `Sample`.
        unusable: Whether it has an object whose place in the photo is not known, so that no pixel is sure
            background: the photo is skipped. The reader lists why.
    """

    id: str
    image: Path
    source: Path
    boxes: Sequence[AnnotatedBox] = ()
    normalised: bool = False
    stated_size: tuple[int, int] | None = None
    size_tells: bool = True
    left_out: Sequence[LeftOut] = ()
    ground_truth: Callable[[int, int], MaskReader] | None = None
    instances: tuple[Instance, ...] | None = None
    image_id: int | str | None = None
    more_image_ids: tuple[int | str, ...] = ()
    unusable: bool = False


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The photos of one split, and what was wrong with their annotations.

    Attributes:
        root: Folder of the data set proper.
        classes: Names of classes 1..L.
        photos: Photos in the order of the data set, and problems among them. They are gone through twice where
            an id comes again.
        problems: Photos and boxes that were left out.
        category_ids: COCO's ids of the classes, if the format has them.
        annotations: The COCO file that all of it comes from; None for any other format.
        classes_from: Where the list of classes comes from, in words.
    """

    root: Path
    classes: tuple[str, ...]
    photos: Iterable[AnnotatedPhoto | Problem]
    problems: Sequence[Problem]
    category_ids: tuple[int, ...] = ()
    annotations: Path | None = None
    classes_from: str = "the reader of the format"


class Stream(Generic[T]):
    """Items that are read when they are asked for, and anew each time.

    Args:
        start: Starts to read.
        count: How many there are, about; None if that is not known.
    """

    def __init__(self, start: Callable[[], Iterator[T]], count: int | None = None) -> None:
        self._start, self.count = start, count

    def __iter__(self) -> Iterator[T]:
        return self._start()


def sort_out(found: Iterable[T | Problem]) -> tuple[list[T], list[Problem]]:
    """Separate what was read from the problems found, each in order."""
    everything = list(found)
    problems = [one for one in everything if isinstance(one, Problem)]
    return [one for one in everything if not isinstance(one, Problem)], problems


def parts_of(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Items in lists of so many."""
    source = iter(items)
    while part := list(itertools.islice(source, size)):
        yield part
