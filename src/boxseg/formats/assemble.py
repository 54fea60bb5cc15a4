"""From annotated photos to samples: read the header of each photo and check its boxes.

The rules for bad items are the same in every format. Each such item is listed as a `Problem`.

=====================================================  =====================================================
Photo missing, unreadable or of an unknown kind        Image skipped
Listed image without an annotation file                VOC: skipped. YOLO: kept as an image without objects,
                                                       as the format defines
Annotation file unreadable                             Image skipped
Stated size unequal to the photo's                     Image skipped: its boxes belong to another picture. It is
                                                       kept, with the photo's size, if only width and height are
                                                       swapped and every box is inside it, or if EXIF swaps them
                                                       (see `formats.frames`)
Several entries of one photo                           Joined: the photo has the objects of all
Two photos with one ID                                 The second skipped
Class unknown or missing                               Box dropped
Box empty or inverted                                  Box dropped
Box outside the photo                                  Box dropped
Box sticking out of the photo                          Clipped; listed from half a pixel on
Box narrower than 1 pixel after clipping               Box dropped
Box not finite, or an object without a place           Image skipped: the object may be anywhere in it
Outline that cannot be read                            Image kept without ground truth
=====================================================  =====================================================

An object is there, even if its box is dropped: the pixels that the box touches are neither object nor sure
background, like those of crowds. An image without a box is kept as background.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from boxseg.config.data import MOST_PIXELS, Exif
from boxseg.dataset import IGNORE, Problem, Sample, Turned
from boxseg.errors import DataError
from boxseg.formats.boxes import Verdict, box_areas, judge_boxes, touched_pixels
from boxseg.formats.frames import choose_frames
from boxseg.formats.images import Header, read_header, without_path
from boxseg.formats.joining import join_entries
from boxseg.formats.listing import AnnotatedBox, AnnotatedPhoto, MaskReader, parts_of, sort_out
from boxseg.formats.regions import RegionMask, can_be_painted, rectangle
from boxseg.formats.samples import Held
from boxseg.remote.hooks import together

# Photos that are looked at together: NumPy checks their boxes at once.
_TOGETHER = 1024


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """The usable photos.

    Attributes:
        samples: The photos, with the boxes that can be used.
        problems: What is wrong with photos and boxes.
        turned: The photos that EXIF turns.
    """

    samples: Sequence[Sample]
    problems: list[Problem]
    turned: tuple[Turned, ...]


class _Read(NamedTuple):
    """A photo whose header was read, and how the photo is read."""

    photo: AnnotatedPhoto
    header: Header
    as_stored: bool

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in the frame of the boxes, pixels."""
        return self.header.size(as_stored=self.as_stored)


class _Judged(NamedTuple):
    """The boxes of one photo in pixels, as from `judge_boxes`."""

    boxes: NDArray[np.float64]  # as annotated
    clipped: NDArray[np.float64]
    keep: NDArray[np.bool_]
    verdicts: list[Verdict]


def assemble(
    photos: Iterable[AnnotatedPhoto | Problem],
    exif: Exif = "auto",
    max_pixels: int = MOST_PIXELS,
    progress: Callable[[int], None] = lambda _: None,
) -> Assembled:
    """Read the header of every photo, decide in which frame it is read, and check its boxes.

    Photos are taken a few at a time, and kept in columns. Only those that EXIF turns wait for the others, and
    all do where an id comes again: then `photos` are gone through twice. `progress` is told how many are done.
    """
    once = isinstance(photos, list) and len({_id(photo) for photo in photos}) < len(photos)
    try:
        found = None if once else _Assembly(exif, max_pixels, progress).take(photos)
    except _Repeated:
        found = None
    if found is not None:
        return found.done([])
    listed, problems = sort_out(photos)
    joined, more = sort_out(join_entries(listed))
    found = _Assembly(exif, max_pixels, progress, repeated=True).take(joined)
    found.listed = problems
    return found.done(more)


class _Repeated(Exception):
    """An id came again: the entries may be of one photo."""


def _id(photo: AnnotatedPhoto | Problem) -> object:
    return photo.id if isinstance(photo, AnnotatedPhoto) else photo


