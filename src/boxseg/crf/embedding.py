"""Where a feature vector lies in the permutohedral lattice.

Every arithmetic step is float32 in a fixed order and none is fused: rounding that moves a pixel across a
simplex boundary changes its label. The C++ path repeats these steps bit by bit.

Source: Adams, Baek and Davis, Fast High-Dimensional Filtering Using the Permutohedral Lattice (2010), sections
3.1 to 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

KEY_LIMIT = 32767
"""Coordinates of lattice points are 16-bit."""


def axis_scales(d: int) -> list[float]:
    """Scale of each feature, so that the blur in the lattice has a standard deviation of one."""
    # Rounded to float32 before the division: the place of the rounding moves Q by up to 1e-4.
    reach = float(np.float32(math.sqrt(2.0 / 3.0) * (d + 1)))
    return [reach / math.sqrt((i + 1) * (i + 2)) for i in range(d)]


@dataclass(frozen=True)
class Embedding:
    """The d + 1 lattice points around each of N feature vectors.

    Attributes:
        base: (d + 1, N), int32: coordinates of the first of them, summing to 0.
        rank: (d + 1, N), int8, 0 … d: which coordinates are lowered first from one point to the next.
        weights: (d + 1, N), float32: barycentric weights of the points.
    """

    base: Tensor
    rank: Tensor
    weights: Tensor

    def coordinate(self, axis: int, corner: int | Tensor, chosen: Tensor | slice = slice(None)) -> Tensor:
        """Coordinate `axis` (M,), int64, of the points number `corner` around the chosen vectors."""
        d = len(self.base) - 1
        lowered = (self.rank[axis, chosen] > d - corner).to(torch.int64) * (d + 1)
        return self.base[axis, chosen] + corner - lowered


def elevate(features: Tensor) -> Tensor:
    """Features (N, d) on the hyperplane of the lattice: (d + 1, N), columns summing to 0, float32."""
    d = features.shape[1]
    scales = torch.tensor(axis_scales(d), dtype=torch.float32, device=features.device)
    elevated = features.new_empty(d + 1, len(features))
    total = torch.zeros_like(elevated[0])
    for j in range(d, 0, -1):
        step = features[:, j - 1] * scales[j - 1]
        elevated[j] = total - step * j
        total = total + step
    elevated[0] = total
    return elevated


def embed(features: Tensor) -> Embedding:
    """The d + 1 lattice points around each feature vector (N, d), float32."""
    d = features.shape[1]
    elevated = elevate(features)
    # A tensor, not a number: some devices turn a division by a number into a product with its reciprocal.
    period = torch.full((), d + 1, dtype=torch.float32, device=features.device)
    nearest = torch.round(elevated / period)
    base = nearest * period
    rank = _descending_order(elevated - base)
    # The rounded point may lie off the hyperplane: walk back along the largest errors.
    rank += nearest.sum(dim=0).to(torch.int8)
    wrap = (rank < 0).to(torch.int8) - (rank > d).to(torch.int8)
    rank += wrap * (d + 1)
    base += wrap * period

    y = (elevated - base) / period
    y = torch.empty_like(y).scatter_(0, rank.to(torch.int64), y)
    weights = torch.empty_like(y)
    weights[0] = y[d] + (1 - y[0])
    weights[1:] = (y[:-1] - y[1:]).flip(0)
    return Embedding(base.to(torch.int32), rank, weights)


def _descending_order(values: Tensor) -> Tensor:
    """Rank (M, N), int8, of each row among the rows of values (M, N): 0 the largest, the first of equals."""
    rank = torch.zeros_like(values, dtype=torch.int8)
    for i in range(len(values)):
        for j in range(i + 1, len(values)):
            less = values[i] < values[j]
            rank[i] += less
            rank[j] += ~less
    return rank


def largest_key(extents: Sequence[float]) -> float | None:
    """Bound on the lattice coordinates of features in [0, extents], or None where it exceeds 16 bits."""
    d = len(extents)
    steps = [extent * scale for extent, scale in zip(extents, axis_scales(d), strict=True)]
    # e[0] is the sum of all steps; e[j] lies between -j·step[j-1] and the sum of the steps behind it.
    reach = max(sum(steps), *(j * steps[j - 1] for j in range(1, d + 1)))
    # A lattice point of a pixel lies at most d + 1 away, its neighbours in the blur as far again.
    bound = reach + 2 * (d + 1)
    return bound if bound <= KEY_LIMIT else None


def smallest_sigma(extents: Callable[[float], Sequence[float]]) -> float:
    """The smallest σ, rounded up to four digits, for which the features of `extents(σ)` fit in 16 bits."""
    low, high = 0.0, 1.0
    while largest_key(extents(high)) is None:
        low, high = high, high * 2
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if largest_key(extents(middle)) is None else (low, middle)
    unit = 10.0 ** (math.floor(math.log10(high)) - 3)
    return math.ceil(high / unit) * unit
