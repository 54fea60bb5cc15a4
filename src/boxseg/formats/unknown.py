"""Objects of which only the place is known: not objects to learn, and not sure background either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from boxseg.dataset import IGNORE
from boxseg.formats.boxes import clip_boxes
from boxseg.formats.listing import AnnotatedPhoto, Corners
from boxseg.formats.regions import RegionMask


def with_unknown(photo: AnnotatedPhoto, boxes: Sequence[Corners]) -> AnnotatedPhoto:
    """The photo of a box data set with these boxes as crowds: ignored in training, labels and scores."""
    if not boxes:
        return photo
    ignored = partial(_box_mask, tuple(boxes), photo.normalised, f"{photo.source}: {photo.image.name}")
    return replace(photo, crowds=list(boxes), ignored=ignored)


def _box_mask(boxes: tuple[Corners, ...], normalised: bool, source: str, width: int, height: int) -> RegionMask:
    scale = np.array([width, height, width, height] if normalised else 1)
    inside = clip_boxes(np.array(boxes, dtype=np.float64) * scale, width, height).tolist()
    regions = tuple([[x1, y1, x2, y1, x2, y2, x1, y2]] for x1, y1, x2, y2 in inside)
    return RegionMask(regions, (IGNORE,) * len(regions), source, width, height)
