"""CVAT for images 1.1: one XML file and a folder of photos.

    ROOT/annotations.xml       annotations (else SPLIT.xml, SPLIT/annotations.xml; data.annotations names any
                               other)
    ROOT/images/NAME           photos (else images/SUBSET, SPLIT, the folder of the annotations, ROOT itself;
                               data.images names any other)

Coordinates are 0-based half-open pixel edges. A rotated box is replaced by the upright box around it. Polygons
and masks are ground truth (see `formats.shapes`). A shape of another kind or class is ignored with the box
around it, and an image with a shape that may be anywhere is left out: neither is background. The export of a
project names the subset of every image: its split. Classes 1..L are the labels in the order of the project.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boxseg.config import Data
from boxseg.dataset import Problem
from boxseg.documents import read_bytes
from boxseg.errors import DataError, did_you_mean
from boxseg.formats.coco_results import encode_window
from boxseg.formats.images import fits_photo
from boxseg.formats.listing import NAMES_USED, AnnotatedPhoto, Corners, LeftOut, Listing, sort_out
from boxseg.formats.loose_numbers import number
from boxseg.formats.photo_names import NamedPhoto, locate_photos
from boxseg.formats.shapes import Shape, bounds, rotated_corners, with_shapes
from boxseg.formats.split_files import find_split_file, head, split_files
from boxseg.formats.xml_files import parse_xml, root_tag

LOOKED_FOR = "annotations.xml of CVAT for images (cvat)"
_CORNERS = ("xtl", "ytl", "xbr", "ybr")
_OUTLINES = ("polygon", "mask")
# What may be drawn, but is neither a box nor an outline.
_NOT_READ = ("ellipse", "cuboid", "polyline", "points", "skeleton")
_DRAWN = ("box", *_OUTLINES, *_NOT_READ)


def is_annotations(path: Path) -> bool:
    """Whether a file looks like CVAT's XML."""
    start = head(path)
    # Most XML files are of other kinds, which a search tells faster than a parser. UTF-16 hides the word.
    return (b"<annotations" in start or start[:1] in (b"\xff", b"\xfe")) and root_tag(start) == "annotations"


def matches(root: Path) -> bool:
    """Whether a folder holds CVAT's XML."""
    return bool(split_files(root, ".xml", is_annotations))


def read(data: Data) -> Listing:
    """List the photos of one split with their boxes."""
    path, nodes, trees = _split(data)
    classes, source = _classes(trees)
    photos, problems = sort_out(_photos(data, path, nodes, classes))
    return Listing(root=data.root, classes=classes, photos=photos, problems=problems, classes_from=source)


def _photos(
    data: Data, path: Path, nodes: list[ET.Element], classes: tuple[str, ...]
) -> Iterator[AnnotatedPhoto | Problem]:
    images, problems = sort_out(_images(nodes, path))
    yield from problems
    subsets = dict.fromkeys(f"images/{subset}" for _, node in images if (subset := node.get("subset")))
    below = ("images", *subsets, f"images/{data.split}", data.split)
    named = locate_photos(data, path, [name for name, _ in images], below)
    outlined = any(node.find(kind) is not None for node in nodes for kind in _OUTLINES)
    yield from (found for found in named.values() if isinstance(found, Problem))
    for name, node in images:
        found = named.get(name)
        if not isinstance(found, NamedPhoto):
            continue
        photo = AnnotatedPhoto(id=found.id, image=found.image, source=path, stated_size=_size(node))
        drawn = [child for child in node if child.tag in _DRAWN]
        parts, problems = sort_out(_shapes(photo, drawn, classes, data.max_pixels))
        yield from problems
        shapes = [shape for shape in parts if isinstance(shape, Shape)]
        photo = replace(
            photo,
            left_out=[part for part in parts if isinstance(part, LeftOut)],
            unusable=any(problem.action == "skipped" for problem in problems),
        )
        yield from with_shapes(photo, shapes, complete=len(shapes) == len(drawn), outlined=outlined)


def _images(nodes: list[ET.Element], path: Path) -> Iterator[tuple[str, ET.Element] | Problem]:
    for position, node in enumerate(nodes, start=1):
        name = node.get("name") or ""
        yield (name, node) if name else Problem.skipped(path, "image without name", f"number {position}")


