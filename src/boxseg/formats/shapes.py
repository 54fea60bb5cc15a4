"""Boxes and outlines drawn in annotation tools: which outline belongs to which box.

Tools let boxes, polygons and brushed masks stand side by side. An outline belongs to the box of its class that
it fits best, if at least half of its bounds lies in it; several outlines may be parts of one object. Together
they have to fit the box (IoU of their bounds with it at least 0.5). An outline without a box is an object of
its own, with its bounds as the box. Where every object of a photo has an outline, they are its ground truth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from faster_coco_eval.core import mask as coco_mask
from numpy.typing import NDArray

from boxseg.dataset import Instance, Problem
from boxseg.formats.assemble import Item
from boxseg.formats.regions import RegionMask, encode_region

Box = tuple[float, float, float, float]

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
    box: Box
    name: str
    region: Any = None


def with_shapes(
    item: Item, shapes: list[Shape], *, complete: bool, outlined: bool, problems: list[Problem]
) -> Item:
    """The image with its objects, and with their outlines as ground truth where all have one.

    Args:
        item: The image, without objects.
        shapes: What was drawn on it.
        complete: Whether nothing drawn on it had to be left out.
        outlined: Whether the data has outlines at all: without, a photo with nothing on it has no ground truth.
        problems: Takes up an image whose objects have outlines in part.
    """
    objects = _objects(shapes)
    item = replace(
        item,
        boxes=[shape.box for shape in objects],
        labels=[shape.label for shape in objects],
        names=[shape.name for shape in objects],
    )
    bare = [shape.name for shape in objects if shape.region is None]
    some = len(bare) < len(objects)
    if bare and some:
        more = f" and {len(bare) - 1} more" if len(bare) > 1 else ""
        what = f"object without outline: {bare[0]}{more}, others of {item.image.name} have one"
        problems.append(Problem(file=item.source, what=what, action="image kept without ground truth"))
    if bare or not complete or not outlined:
        return item
    regions, labels = tuple(shape.region for shape in objects), tuple(item.labels)
    source = f"{item.source}: {item.image.name}"

    def ground_truth(width: int, height: int) -> RegionMask:
        return RegionMask(regions, labels, width, height, source)

    instances = tuple(Instance(shape.label, shape.region, False, None) for shape in objects)
    return replace(item, ground_truth=ground_truth, instances=instances)


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


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _overlap(one: Box, other: Box) -> float:
    corners = (max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3]))
    return _area(corners)


def _iou(one: Box, other: Box) -> float:
    both = _overlap(one, other)
    whole = _area(one) + _area(other) - both
    return both / whole if whole > 0 else 0.0


def _around(boxes: list[Box]) -> Box:
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)


def bounds(points: list[tuple[float, float]]) -> Box:
    """The upright box around points.

    Raises:
        ValueError: There is no point, or one is not finite.
    """
    if not points or not all(math.isfinite(value) for point in points for value in point):
        raise ValueError("points that are no numbers")
    across, down = zip(*points, strict=True)
    return min(across), min(down), max(across), max(down)


def rotated_corners(box: Box, degrees: float, pivot: tuple[float, float]) -> list[tuple[float, float]]:
    """Corners of a box that was turned about a point, clockwise as seen on the screen."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    left, top, right, bottom = box
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    about = [(x - pivot[0], y - pivot[1]) for x, y in corners]
    return [(pivot[0] + x * cosine - y * sine, pivot[1] + x * sine + y * cosine) for x, y in about]


def mask_shape_box(mask: NDArray[np.bool_]) -> Box:
    """The box around the pixels of a mask (H, W).

    Raises:
        ValueError: It has none.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        raise ValueError("a mask without a pixel")
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
