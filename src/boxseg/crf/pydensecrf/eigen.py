"""The matrices of pydensecrf.eigen: NumPy arrays, which scripts turn them into anyway."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

MatrixXf = VectorXf = np.ndarray


def matrixXf(values: ArrayLike) -> NDArray[np.float32]:
    """A copy of a float32 matrix (m, n), such as Q for `stepInference`."""
    return _copy(values, 2)


def vectorXf(values: ArrayLike) -> NDArray[np.float32]:
    """A copy of a float32 vector (n,)."""
    return _copy(values, 1)


def _copy(values: ArrayLike, axes: int) -> NDArray[np.float32]:
    array = np.array(values)
    if array.ndim != axes or array.dtype != np.float32:
        raise ValueError(f"shape {array.shape}, type {array.dtype}: expected {axes} axes and float32")
    return array