def _split(data: Data) -> tuple[Path, list[ET.Element], list[ET.Element]]:
    """The annotation file, the images of the split, and the content of all annotation files together."""
    found = split_files(data.root, ".xml", is_annotations)
    if data.annotations is None and len(found) == 1:
        tree = _parse(found[0])
        subsets = {_subset(node) for node in tree.findall("image")} - {""}
        if subsets:
            nodes = [node for node in tree.findall("image") if _subset(node) == data.split.casefold()]
            if not nodes:
                there = sorted(subsets)
                raise DataError(
                    f"{found[0]} has no image of split {data.split!r}{did_you_mean(data.split, there)} "
                    f"(subsets: {', '.join(there)})"
                )
            return found[0], nodes, [tree]
    path = find_split_file(data, ".xml", is_annotations, "CVAT for images, .xml")
    trees = {file: _parse(file) for file in dict.fromkeys([*found, path])}
    nodes = trees[path].findall("image")
    # A file that is named may be of one split, or of all.
    own = [node for node in nodes if data.split and _subset(node) == data.split.casefold()]
    return path, own or nodes, list(trees.values())


def _subset(node: ET.Element) -> str:
    subset = (node.get("subset") or "").casefold()
    return "" if subset == "default" else subset


def _parse(path: Path) -> ET.Element:
    try:
        tree = parse_xml(read_bytes(path)).root
    except ValueError as error:
        raise DataError(f"{path}: annotation file is not valid XML ({error})") from error
    if tree.tag != "annotations" or tree.find("track") is not None:
        what = "holds tracks of a video" if tree.find("track") is not None else f"is <{tree.tag}>"
        raise DataError(f"{path} {what}, expected <annotations>: export it as CVAT for images 1.1")
    return tree


def _classes(trees: list[ET.Element]) -> tuple[tuple[str, ...], str]:
    """The projects' labels in their order, or without such a list the labels used, sorted; and which it is."""
    labels = [label for tree in trees for label in tree.findall("meta//labels/label")]
    labels = [label for label in labels if label.find("parent") is None]  # parts of a skeleton have a parent
    stated = dict.fromkeys((label.findtext("name") or "").strip() for label in labels)
    used = {node.get("label", "") for tree in trees for image in tree.findall("image") for node in image}
    listed = tuple(filter(None, stated))
    return (
        (listed, "the labels of the project, in its order")
        if listed
        else (tuple(sorted(used - {""})), NAMES_USED)
    )


def _size(node: ET.Element) -> tuple[int, int] | None:
    try:
        width, height = int(node.get("width", "")), int(node.get("height", ""))
    except ValueError:
        return None
    return (width, height) if width > 0 and height > 0 else None


def _shapes(
    photo: AnnotatedPhoto, drawn: list[ET.Element], classes: tuple[str, ...], max_pixels: int
) -> Iterator[Shape | LeftOut | Problem]:
    """The shapes of a photo. One that cannot be read leaves its place out, or the photo if that is unknown."""
    size = photo.stated_size
    if size and any(node.tag == "mask" for node in drawn) and not fits_photo(size, photo.image, max_pixels):
        size = None
    for position, node in enumerate(drawn, start=1):
        label = (node.get("label") or "").strip()
        called = f"{node.tag} {position} ({label or 'no label'}) of {photo.image.name}"
        try:
            shape = _shape(node, label, classes, called, size)
        except ValueError as error:
            place = _place(node)
            yield (Problem.dropped if place else Problem.skipped)(photo.source, str(error), called)
            if place:
                yield LeftOut(place)
            continue
        if _rotation(node):
            detail = f"{called}, by {_rotation(node):g} degrees"
            action = "kept, as the upright box around it"
            yield Problem(file=photo.source, kind="rotated box", detail=detail, action=action)
        yield replace(shape, group=node.get("group_id"))


