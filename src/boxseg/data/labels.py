"""The labels a segmentation network learns from: masks in two folders, or the ground truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boxseg.dataset import Sample
from boxseg.errors import DataError
from boxseg.formats.masks import read_mask


def read_labels(
    sample: Sample, folders: tuple[Path, Path] | None, classes: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Y_crf and Y_ret of a photo, (H, W) uint8 each.

    Args:
        sample: The photo.
        folders: Holding `ID.png` of Y_crf and of Y_ret; may be one folder twice. None takes the ground truth
            for both: the fully supervised reference.
        classes: L, number of classes the masks may hold.

    Raises:
        DataError: A mask is missing, damaged, of another size than the photo or has a value out of range.
    """
    if folders is None:
        truth = _read_truth(sample)
        return truth, truth
    first, second = (folder / f"{sample.id}.png" for folder in folders)
    y_crf = _read_mask(first, sample, classes)
    return y_crf, y_crf if second == first else _read_mask(second, sample, classes)


def _read_truth(sample: Sample) -> NDArray[np.uint8]:
    if sample.ground_truth is None:
        raise DataError(f"{sample.id}: no ground-truth mask, expected one for labels=ground-truth")
    return _check_size(sample.ground_truth(), sample, f"ground truth of {sample.id}")


def _read_mask(path: Path, sample: Sample, classes: int) -> NDArray[np.uint8]:
    if not path.is_file():
        raise DataError(f"{path}: no such label mask, expected one for photo {sample.id}")
    return _check_size(read_mask(path, classes), sample, str(path))


def _check_size(mask: NDArray[np.uint8], sample: Sample, name: str) -> NDArray[np.uint8]:
    if mask.shape != (sample.height, sample.width):
        height, width = mask.shape
        raise DataError(
            f"{name}: mask of {width} x {height} pixels, expected {sample.width} x {sample.height} as its photo"
        )
    return mask
