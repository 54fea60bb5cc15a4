"""labelme: one JSON file for each photo, as also X-AnyLabeling and others write it.

    ROOT/NAME.json, ROOT/NAME.jpg                    files beside their photos
    ROOT/SPLIT/NAME.json, ROOT/SPLIT/NAME.jpg        likewise, a folder for each split

A file names its photo relative to itself. Files in folders of no split are `train`; photos without a file were
not annotated, and are left out. Coordinates are 0-based half-open pixel edges. Rectangles and circles are
boxes; polygons and masks are ground truth (see `formats.shapes`), and those of one group and label are one
object. A rotated rectangle is replaced by the upright box around it. Points, lines, and shapes labelled
`__ignore__` or not at all are ignored with the box around them, and a photo with a shape that may be anywhere
is left out: neither is background. Classes 1..L are the labels used, sorted.
"""

from __future__ import annotations

import base64
import io
import math
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxseg.config import Data
from boxseg.dataset import Problem
from boxseg.documents import read_json
from boxseg.errors import DataError, did_you_mean
from boxseg.formats.coco_results import encode_window
from boxseg.formats.files import is_file, listed
from boxseg.formats.images import fits_photo, opened
from boxseg.formats.listing import NAMES_USED, AnnotatedPhoto, Corners, LeftOut, Listing, sort_out
from boxseg.formats.loose_numbers import Id, as_id
from boxseg.formats.photo_names import find_files
from boxseg.formats.shapes import Shape, bounds, with_shapes
from boxseg.formats.split_files import annotations_option, head, images_option, split_files
from boxseg.remote.hooks import ahead

LOOKED_FOR = "JSON files of labelme beside photos (labelme)"
_OTHER_SPLITS = ("val", "valid", "validation", "test")
_OUTLINES = ("polygon", "mask")
_IGNORED = "__ignore__"

_Content = dict[str, Any]


def is_annotation(path: Path) -> bool:
    """Whether a file looks like one of labelme."""
    start = head(path)
    return b'"shapes"' in start and (b'"imagePath"' in start or b'"shape_type"' in start)


def matches(root: Path) -> bool:
    """Whether a folder holds such files."""
    return bool(split_files(root, ".json", is_annotation))


def read(data: Data) -> Listing:
    """List the photos of one split with their boxes."""
    named = annotations_option(data)
    files = [named] if named else split_files(data.root, ".json", is_annotation)
    own = files if named else _of_split(data, files)
    contents, problems = sort_out(_contents(files))
    shapes = [shape for _, content in contents for shape in content["shapes"]]
    classes = tuple(sorted({_label(shape) for shape in shapes} - {"", _IGNORED}))
    outlined = any(_kind(shape) in _OUTLINES for shape in shapes if _label(shape) in classes)
    read = [(file, content) for file, content in contents if file in set(own)]
    photos, more = sort_out(_photos(data, read, classes, outlined))
    problems = [problem for problem in problems if problem.file in set(own)]
    if not named:
        problems += [
            Problem.skipped(file, "annotation that is no file, but a folder, pipe or broken link")
            for pattern in ("*.json", "*/*.json")
            for file in sorted(listed(data.root, pattern))
            if not is_file(file)
        ]
    return Listing(
        root=data.root, classes=classes, photos=photos, classes_from=NAMES_USED, problems=[*problems, *more]
    )


def _of_split(data: Data, files: list[Path]) -> list[Path]:
    named = [file for file in files if file.parent.name == data.split and file.parent != data.root]
    if named:
        return named
    rest = [file for file in files if file.parent == data.root or file.parent.name not in _OTHER_SPLITS]
    if data.split == "train" and rest:
        return rest
    there = sorted({file.parent.name for file in files if file.parent != data.root})
    raise DataError(
        f"{data.root} has no split {data.split!r}{did_you_mean(data.split, there)} (looked for files of "
        f"labelme in {data.split}/; there are: {', '.join(there) or 'files of no split, which are train'})"
    )


def _contents(files: list[Path]) -> Iterator[tuple[Path, _Content] | Problem]:
    for file in ahead(files, lambda file: [file], small=True):
        try:
            content = read_json(file)
        except DataError as error:
            yield Problem.skipped(file, "annotation file is not valid JSON", str(error))
            continue
        shapes = content.get("shapes") if isinstance(content, dict) else None
        if isinstance(shapes, list) and all(isinstance(shape, dict) for shape in shapes):
            yield file, content
        else:
            yield Problem.skipped(file, "no list of shapes, expected a file of labelme")


def _photos(
    data: Data, contents: list[tuple[Path, _Content]], classes: tuple[str, ...], outlined: bool
) -> Iterator[AnnotatedPhoto | Problem]:
    top = images_option(data) or data.root
    stated = [str(content.get("imagePath") or file.name).replace("\\", "/") for file, content in contents]
    photos = find_files(
        [_below(top, file, name) for (file, _), name in zip(contents, stated, strict=True)], top, top
    )
    # A photo that was renamed together with its file has another name than the file states.
    beside = find_files([_below(top, file, file.stem) for file, _ in contents], top, top)
    taken = {photo for photo in photos if isinstance(photo, Path)}
    for (file, content), found, own in list(zip(contents, photos, beside, strict=True))[: data.limit]:
        image = own if isinstance(found, Problem) and isinstance(own, Path) and own not in taken else found
        if isinstance(image, Problem):
            yield replace(image, file=file)
            continue
        name = image.relative_to(top).with_suffix("").as_posix()
        photo = AnnotatedPhoto(id=name, image=image, source=file, stated_size=_size(content))
        drawn, size = content["shapes"], photo.stated_size
        masks = any(_kind(shape) == "mask" for shape in drawn)
        if size and masks and not fits_photo(size, image, data.max_pixels):
            yield Problem.skipped(file, "masks of another size than their photo", image.name)
            continue
        yield from _with_objects(photo, drawn, classes, outlined)


