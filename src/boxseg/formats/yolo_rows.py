"""The lines of YOLO's label files.

    class cx cy width height                       a box, as shares of the photo
    class x0 y0 x1 y1 x2 y2 …                      a polygon, or with four corners perhaps a rotated box

A box or four corners may be followed by one more number, the confidence of the network that found them. Numbers
may be separated by commas, or have decimal commas.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from boxseg.dataset import Problem
from boxseg.formats.listing import AnnotatedBox, Corners, sort_out

_BOX, _FOUR_CORNERS = 4, 8
# Shares of the photo are at most 1; annotators may draw a little beyond its edges.
_FARTHEST = 1.5
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+")


@dataclass(frozen=True)
class Outlined:
    """An object with its polygon x0 y0 x1 y1 … as shares of the photo; None for a box."""

    box: AnnotatedBox
    polygon: list[float] | None


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What a label file says.

    Attributes:
        objects: Its objects, in its order.
        unknown: Boxes of objects whose class is not known.
        notes: What is unusual in it.
    """

    objects: list[Outlined]
    unknown: list[Corners]
    notes: list[Problem]


class UnreadableRow(ValueError):
    """A line that does not say where its object is: what is wrong, and which line it is."""


def read_rows(lines: list[str], source: Path, ids: dict[int, int], keypoints: int = 0) -> Rows:
    """Read the lines of the label file `source`.

    Args:
        lines: Its lines.
        source: Named in problems.
        ids: Class 1..L of each of its numbers.
        keypoints: How many numbers follow a box for the key points of the object, which are not read.

    Raises:
        UnreadableRow: A line does not say where its object is.
    """
    unknown: list[Corners] = []
    notes: dict[str, Problem] = {}

    def objects() -> Iterator[Outlined]:
        for number, line in enumerate(lines, start=1):
            if not line:
                continue
            called = f"line {number}"
            words, commas = _words(line)
            values, extra = _values(words[1:], called, keypoints)
            if commas:
                notes.setdefault("commas", _note(source, "commas in numbers", called, "kept"))
            if extra:
                kind, action = "a number more, as of a confidence", "kept without it"
                notes.setdefault("confidence", _note(source, kind, called, action))
            polygon = values if len(values) > _BOX else None
            corners = _bounds(values) if polygon else _corners(values)
            label = _label(words[0], ids)
            if label is not None:
                yield Outlined(AnnotatedBox(corners, label, called), polygon)
            else:
                unknown.append(corners)
                detail = f"{words[0]}, {called}"
                notes[called] = _note(source, "class unknown", detail, "ignored with its box")

    found, _ = sort_out(objects())
    return Rows(objects=found, unknown=unknown, notes=list(notes.values()))


def _note(source: Path, kind: str, detail: str, action: str) -> Problem:
    return Problem(file=source, kind=kind, detail=detail, action=action)


def _words(line: str) -> tuple[list[str], bool]:
    """The numbers of a line as text, and whether it has commas, between them or in them."""
    if "," not in line:
        return line.split(), False
    words = line.split()
    if len(words) > 1 and not any(word.endswith(",") for word in words):
        # Blanks stand between numbers, so commas stand for points.
        return [word.replace(",", ".") if _DECIMAL_COMMA.fullmatch(word) else word for word in words], True
    return [word.strip() for word in line.split(",")], True


def _values(words: list[str], called: str, keypoints: int) -> tuple[list[float], bool]:
    """The coordinates of an object, and whether there was a number more."""
    try:
        values = [float(word) for word in words]
    except ValueError:
        raise UnreadableRow("not all numbers", called) from None
    if keypoints and len(values) == _BOX + keypoints:
        values = values[:_BOX]
    extra = len(values) in (_BOX + 1, _FOUR_CORNERS + 1) and (0 <= values[-1] <= 1 or values[-1].is_integer())
    if extra:
        values = values[:-1]
    if len(values) != _BOX and (len(values) < 6 or len(values) % 2):
        kind = "neither a box (class cx cy w h) nor a polygon (class x0 y0 x1 y1 x2 y2 …)"
        raise UnreadableRow(kind, called)
    if not all(math.isfinite(value) for value in values):
        raise UnreadableRow("not all numbers are finite", called)
    if max(map(abs, values)) > _FARTHEST:
        raise UnreadableRow("numbers beyond 1, expected shares of the photo's width and height", called)
    return values, extra


def _label(word: str, ids: dict[int, int]) -> int | None:
    try:
        key = float(word)
    except ValueError:
        return None
    return ids.get(int(key)) if key.is_integer() else None


def _corners(values: list[float]) -> Corners:
    x, y, width, height = values
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _bounds(polygon: list[float]) -> Corners:
    across, down = polygon[::2], polygon[1::2]
    return min(across), min(down), max(across), max(down)


def four_corners(polygon: list[float]) -> bool:
    """Whether a polygon has as many corners as a rotated box."""
    return len(polygon) == _FOUR_CORNERS
