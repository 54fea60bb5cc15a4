"""Inputs of a call: one image, a batch or lists, in NumPy or torch, checked before any work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any] | Tensor
Arrays = Array | Sequence[Array]
AnyArray = TypeVar("AnyArray", bound=Array)
Matrix = tuple[tuple[float, ...], ...]

MOST_WEIGHT = 1e15
"""Weights and penalties at most: the product of two, times what all classes say, is a number in float32."""

PROBABILITY_TOLERANCE = 1e-3
"""How far probabilities may leave 0..1, as those of half-precision networks do."""


def paired(images: Arrays, probabilities: Arrays, compatibility: Matrix | None) -> list[tuple[Tensor, Tensor]]:
    """Images (H, W, 3) uint8 and their probabilities (C, H, W), one pair for each image, on one device.

    Raises:
        ValueError: Shapes, types or values are not usable.
    """
    pictures, scores = _items(images, "images"), _items(probabilities, "probabilities")
    if len(pictures) != len(scores):
        raise ValueError(f"{len(scores)} probability maps for {len(pictures)} images: give one for each image")
    pairs = []
    for number, (image, score) in enumerate(zip(pictures, scores, strict=True)):
        where = f" of item {number}" if len(pictures) > 1 else ""
        check_image(image, where)
        check_probabilities(score, (image.shape[0], image.shape[1]), compatibility, where)
        pairs.append((image.to(score.device), score))
    return pairs


def check_image(image: Tensor, where: str = "") -> None:
    """Raise a ValueError for anything but an image (H, W, 3) uint8."""
    if image.ndim != 3 or image.shape[2] != 3 or image.shape[0] == 0 or image.shape[1] == 0:
        raise ValueError(f"image{where} of shape {tuple(image.shape)}, expected (height, width, 3)")
    if image.dtype != torch.uint8:
        raise ValueError(f"image{where} of type {image.dtype}, expected raw RGB in uint8")


def check_probabilities(
    scores: Tensor, size: tuple[int, int], compatibility: Matrix | None, where: str = ""
) -> None:
    """Raise a ValueError unless these are probabilities (C, H, W) that fit the image and compatibility."""
    if scores.ndim != 3 or scores.shape[0] == 0:
        raise ValueError(
            f"probabilities{where} of shape {tuple(scores.shape)}, expected (classes, height, width)"
        )
    if tuple(scores.shape[1:]) != size:
        raise ValueError(
            f"probabilities{where} of {scores.shape[2]}x{scores.shape[1]} pixels for an image of "
            f"{size[1]}x{size[0]}: resize them to the image"
        )
    if compatibility is not None and len(scores) != len(compatibility):
        raise ValueError(
            f"probabilities{where} of {len(scores)} classes for a compatibility of {len(compatibility)}"
        )
    if not scores.dtype.is_floating_point:
        raise ValueError(f"probabilities{where} of type {scores.dtype}, expected floating-point numbers")
    low, high = (float(v) for v in torch.aminmax(scores.detach()))
    if low != low or high != high:
        raise ValueError(f"probabilities{where} contain NaN")
    if low < -PROBABILITY_TOLERANCE or high > 1 + PROBABILITY_TOLERANCE:
        raise ValueError(
            f"probabilities{where} from {low:.4g} to {high:.4g}, expected 0 to 1: take the softmax of logits"
        )


def as_compatibility(values: Array | Sequence[Sequence[float]]) -> Matrix:
    """Penalties (C, C) of pairs of labels, as tuples, which can be compared.

    Raises:
        ValueError: They are not a square, symmetric matrix of numbers up to `MOST_WEIGHT`.
    """
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.size == 0:
        raise ValueError(f"compatibility of shape {matrix.shape}, expected (classes, classes)")
    if not np.isfinite(matrix).all():
        raise ValueError("compatibility contains NaN or infinity")
    if (largest := float(abs(matrix).max())) > MOST_WEIGHT:
        raise ValueError(f"compatibility contains a penalty of {largest:.4g}, expected at most {MOST_WEIGHT:g}")
    if not np.array_equal(matrix, matrix.T):
        raise ValueError("compatibility is not symmetric: a pair of labels has one penalty, whichever is first")
    return tuple(tuple(float(v) for v in row) for row in matrix)


def as_tensor(array: Array) -> Tensor:
    """A tensor that shares the array's memory, or a copy if torch cannot use that."""
    if isinstance(array, Tensor):
        return array
    usable = np.ascontiguousarray(array)
    return torch.from_numpy(usable if usable.flags.writeable else usable.copy())


def room_for(pairs: list[tuple[Tensor, Tensor]], probabilities: Arrays) -> Tensor | list[Tensor]:
    """Empty results in float32: one tensor for a batch, else one for each image."""
    if isinstance(probabilities, np.ndarray | Tensor) and probabilities.ndim == 4:
        return torch.empty(tuple(probabilities.shape))
    return [torch.empty(scores.shape) for _, scores in pairs]


def like_input(results: Tensor | list[Tensor], probabilities: Arrays) -> Arrays:
    """Results in the form of the probabilities: one, a batch or a list; NumPy or torch."""
    if not isinstance(probabilities, np.ndarray | Tensor):
        return [cast(Array, like_input([q], p)) for q, p in zip(results, probabilities, strict=True)]
    if isinstance(results, Tensor):
        whole = results
    elif probabilities.ndim == 3:
        whole = results[0]
    else:
        whole = torch.stack(results) if results else as_tensor(probabilities).clone()
    if isinstance(probabilities, Tensor):
        return whole.to(probabilities.dtype)
    return whole.numpy().astype(probabilities.dtype, copy=False)


def _items(arrays: Arrays, name: str) -> list[Tensor]:
    if isinstance(arrays, np.ndarray | Tensor):
        if arrays.ndim not in (3, 4):
            raise ValueError(f"{name} of shape {tuple(arrays.shape)}, expected 3 dimensions, or 4 for a batch")
        return [as_tensor(arrays)] if arrays.ndim == 3 else list(as_tensor(arrays))
    for item in arrays:
        if not isinstance(item, np.ndarray | Tensor):
            raise ValueError(f"{name} contain a {type(item).__name__}, expected NumPy arrays or torch tensors")
    return [as_tensor(item) for item in arrays]
