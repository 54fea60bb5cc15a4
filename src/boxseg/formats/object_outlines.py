"""The outlines of single objects in the annotations, box by box."""

from __future__ import annotations

from typing import Any

from boxseg.dataset import BACKGROUND, IGNORE, Sample
from boxseg.formats.regions import RegionMask


def object_regions(sample: Sample) -> list[Any] | None:
    """The polygons or run-length code of each box's object, in the order of the boxes.

    None if the photo has no outlines, or a box of it was dropped: then the others cannot be told apart.
    """
    if sample.instances is not None:
        regions = [one.region for one in sample.instances if not one.crowd]
    elif isinstance(sample.ground_truth, RegionMask):
        painted = zip(sample.ground_truth.regions, sample.ground_truth.labels, strict=True)
        regions = [region for region, label in painted if label not in (BACKGROUND, IGNORE)]
    else:
        return None
    return regions if len(regions) == len(sample.boxes) else None