@dataclass
class _Assembly:
    """Photos on their way into columns."""

    exif: Exif
    max_pixels: int
    progress: Callable[[int], None]
    repeated: bool = False  # whether ids may come again
    listed: list[Problem] = field(default_factory=list)  # by the reader
    _made: Held = field(default_factory=Held)
    _places: list[int] = field(default_factory=list)  # of samples among the photos
    _problems: list[tuple[int, Problem]] = field(default_factory=list)  # with the places of their photos
    _turned: list[tuple[int, _Read]] = field(default_factory=list)
    _count: int = 0
    _turned_count: int = 0
    _seen: set[str] = field(default_factory=set)

    def take(self, photos: Iterable[AnnotatedPhoto | Problem]) -> _Assembly:
        """Read the headers of all photos, and judge the boxes of those that EXIF does not turn."""
        look = partial(_header, max_pixels=self.max_pixels)
        for part in parts_of(photos, _TOGETHER):
            own, problems = sort_out(part)
            self.listed += problems
            # Threads take a tenth more time on a local disk, but save four fifths on a network share.
            headers = together(look, own, (photo.image for photo in own), usual=8)
            self._judge(list(self._ready(own, headers)))
            self.progress(self._count)
        return self

    def _ready(
        self, photos: Sequence[AnnotatedPhoto], headers: Sequence[Header | DataError]
    ) -> Iterator[tuple[int, _Read]]:
        """The photos whose frame is known, with their places."""
        for place, (photo, header) in enumerate(zip(photos, headers, strict=True), start=self._count):
            if photo.id in self._seen:
                if not self.repeated:
                    raise _Repeated
                self._problems.append((place, Problem.skipped(photo.image, "second image of ID", photo.id)))
            elif isinstance(header, DataError):
                reason = without_path(header, photo.image)
                self._problems.append((place, Problem.skipped(photo.image, "unreadable photo", reason)))
                if not self.repeated:
                    self._seen.add(photo.id)
            else:
                self._seen.add(photo.id)
                self._turned_count += header.turned
                if header.turned and self.exif == "auto":
                    self._turned.append((place, _Read(photo, header, as_stored=False)))
                else:
                    yield place, _Read(photo, header, header.turned and self.exif == "ignore")
        self._count += len(photos)

    def _judge(self, ready: Sequence[tuple[int, _Read]]) -> None:
        for (place, read), judged in zip(ready, _judged([read for _, read in ready]), strict=True):
            for found in _sample(read, judged):
                if isinstance(found, Problem):
                    self._problems.append((place, found))
                else:
                    self._made.add(found)
                    self._places.append(place)

    def done(self, joined: Sequence[Problem]) -> Assembled:
        """The samples in the order of their photos, and the problems, with those of repeated entries."""
        frames = choose_frames(
            [read.photo for _, read in self._turned], [read.header for _, read in self._turned], self.exif
        )
        turned = frames.turned
        if self.exif != "auto" and self._turned_count:
            turned = (Turned(self.exif == "ignore", "option", self._turned_count),)
        decided = zip(self._turned, frames.as_stored, strict=True)
        self._judge([(place, read._replace(as_stored=stored)) for (place, read), stored in decided])
        order = np.argsort(self._places, kind="stable") if self._turned else None
        samples = self._made.done(order)
        own = [problem for _, problem in sorted(self._problems, key=lambda found: found[0])]
        return Assembled(
            samples=samples, problems=[*self.listed, *joined, *frames.problems, *own], turned=turned
        )


def _header(photo: AnnotatedPhoto, max_pixels: int) -> Header | DataError:
    try:
        return read_header(photo.image, max_pixels)
    except DataError as error:
        return error


def _judged(read: Sequence[_Read]) -> Iterator[_Judged]:
    # Many photos at once: for the few boxes of one, calling NumPy takes longer than computing.
    photos = [one.photo for one in read]
    counts = np.array([len(photo.boxes) for photo in photos], dtype=np.int64)
    sizes = [one.size for one in read]
    sides = np.array(sizes, dtype=np.int64).reshape(-1, 2).repeat(counts, axis=0)
    corners = [box.corners for photo in photos for box in photo.boxes]
    boxes = np.array(corners, dtype=np.float64).reshape(-1, 4)
    normalised = np.array([photo.normalised for photo in photos], dtype=bool).repeat(counts)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is listed
        boxes = np.where(normalised[:, None], boxes * np.tile(sides, 2), boxes)
    clipped, keep, verdicts = judge_boxes(boxes, *sides.T)
    of_photo = defaultdict(list)
    ends = counts.cumsum()
    for verdict in verdicts:
        place = int(np.searchsorted(ends, verdict.index, side="right"))
        index = verdict.index - int(ends[place] - counts[place])
        of_photo[place].append(replace(verdict, index=index))
    for place, (end, count) in enumerate(zip(ends.tolist(), counts.tolist(), strict=True)):
        own = slice(end - count, end)
        yield _Judged(boxes[own], clipped[own], keep[own], of_photo[place])


