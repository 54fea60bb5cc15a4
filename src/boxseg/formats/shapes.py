"""Boxes and outlines drawn in annotation tools: which outline belongs to which box.

A photo may have boxes, polygons and brushed masks. The outlines in a group with one box of their class belong
to that box. Any other outline (a polygon or mask) belongs to the box of its
class that it fits best, if at least half of the outline's bounds lies in that box. Several outlines may be
parts of one object; together their bounds must fit the box (IoU at least 0.5). An outline without a box is an
object of its own, with its bounds as the box. The outlines are ground truth if all objects of a photo have one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from boxseg.dataset import Instance, Problem
from boxseg.formats import run_lengths
from boxseg.formats.listing import AnnotatedBox, AnnotatedPhoto, Corners
from boxseg.formats.regions import encode_region, painter

_FIT = 0.5


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One shape drawn on a photo."""

    label: int  # class 1..L
    box: Corners  # in pixels, half-open edges; of an outline, its bounds
    name: str  # what to call it in a problem: `box 3 (dog)`
    region: Any = None  # polygons in pixels or a COCO run-length code; None for a box
    annotation_id: str | None = None  # what the tool calls it
    group: str | None = None  # of shapes that belong together


def with_shapes(
    photo: AnnotatedPhoto, shapes: list[Shape], *, complete: bool, outlined: bool
) -> Iterator[AnnotatedPhoto | Problem]:
    """The photo with its objects, and with ground truth if all of them have an outline.

    `complete` says whether `shapes` are all that is drawn on the photo, `outlined` whether the data set has any
    outline: if not, an empty photo has no ground truth.
    """
    objects = _objects(shapes)
    boxes = [
        AnnotatedBox(shape.box, shape.label, shape.name, annotation_id=shape.annotation_id) for shape in objects
    ]
    photo = replace(photo, boxes=boxes)
    bare = [shape.name for shape in objects if shape.region is None]
    if bare and len(bare) < len(objects):
        more = f" and {len(bare) - 1} more" if len(bare) > 1 else ""
        yield Problem(
            file=photo.source,
            kind="object without outline",
            detail=f"{bare[0]}{more}, others of {photo.image.name} have one",
            action="image kept without ground truth",
        )
    if bare or not complete or not outlined:
        yield photo
        return
    instances = tuple(
        Instance(shape.label, shape.region, False, None, shape.annotation_id) for shape in objects
    )
    source = f"{photo.source}: {photo.image.name}"
    yield replace(photo, ground_truth=painter(instances, source), instances=instances)


def _objects(shapes: list[Shape]) -> list[Shape]:
    """Boxes with their outlines, and outlines without a box, in the order of drawing."""
    objects = dict(enumerate(shapes))
    for box, parts in _grouped(shapes).items():
        objects[box] = replace(shapes[box], region=_join([objects.pop(place).region for place in parts]))
    rest = {place: shape for place, shape in objects.items() if shape is shapes[place]}
    owners = {place: _owner(shape, rest) for place, shape in rest.items() if shape.region is not None}
    for box in {owner for owner in owners.values() if owner is not None}:
        parts = [place for place, owner in owners.items() if owner == box]
        if _iou(shapes[box].box, _around([shapes[place].box for place in parts])) >= _FIT:
            objects[box] = replace(shapes[box], region=_join([shapes[place].region for place in parts]))
            for place in parts:
                del objects[place]
    return list(objects.values())


def _grouped(shapes: list[Shape]) -> dict[int, list[int]]:
    """Outlines by their box, by their places, in the groups that have one box of their class."""
    members: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for place, shape in enumerate(shapes):
        if shape.group is not None:
            members[shape.group, shape.label].append(place)
    found = {}
    for places in members.values():
        boxes = [place for place in places if shapes[place].region is None]
        if len(boxes) == 1 and len(places) > 1:
            found[boxes[0]] = [place for place in places if place != boxes[0]]
    return found


def _owner(outline: Shape, shapes: dict[int, Shape]) -> int | None:
    """Place of the box that an outline belongs to."""
    fits = {
        place: _iou(outline.box, shape.box)
        for place, shape in shapes.items()
        if shape.region is None and shape.label == outline.label
        if _overlap(outline.box, shape.box) >= _FIT * _area(outline.box)
    }
    return max(fits, key=lambda place: fits[place], default=None)


def _join(regions: list[Any]) -> Any:
    """One region from several: all polygons, or all as one run-length code."""
    sizes = [region["size"] for region in regions if isinstance(region, dict)]
    if not sizes:
        return [polygon for region in regions for polygon in region]
    height, width = sizes[0]
    return run_lengths.merge([encode_region(region, width, height) for region in regions])


def _area(box: Corners) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _overlap(one: Corners, other: Corners) -> float:
    left, top = map(max, one[:2], other[:2])
    right, bottom = map(min, one[2:], other[2:])
    return _area((left, top, right, bottom))


def _iou(one: Corners, other: Corners) -> float:
    both = _overlap(one, other)
    whole = _area(one) + _area(other) - both
    return both / whole if whole > 0 else 0.0


def _around(boxes: list[Corners]) -> Corners:
    return bounds([corner for box in boxes for corner in (box[:2], box[2:])])


def bounds(points: list[tuple[float, float]]) -> Corners:
    """The upright box around points; ValueError if there is none, or one is not finite."""
    if not points or not all(math.isfinite(value) for point in points for value in point):
        raise ValueError("points that are not finite numbers")
    across, down = zip(*points, strict=True)
    return min(across), min(down), max(across), max(down)


def rotated_corners(box: Corners, degrees: float, pivot: tuple[float, float]) -> list[tuple[float, float]]:
    """The four corners of a box turned about a point, clockwise as seen on the screen."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    left, top, right, bottom = box
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    about = [(x - pivot[0], y - pivot[1]) for x, y in corners]
    return [(pivot[0] + x * cosine - y * sine, pivot[1] + x * sine + y * cosine) for x, y in about]
