"""The ways from boxes to labels. Each method is a file; all that differs between them is here.

What they share is in `boxseg.stages.label`: reading photos, the CRF, writing labels, scores and masks of boxes.
"""

from __future__ import annotations

from collections.abc import Callable

from boxseg.config import LabelMethod
from boxseg.dataset import BoxDataset
from boxseg.jobs import LabelJob
from boxseg.stages.label_methods import classifier, grabcut, sam, whole_box
from boxseg.stages.label_methods.method import Method, Scored

METHODS: dict[LabelMethod, Callable[[LabelJob, BoxDataset], Method]] = {
    "auto": classifier.start,
    "bap": classifier.start,
    "gap": classifier.start,
    "box": whole_box.start,
    "grabcut": grabcut.start,
    "sam": sam.start,
}

__all__ = ["METHODS", "Method", "Scored"]
