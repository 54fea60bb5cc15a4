"""Boxes and outlines drawn in annotation tools: which outline belongs to which box.

A photo may have boxes, polygons and brushed masks. An outline (a polygon or mask) belongs to the box of its
class that it fits best, if at least half of the outline's bounds lies in that box. Several outlines may be
parts of one object; together their bounds must fit the box (IoU at least 0.5). An outline without a box is an
object of its own, with its bounds as the box. The outlines are ground truth where all objects of a photo have
one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from faster_coco_eval.core import mask as coco_mask
from numpy.typing import NDArray

from boxseg.dataset import Instance, Problem
from boxseg.formats.listing import AnnotatedBox, AnnotatedPhoto, Corners
from boxseg.formats.regions import RegionMask, encode_region

_FIT = 0.5


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One thing drawn on a photo.

    Attributes:
        label: Class 1..L.
        box: x1 y1 x2 y2 in pixels, half-open edges; of an outline, its bounds.
        name: What to call it in a problem: `box 3 (dog)`.
        region: Polygons in pixels or a COCO run-length code; None for a box.
    """

    label: int
    box: Corners
    name: str
    region: Any = None


def with_shapes(
    photo: AnnotatedPhoto, shapes: list[Shape], *, complete: bool, outlined: bool
) -> Iterator[AnnotatedPhoto | Problem]:
    """The photo with its objects; with ground truth, too, where all of them have an outline.

    A problem says when only some of its objects have one.

    Args:
        photo: The photo, without objects.
        shapes: What was drawn on it.
        complete: Whether everything that was drawn on it is among them.
        outlined: Whether the data set has any outline; else a photo with nothing on it has no ground truth.
    """
    objects = _objects(shapes)
    photo = replace(photo, boxes=[AnnotatedBox(shape.box, shape.label, shape.name) for shape in objects])
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
    regions, labels = tuple(shape.region for shape in objects), tuple(shape.label for shape in objects)
    source = f"{photo.source}: {photo.image.name}"

    def ground_truth(width: int, height: int) -> RegionMask:
        return RegionMask(regions, labels, width, height, source)

    instances = tuple(Instance(shape.label, shape.region, False, None) for shape in objects)
    yield replace(photo, ground_truth=ground_truth, instances=instances)


def _objects(shapes: list[Shape]) -> list[Shape]:
    boxes = [shape for shape in shapes if shape.region is None]
    owners = [_owner(shape, boxes) if shape.region is not None else None for shape in shapes]
    parts = {
        place: [shape for shape, owner in zip(shapes, owners, strict=True) if owner == place]
        for place in range(len(boxes))
    }
    fitting = {
        place: found
        for place, found in parts.items()
        if found and _iou(boxes[place].box, _around([part.box for part in found])) >= _FIT
    }
    objects: list[Shape] = []
    place = -1
    for shape, owner in zip(shapes, owners, strict=True):
        if shape.region is None:
            place += 1
            region = _join([part.region for part in fitting[place]]) if place in fitting else None
            objects.append(replace(shape, region=region))
        elif owner not in fitting:
            objects.append(shape)
    return objects


def _owner(outline: Shape, boxes: list[Shape]) -> int | None:
    fits = {
        place: _iou(outline.box, box.box)
        for place, box in enumerate(boxes)
        if box.label == outline.label and _overlap(outline.box, box.box) >= _FIT * _area(outline.box)
    }
    return max(fits, key=lambda place: fits[place]) if fits else None


def _join(regions: list[Any]) -> Any:
    """One region of several: polygons together, or all as one run-length code."""
    sizes = [region["size"] for region in regions if isinstance(region, dict)]
    if not sizes:
        return [polygon for region in regions for polygon in region]
    height, width = sizes[0]
    return coco_mask.merge([encode_region(region, width, height) for region in regions])


def _area(box: Corners) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _overlap(one: Corners, other: Corners) -> float:
    corners = (max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3]))
    return _area(corners)


def _iou(one: Corners, other: Corners) -> float:
    both = _overlap(one, other)
    whole = _area(one) + _area(other) - both
    return both / whole if whole > 0 else 0.0


def _around(boxes: list[Corners]) -> Corners:
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)


def bounds(points: list[tuple[float, float]]) -> Corners:
    """The upright box around points.

    Raises:
        ValueError: There is no point, or one is not finite.
    """
    if not points or not all(math.isfinite(value) for point in points for value in point):
        raise ValueError("points that are no numbers")
    across, down = zip(*points, strict=True)
    return min(across), min(down), max(across), max(down)


def rotated_corners(box: Corners, degrees: float, pivot: tuple[float, float]) -> list[tuple[float, float]]:
    """The four corner points of a box that was turned clockwise, as seen on the screen, about a point."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    left, top, right, bottom = box
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    about = [(x - pivot[0], y - pivot[1]) for x, y in corners]
    return [(pivot[0] + x * cosine - y * sine, pivot[1] + x * sine + y * cosine) for x, y in about]


def mask_bounds(mask: NDArray[np.bool_]) -> Corners:
    """The box around the pixels of a mask (H, W).

    Raises:
        ValueError: It has none.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        raise ValueError("a mask without a pixel")
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
