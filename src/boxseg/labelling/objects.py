"""The mask of every box of a photo: what a method says, or the ellipse in the box where it says nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from boxseg.data.box_masks import Window, ellipse_mask, object_windows
from boxseg.dataset import Correction, Sample
from boxseg.formats.box_masks import FALLBACK, BoxMask, box_mask
from boxseg.nn.pseudo import BoxMasks

# A mask of a smaller share of its box than this is no answer.
LEAST_SHARE = 0.02


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectMask:
    """The mask of one box.

    Attributes:
        mask: (h, w) bool, on the pixels of the box.
        score: How sure it is, 0..1; ranks the masks of a data set.
        source: What made it: `network`, the name of another method, or `fallback`.
        corrected: What somebody wanted in place of the method's mask.
    """

    mask: NDArray[np.bool_]
    score: float
    source: str
    corrected: Correction | None = None


def with_fallbacks(objects: Sequence[ObjectMask], sample: Sample) -> list[ObjectMask]:
    """The masks of a photo's boxes, in their order; the ellipse in the box, with score 0, for one too small."""
    windows = object_windows(sample.boxes, sample.height, sample.width)
    completed = []
    for item, box, window in zip(objects, sample.boxes, windows, strict=True):
        left, top, right, bottom = window
        area = (right - left) * (bottom - top)
        if item.mask.any() and item.mask.sum() >= LEAST_SHARE * area:
            completed.append(item)
        else:
            completed.append(ObjectMask(mask=ellipse_mask(box, window), score=0.0, source=FALLBACK))
    return completed


def objects_of_labels(
    labels: Tensor, probabilities: Tensor, boxes: BoxMasks, windows: Sequence[Window], source: str
) -> list[ObjectMask]:
    """For each box the pixels of its class inside it; the score is the class's mean probability over them.

    Args:
        labels: (H, W) uint8.
        probabilities: (K + 1, H, W), background first, then `boxes.classes`.
        boxes: The boxes.
        windows: Their pixels.
        source: Name of the method.
    """
    classes, found = boxes.classes.tolist(), labels.cpu().numpy()
    sure = probabilities.float().cpu().numpy()
    objects = []
    for (left, top, right, bottom), owner in zip(windows, boxes.owners, strict=True):
        window = np.s_[top:bottom, left:right]
        mask = found[window] == classes[owner]
        score = float(sure[owner + 1][window][mask].mean(dtype=np.float64)) if mask.any() else 0.0
        objects.append(ObjectMask(mask=mask, score=score, source=source))
    return objects


def box_masks_of(sample: Sample, objects: Sequence[ObjectMask]) -> list[BoxMask]:
    """The masks of one photo as they are written; `formats.masks_json` gathers them."""
    windows = object_windows(sample.boxes, sample.height, sample.width)
    return [
        box_mask(
            item.mask,
            window[:2],
            sample,
            score=item.score,
            source=item.source,
            corrected=item.corrected,
        )
        for item, window in zip(objects, windows, strict=True)
    ]