def _shape(
    node: ET.Element, label: str, classes: tuple[str, ...], called: str, size: tuple[int, int] | None
) -> Shape:
    """Read one shape; the message of a ValueError becomes the kind of its problem."""
    if node.tag in _NOT_READ:
        raise ValueError("neither box, polygon nor mask")
    if label not in classes:
        raise ValueError("class unknown" if label else "class missing")
    own = classes.index(label) + 1
    if node.tag == "box":
        return Shape(label=own, box=_box(node), name=called)
    if node.tag == "polygon":
        points = _points(node)
        outline = [value for point in points for value in point]
        return Shape(label=own, box=bounds(points), name=called, region=[outline])
    if size is None:
        raise ValueError("mask of an image without width and height, or with others than its photo's")
    left, top, mask = _mask(node, size)
    box = (float(left), float(top), float(left + mask.shape[1]), float(top + mask.shape[0]))
    region = encode_window(mask, left, top, (size[1], size[0]))
    return Shape(label=own, box=box, name=called, region=region)


def _place(node: ET.Element) -> Corners | None:
    """The box around a shape of any kind that cannot be read; None if even that is unknown."""
    values = {key: found for key, text in node.items() if (found := number(text)) is not None}
    try:
        # The points of a skeleton are elements in it.
        if parts := [one for one in (node, *node) if one.get("points")]:
            return bounds([point for one in parts for point in _pairs(one)])
        if {"cx", "cy", "rx", "ry"} <= values.keys():
            x, y, across, down = (values[key] for key in ("cx", "cy", "rx", "ry"))
            own = (x - across, y - down, x + across, y + down)
            return bounds(rotated_corners(own, values.get("rotation", 0.0), (x, y)))
        if {"left", "top", "width", "height"} <= values.keys():
            x, y = values["left"], values["top"]
            return x, y, x + values["width"], y + values["height"]
        # The corners of a box, or of both faces of a cuboid: xtl1, ytl1 and so on.
        across_all = [value for key, value in values.items() if key.startswith("x")]
        down_all = [value for key, value in values.items() if key.startswith("y")]
        if len(across_all) < 2 or len(across_all) != len(down_all):
            return None
        return bounds(list(zip(across_all, down_all, strict=True)))
    except ValueError:
        return None


def _rotation(node: ET.Element) -> float:
    try:
        return float(node.get("rotation") or 0) % 360 if node.tag == "box" else 0.0
    except ValueError:
        return 0.0


def _box(node: ET.Element) -> Corners:
    try:
        left, top, right, bottom = (float(node.get(key, "")) for key in _CORNERS)
    except ValueError:
        raise ValueError("box without four numbers") from None
    box = (left, top, right, bottom)
    if not _rotation(node):
        return box
    return bounds(rotated_corners(box, _rotation(node), ((left + right) / 2, (top + bottom) / 2)))


def _pairs(node: ET.Element) -> list[tuple[float, float]]:
    pairs = [pair.split(",") for pair in node.get("points", "").split(";")]
    return [(float(x), float(y)) for x, y in pairs]


def _points(node: ET.Element) -> list[tuple[float, float]]:
    try:
        points = _pairs(node)
    except ValueError:
        raise ValueError("polygon without pairs of numbers") from None
    if len(points) < 3:
        raise ValueError("polygon of fewer than three points")
    return points


def _mask(node: ET.Element, size: tuple[int, int]) -> tuple[int, int, NDArray[np.bool_]]:
    """Left, top and pixels of a mask; its runs alternate outside and inside, row by row in its rectangle."""
    try:
        left, top, width, height = (int(node.get(key, "")) for key in ("left", "top", "width", "height"))
        runs = np.array([int(run) for run in node.get("rle", "").split(",")], dtype=np.int64)
    except (ValueError, OverflowError):
        raise ValueError("mask without left, top, width, height and rle") from None
    inside = left >= 0 and top >= 0 and left + width <= size[0] and top + height <= size[1]
    if not inside or width < 1 or height < 1 or runs.min() < 0 or runs.max() > width * height:
        raise ValueError("mask outside its image")
    if runs.sum() != width * height or not runs[1::2].sum():
        raise ValueError("mask whose runs do not fill its rectangle")
    mask: NDArray[np.bool_] = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    return left, top, mask
