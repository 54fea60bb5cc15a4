"""Masks as `supervision.Detections`, for that library's annotators, trackers and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxseg.extras import import_extra


def detections(
    *,
    boxes: NDArray[np.float64],
    masks: NDArray[np.bool_],
    scores: NDArray[np.float64],
    labels: NDArray[np.int64],
    classes: Sequence[str],
) -> Any:
    """`supervision.Detections` of n masks; `class_id` counts the classes from 0, as that library does.

    Args:
        boxes: (n, 4) x1 y1 x2 y2, pixels, half-open.
        masks: (n, H, W).
        scores: (n,) 0..1.
        labels: (n,) 1..L.
        classes: Names of classes 1..L.

    Raises:
        MissingExtraError: supervision is not installed.
    """
    supervision = import_extra("supervision", extra="supervision", purpose="to_supervision()")
    names = np.array([classes[label - 1] for label in labels], dtype=np.str_)
    return supervision.Detections(
        xyxy=np.asarray(boxes, dtype=np.float32).reshape(-1, 4),
        mask=masks,
        confidence=np.asarray(scores, dtype=np.float32),
        class_id=np.asarray(labels, dtype=np.int64) - 1,
        data={"class_name": names},
    )
