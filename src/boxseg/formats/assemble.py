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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
from boxseg.formats.listing import AnnotatedBox, AnnotatedPhoto, MaskReader, sort_out
from boxseg.formats.regions import RegionMask, can_be_painted, rectangle
from boxseg.storage.hooks import together


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """The usable photos.

    Attributes:
        samples: The photos, with the boxes that can be used.
        problems: What is wrong with photos and boxes.
        turned: The photos that EXIF turns.
    """

    samples: list[Sample]
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


def assemble(photos: Sequence[AnnotatedPhoto], exif: Exif = "auto", max_pixels: int = MOST_PIXELS) -> Assembled:
    """Read the header of every photo, decide in which frame it is read, and check its boxes."""
    photos, problems = sort_out(join_entries(photos))
    # Threads take a tenth more time on a local disk, but save four fifths on a network share.
    header = partial(_header, max_pixels=max_pixels)
    headers = together(header, photos, (photo.image for photo in photos), usual=8)
    frames = choose_frames(photos, headers, exif)
    read = [
        _Read(photo, header, as_stored) if isinstance(header, Header) else header
        for photo, header, as_stored in zip(photos, headers, frames.as_stored, strict=True)
    ]
    samples, more = sort_out(_samples(photos, read))
    return Assembled(samples=samples, problems=[*problems, *frames.problems, *more], turned=frames.turned)


def _samples(photos: Sequence[AnnotatedPhoto], read: list[_Read | DataError]) -> Iterator[Sample | Problem]:
    seen: set[str] = set()
    for photo, one, judged in zip(photos, read, _judged(photos, read), strict=True):
        if photo.id in seen:
            yield Problem.skipped(photo.image, "second image of ID", photo.id)
        elif isinstance(one, _Read):
            seen.add(photo.id)
            yield from _sample(one, judged)
        else:
            yield Problem.skipped(photo.image, "unreadable photo", without_path(one, photo.image))


def _header(photo: AnnotatedPhoto, max_pixels: int) -> Header | DataError:
    try:
        return read_header(photo.image, max_pixels)
    except DataError as error:
        return error


def _judged(photos: Sequence[AnnotatedPhoto], read: list[_Read | DataError]) -> Iterator[_Judged]:
    # All photos at once: for the few boxes of one, calling NumPy takes longer than computing.
    counts = np.array([len(photo.boxes) for photo in photos], dtype=np.int64)
    sizes = [one.size if isinstance(one, _Read) else (1, 1) for one in read]
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
