"""The masks of the boxes of one photo: a small file beside the photo's labels, until all are gathered.

A file is a JSON list with an entry for each box of the sample, in their order:

    {"segmentation": {"size": [H, W], "counts": "…"}, "score": 0.93, "source": "network"}

Where somebody corrected a mask in the report, `"corrected"` says how. A box that is left out has an empty one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict, get_args

import numpy as np
from numpy.typing import NDArray

from boxseg.atomic import atomic_path
from boxseg.dataset import REDRAW, Correction, Sample
from boxseg.documents import Readable, read_json
from boxseg.errors import DataError
from boxseg.formats.coco_results import encode_window
from boxseg.formats.loose_numbers import number
from boxseg.formats.regions import UNREADABLE_REGION, encode_region
from boxseg.wording import counted

# What made a mask: the mask network, or a rule where the method found nothing. Others are methods' names.
NETWORK, FALLBACK = "network", "fallback"
# What is said to have made the empty mask of a box that somebody left out.
LEFT_OUT = "left-out"


class _Corrected(TypedDict, total=False):
    corrected: Correction  # what somebody wanted in place of the method's mask


class BoxMask(_Corrected):
    """The mask of one box."""

    segmentation: dict[str, Any]  # compressed COCO run-length code of the photo's size
    score: float  # how sure the mask is, 0..1
    source: str  # what made it: `network`, `fallback`, or the name of another method


def box_mask(
    window: NDArray[np.bool_],
    corner: tuple[int, int],
    sample: Sample,
    *,
    score: float,
    source: str,
    corrected: Correction | None = None,
) -> BoxMask:
    """The entry of one box.

    Args:
        window: (h, w), its mask, cut to any window inside the photo; false outside.
        corner: Left and top of the window, pixels.
        sample: The photo.
        score: How sure the mask is, 0..1.
        source: What made it.
        corrected: What somebody wanted in place of the method's mask.
    """
    code = encode_window(window, *corner, (sample.height, sample.width))
    entry: BoxMask = {"segmentation": code, "score": round(float(score), 6), "source": source}
    return entry if corrected is None else {**entry, "corrected": corrected}


def box_masks_json(masks: Sequence[BoxMask]) -> bytes:
    """The content of the file of one photo's masks, in the order of its boxes."""
    return (json.dumps(masks, separators=(",", ":")) + "\n").encode("ascii")


def write_box_masks(path: Path, masks: Sequence[BoxMask]) -> None:
    """Write the masks of one photo, in the order of its boxes, whole or not at all; not synced."""
    with atomic_path(path, sync=False) as temporary:
        temporary.write_bytes(box_masks_json(masks))


def read_box_masks(path: Readable, sample: Sample) -> list[BoxMask]:
    """The masks of one photo, in the order of its boxes.

    Raises:
        DataError: The file is damaged, or of other boxes.
    """
    entries = read_json(path)
    complete = isinstance(entries, list) and len(entries) == len(sample.boxes)
    if not complete or not all(_is_of(entry, sample) for entry in entries):
        raise DataError(
            f"{path} does not hold a mask for each of the {counted(len(sample.boxes), 'box')} of {sample.id}: "
            "remove it and run the command again"
        )
    return list(entries)


def _is_of(entry: Any, sample: Sample) -> bool:
    score = number(entry.get("score")) if isinstance(entry, dict) else None
    if score is None or not isinstance(entry.get("source"), str):
        return False
    if entry.get("corrected", REDRAW) not in get_args(Correction):
        return False
    code = entry.get("segmentation")
    try:
        return isinstance(code["counts"], str) and bool(encode_region(code, sample.width, sample.height))
    except UNREADABLE_REGION:
        return False
