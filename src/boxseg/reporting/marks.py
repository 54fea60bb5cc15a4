"""The masks of a photo's boxes as the page shows them: what speaks against each, and its outline."""

from __future__ import annotations

from typing import Any

import numpy as np

from boxseg.dataset import Sample
from boxseg.documents import Readable
from boxseg.formats.box_masks import read_box_masks
from boxseg.formats.coco_results import decode_window
from boxseg.formats.contours import trace_rings
from boxseg.formats.simplify import simplify_rings
from boxseg.reporting.html.page import Mark
from boxseg.scoring.doubtful_masks import judge_masks


def read_marks(path: Readable, sample: Sample, tolerance: float) -> tuple[Mark, ...]:
    """A mark for each box of a photo, in their order.

    Args:
        path: The photo's masks, as `label` wrote them.
        sample: The photo.
        tolerance: How far an outline may be from the mask's own, pixels.

    Raises:
        DataError: The file is damaged, or of other boxes.
    """
    judged = judge_masks(path, sample)
    outlines = [outline(entry["segmentation"], tolerance) for entry in read_box_masks(path, sample)]
    return tuple(
        Mark(score=mask.score, source=mask.source, reasons=mask.reasons, filled=mask.filled, outline=line)
        for mask, line in zip(judged, outlines, strict=True)
    )


def outline(code: dict[str, Any], tolerance: float) -> str:
    """The outline of a COCO run-length code as the data of an SVG path, in pixels, for the even-odd rule.

    Raises:
        ValueError: The code cannot be read.
    """
    window, left, top = decode_window(code)
    rings = simplify_rings(trace_rings(window), tolerance)
    corner = np.array([left, top])
    return "".join(f"M{' '.join(map(str, (ring + corner).ravel().tolist()))}Z" for ring in rings)
