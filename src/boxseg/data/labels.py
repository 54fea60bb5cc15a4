"""The labels a segmentation network learns from: masks from one or more sources, compared with each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from boxseg.dataset import Sample
from boxseg.errors import DataError
from boxseg.formats.masks import MaskFolder, truth_digest

GROUND_TRUTH: Final = "ground-truth"

# Where label masks are: a folder of ID.png, or the ground truth of the data set.
Source = MaskFolder | Literal["ground-truth"]

Labels = NDArray[np.uint8]


def read_labels(sample: Sample, sources: Sequence[Source], classes: int) -> tuple[Labels, Labels]:
    """Y_crf and Y_ret of a photo, (H, W) uint8 each, with values 0..L or 255.

    The first source gives Y_crf; a single one gives both. `classes` is L.

    Raises:
        DataError: A mask is missing, damaged, of another size than the photo or has a value out of range.
    """
    return confront([_read(source, sample, classes) for source in dict.fromkeys(sources)])


def has_labels(sample: Sample, source: Source) -> bool:
    """Whether a source has labels of a photo."""
    return sample.ground_truth is not None if source == GROUND_TRUTH else source.has(sample.id)


def labels_digest(sample: Sample, sources: Sequence[Source]) -> str:
    """Digest of the labels of a photo."""
    return " ".join(
        truth_digest(sample.ground_truth) if source == GROUND_TRUTH else source.digest(sample.id)
        for source in sources
        if has_labels(sample, source)
    )


def confront(labels: Sequence[Labels]) -> tuple[Labels, Labels]:
    """Reduce any number of labels to the two that the losses compare.

    The first is Y_crf. Y_ret is, at each pixel, the first of the others that differs from Y_crf; where all
    agree, the two are equal and the pixel is reliable. 255 in Y_crf excludes a pixel; 255 in another differs,
    like any other label.
    """
    y_crf, *others = labels
    y_ret = y_crf
    for other in others:
        y_ret = other if y_ret is y_crf else np.where(y_ret == y_crf, other, y_ret)
    return y_crf, y_ret


def _read(source: Source, sample: Sample, classes: int) -> Labels:
    if source == GROUND_TRUTH:
        if sample.ground_truth is None:
            raise DataError(f"{sample.id}: no ground-truth mask, expected one for labels=ground-truth")
        return _check_size(sample.ground_truth(), sample, f"ground truth of {sample.id}")
    path = source.file(sample.id)
    if not source.has(sample.id):
        raise DataError(f"{path}: no such label mask, expected one for photo {sample.id}")
    return _check_size(source.read(sample.id, classes), sample, str(path))


def _check_size(mask: Labels, sample: Sample, name: str) -> Labels:
    if mask.shape != (sample.height, sample.width):
        height, width = mask.shape
        raise DataError(
            f"{name}: mask of {width} x {height} pixels, expected {sample.width} x {sample.height} as its photo"
        )
    return mask
