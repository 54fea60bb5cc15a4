"""From what a reader found in annotation files to samples: photos are looked at, boxes judged.

The rules for single bad items, the same in every format. Each is listed as a `Problem`.

=====================================================  =====================================================
Photo missing, unreadable or of no known kind          Image skipped
Listed image without an annotation file                Skipped (VOC); read as an image without objects (YOLO,
                                                       whose rule that is)
Annotation file unreadable                             Image skipped
Stated size unequal to the upright photo's             Image skipped: its boxes belong to another picture. Only
                                                       width and height exchanged, the photo not turned by EXIF
                                                       and every box inside it: kept, the photo's size counts
Two images of one ID                                   The second skipped
Class unknown or missing                               Box dropped
Box not finite, empty or inverted                      Box dropped
Box outside the photo                                  Box dropped
Box sticking out of the photo                          Clipped; listed from half a pixel on
Box narrower than 1 pixel after clipping               Box dropped
=====================================================  =====================================================

An image that is annotated with no box, or loses all of its boxes, is kept: it is all background.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boxseg.dataset import Instance, Problem, Sample
from boxseg.errors import DataError
from boxseg.formats.boxes import Verdict, judge_boxes
from boxseg.formats.images import Header, read_header, without_path

GroundTruth = Callable[[], NDArray[np.uint8]]
Judged = tuple[NDArray[np.float64], NDArray[np.bool_], list[Verdict]]  # as `judge_boxes` gives them


@dataclass(frozen=True, kw_only=True)
class Item:
    """One image as annotated, before anybody looked at the photo.

    Attributes:
        id: Name in the data set, without suffix.
        image: Path of the photo.
        source: Annotation file, named in problems.
        boxes: One (x1, y1, x2, y2) each: pixels, or shares of width and height.
        labels: Class 1..L of each box.
        difficult: Flag of each box; empty when the format has none.
        names: What to call each box in a problem: `object 3 (dog)`.
        normalised: Whether boxes are shares of width and height.
        stated_size: (width, height) in the annotation, where stated.
        crowds: Boxes around crowds.
        ground_truth: Makes the reader of the ground truth from (width, height), or None.
        ignored: Makes the reader of the crowds' mask from (width, height), or None.
        instances: As in `Sample`.
        image_id: As in `Sample`.
    """

    id: str
    image: Path
    source: Path
    boxes: list[tuple[float, float, float, float]]
    labels: list[int]
    names: list[str]
    difficult: list[bool] = field(default_factory=list)
    normalised: bool = False
    stated_size: tuple[int, int] | None = None
    crowds: list[tuple[float, float, float, float]] = field(default_factory=list)
    ground_truth: Callable[[int, int], GroundTruth] | None = None
    ignored: Callable[[int, int], GroundTruth] | None = None
    instances: tuple[Instance, ...] | None = None
    image_id: int | str | None = None


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a reader returns: the images of one split, and what was wrong with their annotations.

    Attributes:
        root: Folder of the data set proper.
        classes: Names of classes 1..L.
        items: Images in the order of the data set.
        problems: Items that are not among them, and boxes that are not among theirs.
        category_ids: COCO's ids of the classes; empty where the format has none.
    """

    root: Path
    classes: tuple[str, ...]
    items: list[Item]
    problems: list[Problem]
    category_ids: tuple[int, ...] = ()


def assemble(items: Iterable[Item]) -> tuple[tuple[Sample, ...], list[Problem]]:
    """Read every photo's header and judge its boxes."""
    items = list(items)
    headers = [_header(item) for item in items]
    samples: list[Sample] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    for item, header, judged in zip(items, headers, _judged(items, headers), strict=True):
        if item.id in seen:
            problems.append(Problem(file=item.image, what=f"second image of ID: {item.id}", action="skipped"))
        elif isinstance(header, Header):
            seen.add(item.id)
            sample, found = _sample(item, header, judged)
            samples += [sample] if sample else []
            problems += found
        else:
            what = f"unreadable photo: {without_path(header, item.image)}"
            problems.append(Problem(file=item.image, what=what, action="skipped"))
    return tuple(samples), problems


def _header(item: Item) -> Header | DataError:
    try:
        return read_header(item.image)
    except DataError as error:
        return error


def _judged(items: list[Item], headers: list[Header | DataError]) -> Iterator[Judged]:
    """The boxes of each photo in pixels, which of them to keep, and what is wrong with others."""
    # All at once: for the few boxes of one photo NumPy takes longer to be called than to compute.
    counts = np.array([len(item.boxes) for item in items], dtype=np.int64)
    sides = np.array([_sides(header) for header in headers], dtype=np.int64).reshape(-1, 2)
    sides = sides.repeat(counts, axis=0)
    boxes = np.array([box for item in items for box in item.boxes], dtype=np.float64).reshape(-1, 4)
    normalised = np.array([item.normalised for item in items], dtype=bool).repeat(counts)
    boxes = np.where(normalised[:, None], boxes * np.tile(sides, 2), boxes)
    clipped, keep, verdicts = judge_boxes(boxes, *sides.T)
    of_item = defaultdict(list)
    ends = counts.cumsum()
    for verdict in verdicts:
        place = int(np.searchsorted(ends, verdict.index, side="right"))
        index = verdict.index - int(ends[place] - counts[place])
        of_item[place].append(replace(verdict, index=index))
    for place, (end, count) in enumerate(zip(ends.tolist(), counts.tolist(), strict=True)):
        own = slice(end - count, end)
        yield clipped[own], keep[own], of_item[place]


def _sides(header: Header | DataError) -> tuple[int, int]:
    return (header.width, header.height) if isinstance(header, Header) else (1, 1)


def _sample(item: Item, header: Header, judged: Judged) -> tuple[Sample | None, list[Problem]]:
    width, height, (clipped, keep, verdicts) = header.width, header.height, judged
    problems = [
        Problem(file=item.source, what=f"{verdict.what}, {item.names[verdict.index]}", action=verdict.action)
        for verdict in verdicts
    ]
    if item.stated_size and item.stated_size != (width, height):
        exchanged = item.stated_size == (height, width) and not header.turned and not verdicts
        stated = "{} x {}".format(*item.stated_size)
        what = f"annotated size is not the photo's: {stated}, {item.image.name} is {width} x {height}"
        what += " (upright by EXIF)" if header.turned else ""
        problem = Problem(file=item.source, what=what, action="kept, boxes fit" if exchanged else "skipped")
        if not exchanged:
            return None, [problem]
        problems.append(problem)
    crowds = np.zeros((0, 4))
    if item.crowds:
        crowds, usable, _ = judge_boxes(np.array(item.crowds, dtype=np.float64), width, height)
        crowds = crowds[usable]
    sample = Sample(
        id=item.id,
        image=item.image,
        width=width,
        height=height,
        boxes=clipped[keep],
        labels=np.array(item.labels, dtype=np.int64)[keep],
        difficult=np.array(item.difficult or [False] * len(clipped), dtype=bool)[keep],
        crowds=crowds,
        ground_truth=item.ground_truth(width, height) if item.ground_truth else None,
        ignored=item.ignored(width, height) if item.ignored else None,
        instances=item.instances,
        image_id=item.image_id,
    )
    return sample, problems
