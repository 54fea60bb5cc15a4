"""In which frame the boxes of photos that EXIF turns were drawn: on the stored pixels, or on the upright photo.

Annotation tools differ, and most formats do not say. With `data.exif=auto`, the first of these decides:

1.  The photo's boxes, if one clearly leaves the photo in one frame and all are inside it in the other.
2.  The size that the annotations state, if it is that of one frame alone; unless in the split more boxes
    contradict such sizes than confirm them, as in COCO files of Label Studio, which state the stored size of
    photos that were annotated upright.
3.  Most other photos of the split that these two tell. It decides for square photos, and for those that EXIF
    mirrors or turns by 180 degrees, whose size is the same in both frames.
4.  Nothing tells: upright. Browsers show photos so, and with them CVAT and Label Studio; labelme turns them,
    too, as do the trainers of YOLO.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from boxseg.config.data import Exif
from boxseg.dataset import Problem, Turned
from boxseg.errors import DataError
from boxseg.formats.images import Header
from boxseg.formats.listing import AnnotatedPhoto
from boxseg.wording import counted

# A box that reaches beyond the photo by more pixels and a larger share of its side clearly leaves it.
_SLACK_PIXELS, _SLACK = 2.0, 0.01


class _Told(NamedTuple):
    """What one photo says of its frame: True for the stored one, False for the upright one, None if nothing."""

    by_boxes: bool | None
    by_size: bool | None


@dataclass(frozen=True, kw_only=True)
class Frames:
    """How photos are read.

    Attributes:
        as_stored: For each photo, whether it is read as stored although EXIF turns it.
        turned: The photos that EXIF turns, by what decided.
        problems: Photos whose annotations contradict themselves or each other.
    """

    as_stored: list[bool]
    turned: tuple[Turned, ...]
    problems: list[Problem]


def choose_frames(
    photos: Sequence[AnnotatedPhoto], headers: Sequence[Header | DataError], exif: Exif
) -> Frames:
    """In which frame each photo is read, by `data.exif`."""
    turned = {
        place: (photo, header)
        for place, (photo, header) in enumerate(zip(photos, headers, strict=True))
        if isinstance(header, Header) and header.turned
    }
    as_stored = [False] * len(photos)
    if exif != "auto":
        for place in turned:
            as_stored[place] = exif == "ignore"
        summary = [Turned(exif == "ignore", "option", len(turned))] if turned else []
        return Frames(as_stored=as_stored, turned=tuple(summary), problems=[])
    told = {place: _told(*both) for place, both in turned.items()}
    decided = _decide(told)
    for place, (stored, _) in decided.items():
        as_stored[place] = stored
    counts = Counter(decided.values())
    summary = [Turned(*reading, count) for reading, count in counts.most_common()]
    contradicting = [turned[place][0] for place, one in told.items() if _contradicts(one)]
    return Frames(
        as_stored=as_stored,
        turned=tuple(summary),
        problems=[*_problems(contradicting), *_of_two_frames(summary, [photo for photo, _ in turned.values()])],
    )


_Reading = tuple[bool, Literal["boxes", "size", "others", "nothing"]]


def _decide(told: dict[int, _Told]) -> dict[int, _Reading]:
    known = [one for one in told.values() if None not in one]
    sizes_hold = 2 * sum(map(_contradicts, known)) <= len(known)
    sure: dict[int, _Reading] = {}
    for place, (by_boxes, by_size) in told.items():
        if by_size is not None and (by_boxes == by_size or (by_boxes is None and sizes_hold)):
            sure[place] = by_size, "size"
        elif by_boxes is not None:
            sure[place] = by_boxes, "boxes"
    votes = sum(1 if stored else -1 for stored, _ in sure.values())
    rest: _Reading = (votes > 0, "others") if votes else (False, "nothing")
    return {place: sure.get(place, rest) for place in told}


def _told(photo: AnnotatedPhoto, header: Header) -> _Told:
    stored, upright = header.stored, header.upright
    by_size = None
    if photo.size_tells and stored != upright and photo.stated_size in (stored, upright):
        by_size = photo.stated_size == stored
    in_stored, in_upright = (_holds(photo, size) for size in (stored, upright))
    return _Told(in_stored if in_stored != in_upright else None, by_size)


def _holds(photo: AnnotatedPhoto, size: tuple[int, int]) -> bool:
    """Whether no box clearly leaves a photo of this size; shares of its sides say nothing."""
    boxes = np.array([box.corners for box in photo.boxes], dtype=np.float64).reshape(-1, 4)
    boxes = boxes[np.isfinite(boxes).all(axis=1)]
    if photo.normalised or not len(boxes):
        return True
    slack = np.maximum(_SLACK_PIXELS, _SLACK * np.array(size))
    return bool((boxes.reshape(-1, 2).max(axis=0) <= np.array(size) + slack).all())


def _contradicts(told: _Told) -> bool:
    return None not in told and told.by_boxes != told.by_size


def _problems(contradicting: Sequence[AnnotatedPhoto]) -> Iterator[Problem]:
    for photo in contradicting:
        stated = "{} x {}".format(*photo.stated_size or ())
        detail = f"{stated} for {photo.image.name}, which EXIF turns"
        kind, action = "stated size is not that of the boxes' frame", "read in the frame that holds the boxes"
        yield Problem(file=photo.source, kind=kind, detail=detail, action=action)


def _of_two_frames(turned: Sequence[Turned], photos: Sequence[AnnotatedPhoto]) -> Iterator[Problem]:
    sure = [one for one in turned if one.why in ("boxes", "size")]
    stored, upright = (sum(one.count for one in sure if one.as_stored == kind) for kind in (True, False))
    if stored and upright:
        sources = {photo.source for photo in photos}
        file: Path = sources.pop() if len(sources) == 1 else photos[0].source.parent
        detail = f"{stored} on the stored pixels, {upright} on the upright photo"
        kind, action = "photos that EXIF turns were annotated in two frames", "each read in its own"
        yield Problem(file=file, kind=kind, detail=detail, action=action)


def turned_lines(turned: Sequence[Turned]) -> list[str]:
    """What becomes of the photos that EXIF turns, a line for each reason; none without such photos."""
    reasons = {
        "option": "by data.exif",
        "boxes": "as their boxes fit only there",
        "size": "as the annotations state that size",
        "others": "as most others of the split",
        "nothing": "as most tools show them: nothing in the annotations tells. If the boxes were drawn on the "
        "stored pixels, give data.exif=ignore",
    }
    lines = []
    for one in turned:
        how = "as their pixels are stored" if one.as_stored else "upright"
        lines.append(f"Turned by EXIF: {counted(one.count, 'photo')}, read {how}, {reasons[one.why]}.")
    return lines
