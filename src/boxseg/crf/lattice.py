"""Gaussian filtering on the permutohedral lattice, in plain torch: any device, differentiable.

Source: Adams, Baek and Davis (2010): splat, blur, slice.
"""

from __future__ import annotations

import torch
from torch import Tensor

from boxseg.crf.embedding import KEY_LIMIT, embed


class Lattice:
    """The lattice points that a set of feature vectors touches.

    Args:
        features: (N, d), float32.

    Attributes:
        points: (N, d + 1), int64: the points around each feature vector, 0 … size − 1.
        weights: (N, d + 1), float32: their barycentric weights.
        neighbours: (d + 1, 2, size), int64: the two neighbours of a point along each axis; `size` where none.
        size: Number of points.

    Raises:
        ValueError: A lattice coordinate does not fit in 16 bits.
    """

    def __init__(self, features: Tensor) -> None:
        n, d = features.shape
        # pydensecrf's results show that it embeds pixels four at a time and fills the last four with zero
        # vectors. Their points hold no value but pass values on in the blur: Q of dark pixels moves by 1e-3.
        if n % 4:
            features = torch.cat([features, features.new_zeros(1, d)])
        keys, weights = embed(features)
        self.weights = weights[:n]
        if int(keys.abs().max()) + 2 * (d + 1) > KEY_LIMIT:
            raise ValueError(f"features reach {float(features.abs().max()):.4g}σ: divide them by a larger σ")
        index = _Index(keys.reshape(-1, d))
        self.points = index.positions.reshape(-1, d + 1)[:n]
        self.size = index.size
        self.neighbours = torch.stack(
            [torch.stack([index.find(_moved(index.keys, j, sign)) for sign in (-1, 1)]) for j in range(d + 1)]
        )

    def filter(self, values: Tensor) -> Tensor:
        """Sum of the values, weighted by the Gaussian of the feature distance: (N, C) → (N, C)."""
        return self.slice(self.blur(self.splat(values)))

    def splat(self, values: Tensor) -> Tensor:
        """Spread the values (N, C) over the lattice points: (size, C)."""
        weights = self.weights.to(values.dtype)
        spread = values.new_zeros(self.size, values.shape[1])
        for corner in range(self.points.shape[1]):
            spread = spread.index_add(0, self.points[:, corner], weights[:, corner, None] * values)
        return spread

    def blur(self, spread: Tensor) -> Tensor:
        """Convolve with (½, 1, ½) along each of the d + 1 axes in turn: (size, C) → (size, C)."""
        nothing = spread.new_zeros(1, spread.shape[1])
        for before, after in self.neighbours:
            padded = torch.cat([spread, nothing])
            spread = spread + 0.5 * (padded.index_select(0, before) + padded.index_select(0, after))
        return spread

    def slice(self, spread: Tensor) -> Tensor:
        """Interpolate the lattice (size, C) at the feature vectors: (N, C)."""
        corners = self.points.shape[1]
        weights = self.weights.to(spread.dtype) * (1 / (1 + 2.0 ** -(corners - 1)))
        result = weights[:, :1] * spread.index_select(0, self.points[:, 0])
        for corner in range(1, corners):
            result = result + weights[:, corner, None] * spread.index_select(0, self.points[:, corner])
        return result


def _moved(keys: Tensor, axis: int, sign: int) -> Tensor:
    """Keys (M, d) of the neighbours along one axis: ±1 on every coordinate, ∓d on that of the axis itself."""
    d = keys.shape[1]
    step = torch.full((d,), sign, dtype=keys.dtype, device=keys.device)
    if axis < d:
        step[axis] = -sign * d
    return keys + step


class _Index:
    """Distinct rows of an integer matrix, and where a row is among them.

    Rows become 64-bit numbers with one digit a column. Where the columns so far would overflow, the distinct
    numbers are counted through and their rank is the first digit of what follows.
    """

    def __init__(self, rows: Tensor) -> None:
        self._low = rows.min(dim=0).values
        self._radix = (rows.max(dim=0).values - self._low + 1).tolist()
        self._levels: list[tuple[list[int], Tensor]] = []  # columns packed, sorted distinct numbers
        columns, room, start = [0], self._radix[0], 0
        code = rows[:, 0] - self._low[0]
        for column in range(1, rows.shape[1] + 1):
            last = column == rows.shape[1]
            if last or room * self._radix[column] >= 2**62:
                distinct, code = torch.unique(code, return_inverse=True)
                self._levels.append((columns[start:], distinct))
                start, room = len(columns), len(distinct)
            if not last:
                code = code * self._radix[column] + (rows[:, column] - self._low[column])
                room *= self._radix[column]
                columns.append(column)
        self.positions = code
        self.size = len(self._levels[-1][1])
        self.keys = rows.new_zeros(self.size, rows.shape[1])
        self.keys[code] = rows

    def find(self, rows: Tensor) -> Tensor:
        """Position of each row (M, d) among the distinct ones, `size` where it is not among them."""
        digits = rows - self._low
        known = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
        code = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
        for columns, distinct in self._levels:
            for column in columns:
                known &= (digits[:, column] >= 0) & (digits[:, column] < self._radix[column])
                code = code * self._radix[column] + digits[:, column]
            place = torch.searchsorted(distinct, code).clamp_(max=len(distinct) - 1)
            known &= distinct[place] == code
            code = torch.where(known, place, 0)
        return torch.where(known, code, self.size)
