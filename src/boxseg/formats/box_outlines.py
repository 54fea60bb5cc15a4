"""Outlines that are only the corners of their boxes: no ground truth.

Some tools write every box as an outline as well. Scored against such outlines, whole boxes would be perfect
masks. Objects can be upright rectangles, too, but few are: of 500 outlines of COCO, none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from boxseg.dataset import Problem, Sample
from boxseg.formats import run_lengths
from boxseg.formats.listing import Corners
from boxseg.formats.object_outlines import object_regions
from boxseg.formats.regions import UNREADABLE_REGION, RegionMask, encode_region, region_bounds, stated_size
from boxseg.formats.samples import held

# From this share on, outlines that are boxes are taken for what a tool wrote.
_SHARE = 0.05
# The outlines of so many photos tell whether there are any; if there are, all are looked at.
_LOOKED_AT = 200
# Pixels between the edges of an outline and of its box, by rounding.
_NEAR = 1.0
# Outlines of so few pixels cannot help being rectangles.
_SMALLEST = 4.0
# Outlines around the pixels of a box may lack its corners.
_FULL = 0.98


def without_box_outlines(samples: Sequence[Sample], source: Path) -> tuple[Sequence[Sample], list[Problem]]:
    """The samples, of which those with an outline that is only a box have no ground truth, and what was found.

    Masks from files are not looked at. `source` is the file or folder named in the problem.
    """
    chosen = np.linspace(0, len(samples) - 1, min(len(samples), _LOOKED_AT)).astype(int).tolist()
    tried = [_is_box(region, box) for place in chosen for region, box in _outlines(samples[place])]
    if sum(tried) < max(1, _SHARE * len(tried)):
        return samples, []
    count, found, outlined = 0, list[int](), set[int]()
    for place, sample in enumerate(samples):
        for region, box in _outlines(sample):
            count += 1
            outlined.add(place)
            if _is_box(region, box):
                found.append(place)
    bare = set(found)
    # If there are no others, nobody has drawn outlines, and a photo without objects has no ground truth either.
    every = bare == outlined

    def kept() -> Iterator[Sample]:
        for place, sample in enumerate(samples):
            has_none = isinstance(sample.ground_truth, RegionMask) if every else place in bare
            yield replace(sample, ground_truth=None, instances=None) if has_none else sample

    problem = Problem(
        file=source,
        kind="outlines that are only boxes",
        detail=f"{len(found)} of {count}, the first in {samples[found[0]].image.name}",
        action="their images kept without ground truth",
    )
    return held(kept()), [problem]


def _outlines(sample: Sample) -> Iterator[tuple[Any, Corners]]:
    regions = object_regions(sample) if isinstance(sample.ground_truth, RegionMask) else None
    if regions is not None:
        yield from zip(regions, sample.boxes.tolist(), strict=True)


def _is_box(region: Any, box: Corners) -> bool:
    bounds = region_bounds(region)
    if bounds is None or np.abs(np.subtract(bounds, box)).max() > _NEAR:
        return False
    width, height = bounds[2] - bounds[0], bounds[3] - bounds[1]
    return min(width, height) >= _SMALLEST and _area(region) >= _FULL * width * height


def _area(region: Any) -> float:
    """Pixels of a code, or the area of a single polygon; 0 for several polygons."""
    if isinstance(region, dict):
        try:
            height, width = stated_size(region)
            return float(run_lengths.area(encode_region(region, width, height)))
        except UNREADABLE_REGION:
            return 0.0
    if len(region) != 1:
        return 0.0
    x, y = np.asarray(region[0], dtype=np.float64).reshape(-1, 2).T
    # Gauss's area formula.
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