def _sample(read: _Read, judged: _Judged) -> Iterator[Sample | Problem]:
    photo, (width, height), verdicts = read.photo, read.size, judged.verdicts
    problems = [
        Problem(
            file=photo.source,
            kind=verdict.kind,
            detail=f"{verdict.detail}, {photo.boxes[verdict.index].name}",
            action=verdict.action,
        )
        for verdict in verdicts
    ]
    mismatch = _other_size(read)
    if mismatch is not None:
        if verdicts or photo.stated_size != (height, width) or read.header.turned:
            yield mismatch
            return
        problems.append(replace(mismatch, action="kept, boxes fit"))
    yield from problems
    if photo.unusable or any(verdict.action == "skipped" for verdict in verdicts):
        return
    crowds, crowd_labels, ignored = _left_out(read, judged)
    truth, problem = _ground_truth(photo, width, height)
    if problem is not None:
        yield problem
    boxes = [box for box, kept in zip(photo.boxes, judged.keep.tolist(), strict=True) if kept]
    yield Sample(
        id=photo.id,
        image=photo.image,
        width=width,
        height=height,
        boxes=judged.clipped[judged.keep],
        labels=np.array([box.label for box in boxes], dtype=np.int64),
        difficult=np.array([box.difficult for box in boxes], dtype=bool),
        crowds=crowds,
        crowd_labels=crowd_labels,
        ground_truth=truth,
        ignored=ignored,
        instances=photo.instances if problem is None else None,
        image_id=photo.image_id,
        more_image_ids=photo.more_image_ids,
        annotation_ids=_annotation_ids(boxes),
        as_stored=read.as_stored,
    )


def _other_size(read: _Read) -> Problem | None:
    """That the stated size is not the photo's. Where EXIF turns the photo, sizes of both frames are."""
    photo, header = read.photo, read.header
    if photo.stated_size in (None, read.size) or (
        header.turned and photo.stated_size in (header.stored, header.upright)
    ):
        return None
    assert photo.stated_size is not None
    upright = " (upright by EXIF)" if header.turned and not read.as_stored else ""
    stated, found = ("{} x {}".format(*size) for size in (photo.stated_size, read.size))
    detail = f"{stated}, {photo.image.name} is {found}{upright}"
    return Problem.skipped(photo.source, "annotated size is not the photo's", detail)


def _left_out(read: _Read, judged: _Judged) -> tuple[NDArray[np.float64], NDArray[np.int64], RegionMask | None]:
    """Boxes (n, 4) around what is neither object nor background, their classes (n,), and its mask."""
    photo, size = read.photo, read.size
    if not photo.left_out and judged.keep.all():
        return np.zeros((0, 4)), np.zeros(0, dtype=np.int64), None
    scale = np.tile(size, 2) if photo.normalised else 1
    dropped = [box for box, kept in zip(photo.boxes, judged.keep.tolist(), strict=True) if not kept]
    stated = np.array([part.corners for part in photo.left_out], dtype=np.float64).reshape(-1, 4) * scale
    boxes = touched_pixels(np.concatenate([stated, judged.boxes[~judged.keep]]), *size)
    regions = [part.region for part in photo.left_out] + [None] * len(dropped)
    owners = [part.label for part in photo.left_out] + [box.label for box in dropped]
    labels = np.array(owners, dtype=np.int64)
    inside = box_areas(boxes) > 0
    painted = tuple(
        region if can_be_painted(region, *size) else rectangle(*box)
        for region, box, is_inside in zip(regions, boxes.tolist(), inside.tolist(), strict=True)
        if is_inside
    )
    if not painted:
        return boxes[inside], labels[inside], None
    source = f"{photo.source}: {photo.image.name}"
    return boxes[inside], labels[inside], RegionMask(painted, (IGNORE,) * len(painted), source, *size)


def _ground_truth(photo: AnnotatedPhoto, width: int, height: int) -> tuple[MaskReader | None, Problem | None]:
    """The reader of the ground truth, and what keeps it from being read."""
    truth = photo.ground_truth(width, height) if photo.ground_truth else None
    trouble = truth.trouble() if isinstance(truth, RegionMask) else None
    if trouble is None:
        return truth, None
    detail = f"{trouble}, {photo.image.name}"
    return None, Problem(
        file=photo.source,
        kind="outline that cannot be read",
        detail=detail,
        action="image kept without ground truth",
    )


def _annotation_ids(boxes: list[AnnotatedBox]) -> tuple[int | str, ...] | None:
    """Of boxes that each have one."""
    known = tuple(box.annotation_id for box in boxes if box.annotation_id is not None)
    return known if len(known) == len(boxes) else None
