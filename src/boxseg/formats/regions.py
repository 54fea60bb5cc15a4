"""Paint polygons and run-length codes (COCO) as label masks."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxseg.dataset import IGNORE, Instance
from boxseg.errors import DataError, shown
from boxseg.formats import run_lengths

_FAR = 20  # times the photo's longer side

# What `encode_region` raises for something that is not a region.
UNREADABLE_REGION = (ValueError, TypeError, LookupError, RuntimeError, OverflowError)


@dataclass(frozen=True)
class RegionMask:
    """Ground truth painted on demand: smaller objects on top, ignored crowds below all others."""

    regions: tuple[Any, ...] = field(repr=False)  # as in `Instance`
    labels: tuple[int, ...]  # class 1..L of each; 255 for a crowd
    source: str  # named in errors
    width: int  # pixels
    height: int

    def __call__(self) -> NDArray[np.uint8]:
        """The (H, W) uint8 mask; DataError if a region is neither polygons nor a code of this size."""
        try:
            runs = [run_lengths.runs(encode_region(region, self.width, self.height)) for region in self.regions]
        except UNREADABLE_REGION as error:
            raise DataError(f"{self.source}: segmentation cannot be read ({error})") from error
        areas = [int(lengths[1::2].sum()) for lengths in runs]
        # Not in the order of the file: the order of annotations must not matter.
        order = sorted(range(len(runs)), key=lambda i: (self.labels[i] != IGNORE, -areas[i], self.labels[i]))
        columns = np.zeros(self.width * self.height, dtype=np.uint8)  # column by column, as runs go
        for index in order:
            inside = np.repeat(np.arange(len(runs[index])) % 2 == 1, runs[index])
            np.copyto(columns, np.uint8(self.labels[index]), where=inside)
        return np.ascontiguousarray(columns.reshape(self.width, self.height).T)

    def trouble(self) -> str | None:
        """Why a region cannot be painted, as far as that can be seen quickly; None if nothing is wrong."""
        limit = _FAR * max(self.width, self.height)
        for region in self.regions:
            # The polygons of nearly all regions: one look at all numbers is enough.
            if isinstance(region, list) and all(type(polygon) is array for polygon in region):
                values = np.frombuffer(b"".join(region))
                near = len(values) and -limit <= values.min() and values.max() <= limit  # false for NaN
                if near and not any(len(polygon) % 2 for polygon in region):
                    continue
            elif isinstance(region, dict) and _fits(region, self.width, self.height):
                continue
            try:
                encode_region(region, self.width, self.height)
            except UNREADABLE_REGION as error:
                return str(error) or type(error).__name__
        return None


def _fits(code: dict[str, Any], width: int, height: int) -> bool:
    """Whether a code is of this size; the runs of a compressed one are checked when it is painted."""
    counts = code.get("counts")
    if code.get("size") != [height, width] or not isinstance(counts, list):
        return code.get("size") == [height, width] and isinstance(counts, (str, bytes))
    return all(type(count) is int and count >= 0 for count in counts) and sum(counts) == width * height


def painter(instances: Sequence[Instance], source: str) -> Callable[[int, int], RegionMask]:
    """Make the function that gives the mask of objects and crowds from (width, height)."""
    labels = tuple(IGNORE if instance.crowd else instance.label for instance in instances)
    return partial(RegionMask, tuple(instance.region for instance in instances), labels, source)


def packed(region: Any) -> Any:
    """A region's polygons as arrays, which take a quarter of the memory of lists.

    Anything but polygons of numbers is returned as it is, and refused when it is painted.
    """
    if not isinstance(region, list) or all(type(polygon) is array for polygon in region):
        return region
    try:
        return [array("d", polygon) for polygon in region]
    except (TypeError, OverflowError):
        return region


def is_void(region: Any) -> bool:
    """Whether a region holds no pixel: nothing, polygons without three corners, empty runs.

    An unreadable region is not void: it is refused when it is painted.
    """
    if not region:
        return True
    if isinstance(region, list):
        return all(isinstance(polygon, (list, array)) and len(polygon) < 6 for polygon in region)
    try:
        height, width = stated_size(region)
        counts = region["counts"]
        if isinstance(counts, list):
            return not any(counts[1::2]) and sum(counts) == height * width
        code = {"size": [height, width], "counts": counts.encode() if isinstance(counts, str) else counts}
        # The area of a code is quick to compute; the code is checked closely only if that is 0.
        return run_lengths.area(code) == 0 and bool(encode_region(region, width, height))
    except UNREADABLE_REGION:
        return False


def region_bounds(region: Any) -> tuple[float, float, float, float] | None:
    """The box x1 y1 x2 y2 around a region, in pixels; None if it holds no pixel or cannot be read."""
    if is_void(region):
        return None
    try:
        if isinstance(region, dict):
            height, width = stated_size(region)
            left, top, across, down = run_lengths.bounds(encode_region(region, width, height))
            return left, top, left + across, top + down
        values = np.concatenate([np.asarray(polygon, dtype=np.float64).reshape(-1, 2) for polygon in region])
    except UNREADABLE_REGION:
        return None
    corners = (*values.min(axis=0).tolist(), *values.max(axis=0).tolist())
    return corners if np.isfinite(values).all() else None


def rectangle(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    """The region of a box: one polygon."""
    return [[left, top, right, top, right, bottom, left, bottom]]


def can_be_painted(region: Any, width: int, height: int) -> bool:
    """Whether a region holds a pixel and can be painted on a photo of this size."""
    try:
        return not is_void(region) and bool(encode_region(region, width, height))
    except UNREADABLE_REGION:
        return False


def stated_size(code: dict[str, Any]) -> tuple[int, int]:
    """Height and width that a run-length code states; ValueError if they are no numbers of pixels."""
    size = code["size"]
    if len(size) != 2 or not all(type(side) is int and 0 <= side < 1 << 31 for side in size):
        raise ValueError(f"run-length code of size {shown(size)}")
    return size[0], size[1]


def encode_region(region: Any, width: int, height: int) -> dict[str, Any]:
    """The COCO run-length code of one object: polygons in pixels, or a code, compressed or not.

    Raises:
        ValueError: It is neither, or lies far outside the photo, or its size is not the photo's.
    """
    if isinstance(region, dict):
        if stated_size(region) != (height, width):
            raise ValueError(f"run-length code of size {list(region['size'])}, expected {[height, width]}")
        code = region
        if isinstance(region["counts"], list):
            code = run_lengths.from_counts(region, height, width)
        elif isinstance(region["counts"], str):
            code = {"size": [height, width], "counts": region["counts"].encode()}
        # Pixels are painted only on photos, whose size is known: the size in a file may be any.
        if run_lengths.runs(code).sum() != height * width:
            raise ValueError(f"run-length code that does not fill {height} x {width} pixels")
        return code
    polygons = [np.asarray(polygon, dtype=np.float64) for polygon in region]
    if any(polygon.ndim != 1 for polygon in polygons):
        raise ValueError("a polygon is not a list of numbers")
    # Painting takes memory for the whole outline, outside the photo as well.
    limit = _FAR * max(width, height)
    if not all((np.abs(polygon) <= limit).all() for polygon in polygons):
        raise ValueError("a polygon reaches far outside the photo")
    if any(len(polygon) % 2 for polygon in polygons):
        raise ValueError("a polygon has an odd number of coordinates")
    polygons = [polygon for polygon in polygons if len(polygon) >= 6]
    if not polygons:
        return run_lengths.encode(np.zeros((height, width), dtype=np.uint8))
    return run_lengths.from_polygons(polygons, height, width)
