"""Tables of boxes: a CSV file with a row for each box, and a folder of photos.

    ROOT/annotations.csv       the table (else SPLIT.csv, SPLIT/….csv; data.annotations names any other)
    ROOT/images/NAME           photos (else images/SPLIT, SPLIT, the folder of the table, ROOT itself;
                               data.images names any other)

Columns are known by their names, in any order and spelling: the photo (`filename`, `image_id` …), the class
(`class`, `label` …), and the box, by its corners (`xmin, ymin, xmax, ymax`, `x1 …`, `left …`) or its corner and
size (`x, y, width, height`, `bbox_x …`). Such are the tables of Roboflow's TensorFlow export, of MakeSense and
of Open Images. Without a line of names the columns are photo, x1, y1, x2, y2 and class, as of keras-retinanet.

Coordinates are 0-based half-open pixel edges, or shares of the photo where none is above 1. A row with a photo
and no box says that the photo has no object. Groups of Open Images (`IsGroupOf`) are neither objects nor
background. Classes 1..L are the names used, sorted; in a table without classes all boxes are of class `object`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from boxseg.config import Data
from boxseg.dataset import Problem
from boxseg.documents import read_bytes
from boxseg.errors import DataError
from boxseg.formats.images import SUFFIXES
from boxseg.formats.listing import NAMES_USED, AnnotatedBox, AnnotatedPhoto, Corners, LeftOut, Listing, sort_out
from boxseg.formats.loose_numbers import is_set, number
from boxseg.formats.photo_names import NamedPhoto, locate_photos
from boxseg.formats.split_files import find_split_file, head, split_files

LOOKED_FOR = "a CSV file with columns of boxes (csv)"

# Names of columns, without what is neither letter nor digit; the surest first, such as a class's name and not
# its number.
_PHOTO = ("filename", "imagefilename", "imagename", "imagepath", "image", "img", "file", "path", "imageid")
_CLASS = ("classname", "labelname", "categoryname", "class", "label", "category", "name")
_BY_CORNERS = (("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"), ("left", "top", "right", "bottom"))
_BY_SIZE = (
    # Beside x, y, w and h, `width` and `height` are those of the photo.
    *(("bboxx", "bboxy", "bboxwidth", "bboxheight"), ("x", "y", "w", "h"), ("x", "y", "width", "height")),
    ("left", "top", "width", "height"),
)
_PHOTO_SIZE = (("imagewidth", "imageheight"), ("width", "height"))
_GROUP = "isgroupof"
_SEPARATORS = ",;\t"
# The class of all boxes of a table that has none.
_ONLY_CLASS = "object"

Row = list[str]


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """Where in a row what stands.

    Attributes:
        photo: Name of the photo.
        box: The four numbers of the box.
        by_size: Whether the last two are its width and height, not its other corner.
        label: Name of the class.
        size: Width and height of the photo.
        group: Whether it is a group of objects.
        named: Whether the first row has the names of the columns.
    """

    photo: int
    box: Sequence[int]
    by_size: bool = False
    label: int | None = None
    size: Sequence[int] | None = None
    group: int | None = None
    named: bool = True


@dataclass(frozen=True)
class _Table:
    """The rows of a file with the lines where they end, from 1 on."""

    columns: _Columns
    rows: Sequence[tuple[int, Row]]

    @cached_property
    def is_normalised(self) -> bool:
        """Whether boxes are shares of the photo."""
        values = [value for _, row in self.rows for value in _numbers(row, self.columns) if value is not None]
        return bool(values) and max(map(abs, values)) <= 1

    def classes(self) -> set[str]:
        """Names of classes."""
        place = self.columns.label
        if place is None:
            return {_ONLY_CLASS}
        return {_cell(row, place) for _, row in self.rows} - {""}


def is_table(path: Path) -> bool:
    """Whether a file looks like a table of boxes."""
    lines = head(path).decode("utf-8-sig", "replace").splitlines()
    try:
        rows = list(csv.reader(lines[:1], delimiter=_separator(lines[0]))) if lines else []
    except csv.Error:  # bytes of no text
        return False
    return bool(rows) and _columns(rows[0]) is not None


def matches(root: Path) -> bool:
    """Whether a folder holds a table of boxes."""
    return bool(split_files(root, ".csv", is_table))


def read(data: Data) -> Listing:
    """List the photos of one split with their boxes."""
    path = find_split_file(data, ".csv", is_table, "a table of boxes, .csv")
    files = dict.fromkeys([*split_files(data.root, ".csv", is_table), path])
    tables = {file: _parse(file) for file in files}
    classes = tuple(sorted(set().union(*(table.classes() for table in tables.values()))))
    unnamed = all(table.columns.label is None for table in tables.values())
    photos, problems = sort_out(_photos(data, path, tables[path], classes))
    return Listing(
        root=data.root,
        classes=classes,
        photos=photos,
        problems=problems,
        classes_from="the table has no column of classes" if unnamed else NAMES_USED,
    )


def _parse(path: Path) -> _Table:
    try:
        text = read_bytes(path).decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text.partition("\n")[0]))
        rows = [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a table in UTF-8 ({error})") from error
    columns = _columns(rows[0][1]) if rows else None
    if columns is None:
        raise DataError(
            f"{path}: no columns of boxes in its first line: name them filename, xmin, ymin, xmax, ymax, class"
        )
    return _Table(columns, rows[1:] if columns.named else rows)


def _separator(line: str) -> str:
    return max(_SEPARATORS, key=line.count)


def _columns(row: Row) -> _Columns | None:
    """The columns by their names in the first row, or those of a table without names; None if it is neither."""
    places = {re.sub(r"[\W_]", "", cell.lower()): place for place, cell in reversed(list(enumerate(row)))}

    def first(names: Iterable[str]) -> int | None:
        return next((places[name] for name in names if name in places), None)

    def first_of_all(groups: Iterable[Sequence[str]]) -> list[int] | None:
        return next(([places[n] for n in names] for names in groups if places.keys() >= set(names)), None)

    corners, sides, photo = first_of_all(_BY_CORNERS), first_of_all(_BY_SIZE), first(_PHOTO)
    box = corners or sides
    if photo is not None and box is not None:
        size = first_of_all(_PHOTO_SIZE)
        return _Columns(
            photo=photo,
            box=box,
            by_size=corners is None,
            label=first(_CLASS),
            size=None if size is None or set(size) & set(box) else size,
            group=places.get(_GROUP),
        )
    is_photo = bool(row) and PurePosixPath(row[0].strip()).suffix.lower() in SUFFIXES
    plain = _Columns(photo=0, box=range(1, 5), label=5, named=False)
    fits = len(row) == 6 and (None not in _numbers(row, plain) or not any(row[1:]))
    return plain if is_photo and fits else None


def _photos(
    data: Data, path: Path, table: _Table, classes: tuple[str, ...]
) -> Iterator[AnnotatedPhoto | Problem]:
    of_photos: dict[str, list[tuple[int, Row]]] = {}
    for line, row in table.rows:
        if name := _cell(row, table.columns.photo):
            of_photos.setdefault(name, []).append((line, row))
        else:
            yield Problem.skipped(path, "row without photo", f"line {line}")
    numbers = {name: place for place, name in enumerate(classes, start=1)}
    below = ("images", f"images/{data.split}", data.split, f"{data.split}/data")
    found = locate_photos(data, path, list(of_photos), below)
    yield from (place for place in found.values() if isinstance(place, Problem))
    for name, rows in of_photos.items():
        photo = found.get(name)
        if not isinstance(photo, NamedPhoto):
            continue
        parts, problems = sort_out(_objects(path, photo, rows, table.columns, numbers))
        yield from problems
        yield AnnotatedPhoto(
            id=photo.id,
            image=photo.image,
            source=path,
            boxes=[part for part in parts if isinstance(part, AnnotatedBox)],
            normalised=table.is_normalised,
            stated_size=_photo_size(rows[0][1], table.columns),
            left_out=[part for part in parts if isinstance(part, LeftOut)],
            unusable=any(problem.action == "skipped" for problem in problems),
        )


def _objects(
    path: Path, photo: NamedPhoto, rows: list[tuple[int, Row]], columns: _Columns, classes: Mapping[str, int]
) -> Iterator[AnnotatedBox | LeftOut | Problem]:
    """The boxes of a photo. One that cannot be read makes the photo unusable: its place is not known."""
    for line, row in rows:
        label = _ONLY_CLASS if columns.label is None else _cell(row, columns.label)
        called = f"line {line} ({label or 'no class'}) of {photo.image.name}"
        given = [_cell(row, place) for place in columns.box]
        if not any(given) and (columns.label is None or not label):
            continue
        corners = _corners(row, columns)
        if corners is None:
            yield Problem.skipped(path, "box without four numbers", called)
        elif label not in classes:
            yield Problem(file=path, kind="class missing", detail=called, action="ignored with its box")
            yield LeftOut(corners)
        elif columns.group is not None and _is_group(_cell(row, columns.group)):
            yield LeftOut(corners, label=classes[label])
        else:
            yield AnnotatedBox(corners, classes[label], called)


def _is_group(flag: str) -> bool:
    """Whether it is set; -1 is Open Images' word for unknown."""
    return is_set(flag) and number(flag) != -1


def _corners(row: Row, columns: _Columns) -> Corners | None:
    left, top, third, fourth = _numbers(row, columns)
    if left is None or top is None or third is None or fourth is None:
        return None
    return (left, top, left + third, top + fourth) if columns.by_size else (left, top, third, fourth)


def _numbers(row: Row, columns: _Columns) -> list[float | None]:
    return [number(_cell(row, place).replace(",", ".")) for place in columns.box]


def _photo_size(row: Row, columns: _Columns) -> tuple[int, int] | None:
    sides = [number(_cell(row, place)) for place in columns.size or ()]
    whole = [int(side) for side in sides if side is not None and side >= 1]
    return (whole[0], whole[1]) if len(whole) == 2 else None


def _cell(row: Row, place: int) -> str:
    return row[place].strip() if place < len(row) else ""
