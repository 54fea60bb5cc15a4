"""The ways from boxes to labels. Each method is a file; all that differs between them is here.

What they share is in `boxseg.stages.label`: reading photos, the CRF, writing labels, scores and masks of boxes.
"""

from __future__ import annotations

from collections.abc import Callable

from boxseg.config import LabelMethod
from boxseg.dataset import BoxDataset
from boxseg.jobs import LabelJob
from boxseg.labelling import from_classifier, from_grabcut, from_sam, from_whole_box
from boxseg.labelling.method import Method, Scored

METHODS: dict[LabelMethod, Callable[[LabelJob, BoxDataset], Method]] = {
    "auto": from_classifier.start,
    "bap": from_classifier.start,
    "gap": from_classifier.start,
    "box": from_whole_box.start,
    "grabcut": from_grabcut.start,
    "sam": from_sam.start,
}

__all__ = ["METHODS", "Method", "Scored"]
