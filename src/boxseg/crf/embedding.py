"""Where a feature vector lies in the permutohedral lattice.

Every arithmetic step is float32 in a fixed order and none is fused: a pixel that falls on the other side of a
simplex boundary moves its label. The C++ path repeats these steps bit by bit.

Source: Adams, Baek and Davis, Fast High-Dimensional Filtering Using the Permutohedral Lattice (2010), sections
3.1 to 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

KEY_LIMIT = 32767
"""Coordinates of lattice points are 16-bit."""


def axis_scales(d: int) -> list[float]:
    """Scale of each feature, so that the blur in the lattice has a standard deviation of one."""
    # Rounded to float32 before it is divided: where it is rounded moves Q by up to 1e-4.
    reach = float(np.float32(math.sqrt(2.0 / 3.0) * (d + 1)))
    return [reach / math.sqrt((i + 1) * (i + 2)) for i in range(d)]


def elevate(features: Tensor) -> Tensor:
    """Features (N, d) on the hyperplane of the lattice: (N, d + 1), rows summing to 0, float32."""
    d = features.shape[1]
    scales = torch.tensor(axis_scales(d), dtype=torch.float32, device=features.device)
    scaled = features * scales
    elevated: list[Tensor] = [torch.empty(0)] * (d + 1)
    total = torch.zeros_like(scaled[:, 0])
    for j in range(d, 0, -1):
        step = scaled[:, j - 1]
        elevated[j] = total - step * j
        total = total + step
    elevated[0] = total
    return torch.stack(elevated, dim=1)


def embed(features: Tensor) -> tuple[Tensor, Tensor]:
    """The d + 1 lattice points around each feature vector, and their barycentric weights.

    Args:
        features: (N, d), float32.

    Returns:
        Keys (N, d + 1, d), int64: the first d coordinates of each point. Weights (N, d + 1), float32.
    """
    n, d = features.shape
    elevated = elevate(features)
    nearest = torch.round(elevated / (d + 1))
    base = nearest * (d + 1)
    order = torch.argsort(elevated - base, dim=1, descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(d + 1, device=order.device).expand(n, -1))
    # The rounded point may lie off the hyperplane: walk back along the largest errors.
    rank = rank + nearest.sum(dim=1, keepdim=True).to(rank.dtype)
    wrap = (rank < 0).to(rank.dtype) - (rank > d).to(rank.dtype)
    rank = rank + wrap * (d + 1)
    base = base + (wrap * (d + 1)).to(base.dtype)

    y = (elevated - base) / (d + 1)
    y = torch.empty_like(y).scatter_(1, rank, y)
    first = y[:, d:] + (1 - y[:, :1])
    weights = torch.cat([first, (y[:, :-1] - y[:, 1:]).flip(1)], dim=1)

    remainder = torch.arange(d + 1, device=rank.device)[None, :, None]
    lowered = (rank[:, None, :d] > d - remainder).to(torch.int64) * (d + 1)
    keys = base[:, None, :d].to(torch.int64) + remainder - lowered
    return keys, weights


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
