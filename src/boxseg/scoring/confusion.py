"""Scores of label maps against ground truth, from one confusion matrix.

In NumPy: scoring a folder needs no torch, and torchmetrics refuses predictions of 255, which must count as
errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxseg.dataset import BACKGROUND_NAME, IGNORE
from boxseg.errors import DataError
from boxseg.wording import counted


@dataclass(frozen=True, kw_only=True, repr=False)
class Scores:
    """Scores of a data set, each a share 0..1; NaN where no pixel was scored.

    Attributes:
        miou: Mean of `iou` over the classes in truth or prediction, background included.
        mean_accuracy: Mean over the classes in the truth of the share of their pixels labelled right.
        pixel_accuracy: Share of pixels labelled right.
        iou: Intersection over union by class name; None if neither truth nor prediction has the class.
        counts: The pixel counts, as in `ConfusionMatrix`; None for scores read from a file.
    """

    miou: float
    mean_accuracy: float
    pixel_accuracy: float
    iou: dict[str, float | None]
    counts: NDArray[np.int64] | None = field(default=None, compare=False, repr=False)

    def __repr__(self) -> str:
        means = [
            ("mIoU", self.miou),
            ("mean accuracy", self.mean_accuracy),
            ("pixel accuracy", self.pixel_accuracy),
        ]
        shares = ", ".join(f"{name} {share:.1%}" for name, share in means)
        return f"{type(self).__name__}({shares}, {counted(len(self.iou), 'class')} with background)"

    def as_dict(self) -> dict[str, Any]:
        """The scores as JSON types, None for NaN; without the counts, which have a file of their own."""
        means = {name: getattr(self, name) for name in ("miou", "mean_accuracy", "pixel_accuracy")}
        known = {name: None if math.isnan(value) else value for name, value in means.items()}
        return {**known, "iou": dict(self.iou)}


@dataclass(frozen=True, kw_only=True)
class StoredScores:
    """Scores in metrics.json: None for NaN, without the counts."""

    miou: float | None
    mean_accuracy: float | None
    pixel_accuracy: float | None
    iou: dict[str, float | None]

    def scores(self) -> Scores:
        """The scores as they were computed."""
        means = (self.miou, self.mean_accuracy, self.pixel_accuracy)
        miou, mean_accuracy, pixel_accuracy = (math.nan if value is None else value for value in means)
        return Scores(miou=miou, mean_accuracy=mean_accuracy, pixel_accuracy=pixel_accuracy, iou=self.iou)


class ConfusionMatrix:
    """Counts of pixels by true and by predicted class, over any number of images.

    Pixels whose truth is 255 are not counted. A prediction of 255 is wrong: it labels nothing.

    Args:
        classes: Names of classes 1..L, without the background.
        counts: (L + 1, L + 2) int64, rows are the truth, columns the prediction, last 255; zeros if None.

    Attributes:
        names: Names of classes 0..L; a class called like the background has its number behind it.

    Raises:
        DataError: Two classes have one name.
    """

    def __init__(self, classes: Sequence[str], counts: NDArray[np.int64] | None = None) -> None:
        numbered = enumerate(classes, start=1)
        own = (f"{name} ({n})" if name == BACKGROUND_NAME else name for n, name in numbered)
        self.names = (BACKGROUND_NAME, *own)
        size = len(self.names)
        if len(set(self.names)) < size:
            raise DataError(
                f"class names {self.names} are not unique, but scores are listed by name: rename one of two"
            )
        self.counts = np.zeros((size, size + 1), dtype=np.int64) if counts is None else counts

    def update(
        self,
        prediction: NDArray[np.integer[Any]],
        truth: NDArray[np.integer[Any]],
        where: NDArray[np.bool_] | None = None,
    ) -> None:
        """Count one image.

        Args:
            prediction: (H, W) integer, 0..L, or 255 for no label.
            truth: (H, W) integer, 0..L, or 255 for pixels not to be scored.
            where: (H, W) bool, score these pixels only, such as a reliable region; None for all.

        Raises:
            DataError: The sizes differ, or a value is no class.
        """
        if prediction.shape != truth.shape or (where is not None and where.shape != truth.shape):
            shapes = [array.shape for array in (prediction, truth, where) if array is not None]
            raise DataError(f"label maps of one photo must have one size, got {shapes}: were they resized?")
        self.check("prediction", prediction)
        self.check("ground truth", truth)
        size = len(self.names)
        scored = truth != IGNORE if where is None else (truth != IGNORE) & where
        row = truth[scored].astype(np.int64)
        column = prediction[scored].astype(np.int64)
        column[column == IGNORE] = size
        cells = np.bincount(row * (size + 1) + column, minlength=size * (size + 1))
        self.counts += cells.reshape(size, size + 1)

    def check(self, what: str, labels: NDArray[np.integer[Any]]) -> None:
        """Check that all labels are classes or 255; `what` names them in the DataError."""
        size = len(self.names)
        wrong = labels[((labels < 0) | (labels >= size)) & (labels != IGNORE)]
        if wrong.size:
            raise DataError(
                f"{what} holds the value {wrong[0]}, expected 0..{size - 1} or 255: check the class list"
            )

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        if self.names != other.names:
            raise DataError(
                f"confusion matrices of different classes cannot be added: {self.names} and {other.names}"
            )
        return ConfusionMatrix(self.names[1:], self.counts + other.counts)

    def scores(self) -> Scores:
        """The scores of everything counted so far.

        Source: PASCAL VOC development kit, segmentation accuracy: intersection over union per class from
            pixels of all images together, then the mean over classes.
        """
        hits = np.diagonal(self.counts)
        truths, predictions = self.counts.sum(1), self.counts[:, :-1].sum(0)
        unions = truths + predictions - hits
        iou = [float(hit / union) if union else None for hit, union in zip(hits, unions, strict=True)]
        accuracies = [float(hit / truth) for hit, truth in zip(hits, truths, strict=True) if truth]
        present = [value for value in iou if value is not None]
        total = int(self.counts.sum())
        return Scores(
            miou=_mean(present),
            mean_accuracy=_mean(accuracies),
            pixel_accuracy=float(hits.sum() / total) if total else math.nan,
            iou=dict(zip(self.names, iou, strict=True)),
            counts=self.counts.copy(),
        )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
