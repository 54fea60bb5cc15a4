"""Unary energies and features in the shapes of pydensecrf.utils.

Names that a script expects are kept: `softmax_to_unary` and `compute_unary` are old ones of the first two.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def unary_from_softmax(
    sm: NDArray[np.floating], scale: float | None = None, clip: float | None = 1e-5
) -> NDArray[np.float32]:
    """Energies (C, N) of probabilities (C, ...).

    Args:
        sm: Probabilities, first axis the classes.
        scale: How far to trust them: mixed with the uniform distribution with this weight; None for fully.
        clip: Smaller probabilities are raised to it; None for none.
    """
    classes = len(sm)
    if scale is not None:
        if not 0 < scale <= 1:
            raise ValueError(f"scale={scale}, expected a number above 0 and at most 1")
        sm = scale * sm + (1 - scale) / classes
    if clip is not None:
        sm = np.clip(sm, clip, 1.0)
    return np.ascontiguousarray(-np.log(sm).reshape(classes, -1), dtype=np.float32)


def unary_from_labels(
    labels: ArrayLike, n_labels: int, gt_prob: float, zero_unsure: bool = True
) -> NDArray[np.float32]:
    """Energies (n_labels, N) of a label map: the label of a pixel has probability `gt_prob`.

    Args:
        labels: Labels of any shape; with `zero_unsure` 0 means unsure and classes count from 1.
        n_labels: Number of classes.
        gt_prob: Trust in the labels, between 0 and 1.
        zero_unsure: Whether label 0 marks pixels of which nothing is known.
    """
    if not 0 < gt_prob < 1:
        raise ValueError(f"gt_prob={gt_prob}, expected a number between 0 and 1")
    flat = np.asarray(labels).reshape(-1).astype(np.int64) - int(zero_unsure)
    if flat.min() < -int(zero_unsure) or flat.max() >= n_labels:
        raise ValueError(f"labels outside the {n_labels} classes")
    energy = np.full((n_labels, flat.size), -np.log((1 - gt_prob) / max(n_labels - 1, 1)), dtype=np.float32)
    sure = np.flatnonzero(flat >= 0)
    energy[flat[sure], sure] = -np.log(gt_prob)
    energy[:, flat < 0] = -np.log(1 / n_labels)
    return energy


def softmax_to_unary(sm: NDArray[np.floating], GT_PROB: float = 1) -> NDArray[np.float32]:
    """The old name of `unary_from_softmax`, without a smallest probability: 0 gives an infinite energy."""
    _warn("softmax_to_unary", "unary_from_softmax")
    with np.errstate(divide="ignore"):
        return unary_from_softmax(sm, scale=GT_PROB, clip=None)


def compute_unary(labels: ArrayLike, M: int, GT_PROB: float = 0.5) -> NDArray[np.float32]:
    """The old name of `unary_from_labels` for `M` classes; label 0 means unsure."""
    _warn("compute_unary", "unary_from_labels")
    return unary_from_labels(labels, M, GT_PROB)


def _warn(old: str, new: str) -> None:
    warnings.warn(f"{old} is deprecated, use {new} instead", DeprecationWarning, stacklevel=3)


def create_pairwise_gaussian(sdims: Sequence[float], shape: Sequence[int]) -> NDArray[np.float32]:
    """Position features (D, N) of a grid, each axis divided by its reach."""
    axes = [np.arange(size, dtype=np.float32) / np.float32(s) for size, s in zip(shape, sdims, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij")).reshape(len(axes), -1)


def create_pairwise_bilateral(
    sdims: Sequence[float], schan: float | Sequence[float], img: NDArray[np.generic], chdim: int = -1
) -> NDArray[np.float32]:
    """Position and channel features (D + channels, N) of an array.

    Args:
        sdims: Reach along each axis but that of the channels.
        schan: Tolerance of the channels, one number or one for each.
        img: The array.
        chdim: Axis of the channels; -1 where there is none.
    """
    values = np.asarray(img, dtype=np.float32)
    channels = values[None] if chdim == -1 else np.moveaxis(values, chdim, 0)
    tolerance = np.broadcast_to(np.asarray(schan, dtype=np.float32), len(channels))
    scaled = channels.reshape(len(channels), -1) / tolerance[:, None]
    return np.concatenate([create_pairwise_gaussian(sdims, channels.shape[1:]), scaled])