def _below(top: Path, file: Path, name: str) -> str:
    """A name beside a file, as a path from the folder of photos."""
    return Path(os.path.relpath(str(file.parent / name), str(top))).as_posix()


def _with_objects(
    photo: AnnotatedPhoto, drawn: list[_Content], classes: tuple[str, ...], outlined: bool
) -> Iterator[AnnotatedPhoto | Problem]:
    shapes: list[tuple[Id | None, Shape]] = []
    unknown: list[Corners] = []
    for number, each in enumerate(drawn, start=1):
        label, kind = _label(each), _kind(each)
        called = f"{kind} {number} ({label or 'no label'}) of {photo.image.name}"
        try:
            points = _points(each)
        except ValueError as error:
            yield Problem.skipped(photo.source, str(error), called)
            return
        try:
            if label not in classes:
                raise ValueError("marked as ignored" if label == _IGNORED else "class missing")
            box, region = _drawn(each, kind, points, photo.stated_size)
        except ValueError as error:
            unknown.append(_circle(points) if kind == "circle" and len(points) == 2 else bounds(points))
            action = "ignored with its box"
            yield Problem(file=photo.source, kind=str(error), detail=called, action=action)
            continue
        if kind == "rotation":
            action = "kept, as the upright box around it"
            yield Problem(file=photo.source, kind="rotated box", detail=called, action=action)
        shape = Shape(label=classes.index(label) + 1, box=box, name=called, region=region)
        shapes.append((as_id(each.get("group_id")), shape))
    photo = replace(photo, left_out=[*map(LeftOut, unknown)])
    yield from with_shapes(photo, _grouped(shapes), complete=not unknown, outlined=outlined)


def _grouped(shapes: list[tuple[Id | None, Shape]]) -> list[Shape]:
    """Shapes, with the polygons of one group and label as parts of one object."""
    grouped: dict[Any, Shape] = {}
    for place, (group, shape) in enumerate(shapes):
        key = (group, shape.label) if group is not None and isinstance(shape.region, list) else place
        if key in grouped:
            known = grouped[key]
            corners = [corner for box in (known.box, shape.box) for corner in (box[:2], box[2:])]
            shape = replace(known, box=bounds(corners), region=[*known.region, *shape.region])
        grouped[key] = shape
    return list(grouped.values())


def _drawn(
    shape: _Content, kind: str, points: list[tuple[float, float]], size: tuple[int, int] | None
) -> tuple[Corners, Any]:
    """The box and the region of a shape, None for a box; a ValueError's message becomes a problem's kind."""
    if kind in ("rectangle", "rotation") and len(points) >= 2:
        return bounds(points), None
    if kind == "circle" and len(points) == 2:
        return _circle(points), None
    if kind == "polygon" and len(points) >= 3:
        return bounds(points), [[value for point in points for value in point]]
    if kind == "mask" and size is not None:
        mask = _mask(shape.get("mask"), size[0] * size[1])
        left, top = (int(value) for value in bounds(points)[:2])
        height, width = mask.shape
        if left >= 0 and top >= 0 and left + width <= size[0] and top + height <= size[1] and mask.any():
            box = (float(left), float(top), float(left + width), float(top + height))
            return box, encode_window(mask, left, top, (size[1], size[0]))
    raise ValueError("neither box, polygon nor mask")


def _circle(points: list[tuple[float, float]]) -> Corners:
    """The box around a circle, of its centre and a point on it."""
    (x, y), edge = points
    radius = math.dist((x, y), edge)
    return x - radius, y - radius, x + radius, y + radius


def _mask(text: Any, most_pixels: int) -> NDArray[np.bool_]:
    """The pixels of a mask within its rectangle, from a PNG in base 64."""
    try:
        with opened(io.BytesIO(base64.b64decode(text)), most_pixels) as image:
            return np.asarray(image.convert("L")) > 0
    except (DataError, TypeError, ValueError) as error:  # ValueError: no base 64
        raise ValueError("mask that is no PNG") from error


def _points(shape: _Content) -> list[tuple[float, float]]:
    """The points of a shape; a ValueError if there is none, or one is not a pair of finite numbers."""
    try:
        points = [(float(x), float(y)) for x, y in shape.get("points") or ()]
        bounds(points)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("points that are not pairs of numbers") from None
    return points


def _kind(shape: _Content) -> str:
    return str(shape.get("shape_type") or "polygon")


def _label(shape: _Content) -> str:
    label = shape.get("label")
    return label.strip() if isinstance(label, str) else ""


def _size(content: _Content) -> tuple[int, int] | None:
    width, height = content.get("imageWidth"), content.get("imageHeight")
    if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
        return width, height
    return None
