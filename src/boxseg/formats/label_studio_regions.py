"""Single regions of Label Studio: rectangles, polygons and brushed masks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

from boxseg.formats.boxes import mask_bounds
from boxseg.formats.coco_results import encode_mask
from boxseg.formats.label_studio_brush import decode_brush
from boxseg.formats.listing import Corners
from boxseg.formats.loose_numbers import number
from boxseg.formats.shapes import Shape, bounds, rotated_corners

RegionKind = Literal["rectangle", "polygon", "brush", "other"]

_TOOLS: dict[str, RegionKind] = {"rectangle": "rectangle", "polygon": "polygon", "brush": "brush"}
_TOOLS |= dict.fromkeys(("ellipse", "keypoint", "bitmask", "vector"), "other")
# What can be drawn, by the type of a result.
REGIONS: dict[str, RegionKind] = _TOOLS | {f"{tool}labels": kind for tool, kind in _TOOLS.items()}
PhotoSize = tuple[int, int]  # width and height, pixels


def labels_of(result: dict[str, Any]) -> list[str]:
    """The labels of a result."""
    value = result.get("value")
    if not isinstance(value, dict):
        return []
    for labels in (value.get("labels"), value.get(str(result.get("type")))):
        known = [text.strip() for text in labels if isinstance(text, str)] if isinstance(labels, list) else []
        if any(known):
            return list(filter(None, known))
    return []


def label_of(result: dict[str, Any]) -> str | None:
    """The first label of a result."""
    return next(iter(labels_of(result)), None)


def place_of(result: dict[str, Any], photo_size: Callable[[], PhotoSize]) -> Corners | None:
    """The box in pixels around a region of any kind that cannot be read; None if even that is unknown."""
    value = result["value"]
    try:
        if _float(result.get("image_rotation") or 0) % 360:
            return None
        size = stated_size(result) or photo_size()
        points = value.get("points") or value.get("vertices")
        if isinstance(points, list):
            pairs = [(point["x"], point["y"]) if isinstance(point, dict) else tuple(point) for point in points]
            return bounds([(_float(x) / 100 * size[0], _float(y) / 100 * size[1]) for x, y in pairs])
        x, y = _float(value.get("x")), _float(value.get("y"))
        across, down = _float(value.get("radiusX", 0)), _float(value.get("radiusY", 0))
        right, bottom = x + _float(value.get("width", across)), y + _float(value.get("height", down))
        if REGIONS[result["type"]] == "rectangle" and not {"width", "height"} <= value.keys():
            return None
        corners = [(x - across, y - down), (right, bottom)]
        return bounds([(x / 100 * size[0], y / 100 * size[1]) for x, y in corners])
    except (ValueError, TypeError, KeyError):
        return None


def read_region(result: dict[str, Any], label: int, name: str, photo_size: Callable[[], PhotoSize]) -> Shape:
    """Read a region of a type in `REGIONS`, in pixels; a ValueError's message becomes the kind of its problem.

    `photo_size` gives the size of the photo, or a ValueError, if the region does not state it.
    """
    kind, value = REGIONS[result["type"]], result["value"]
    if kind == "other":
        raise ValueError("neither rectangle, polygon nor brush")
    if _float(result.get("image_rotation") or 0) % 360:
        raise ValueError("drawn on a photo that was turned in the editor")
    size = stated_size(result) or photo_size()
    if kind == "rectangle":
        return Shape(label=label, box=_rectangle(result, size), name=name)
    if kind == "polygon":
        points = _points(value, size)
        region = [[number for point in points for number in point]]
        return Shape(label=label, box=bounds(points), name=name, region=region)
    if math.prod(size) != math.prod(photo_size()):
        raise ValueError("brushed mask of another size than its photo")
    mask = decode_brush(value.get("rle"), *size)
    return Shape(label=label, box=mask_bounds(mask), name=name, region=encode_mask(mask))


def rotation(result: dict[str, Any]) -> float:
    """Degrees by which a rectangle is turned; 0 for any other region."""
    degrees = result["value"].get("rotation") if REGIONS[result["type"]] == "rectangle" else 0
    return _float(degrees or 0) % 360


def stated_size(result: dict[str, Any]) -> PhotoSize | None:
    """(width, height) of the photo as a region states it."""
    width, height = result.get("original_width"), result.get("original_height")
    if not isinstance(width, int) or not isinstance(height, int) or width < 1 or height < 1:
        return None
    return width, height


def _float(value: Any) -> float:
    found = None if isinstance(value, bool) else number(value)
    if found is None:
        raise ValueError("not all numbers")
    return found


def _rectangle(result: dict[str, Any], size: tuple[int, int]) -> Corners:
    value, degrees = result["value"], rotation(result)
    x, y, width, height = (_float(value.get(key)) / 100 for key in ("x", "y", "width", "height"))
    left, top = x * size[0], y * size[1]
    box = (left, top, left + width * size[0], top + height * size[1])
    # Label Studio rotates about the corner (x, y), however the user rotated the rectangle.
    return bounds(rotated_corners(box, degrees, (left, top))) if degrees else box


def _points(value: dict[str, Any], size: tuple[int, int]) -> list[tuple[float, float]]:
    points = value.get("points")
    if not isinstance(points, list) or len(points) < 3:
        raise ValueError("polygon of fewer than three points")
    if not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise ValueError("polygon without pairs of numbers")
    return [(_float(x) / 100 * size[0], _float(y) / 100 * size[1]) for x, y in points]
