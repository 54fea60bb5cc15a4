"""Gaussian filtering on the permutohedral lattice, in plain torch: any device, differentiable.

Source: Adams, Baek and Davis (2010): splat, blur, slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from torch import Tensor

from boxseg.crf.embedding import KEY_LIMIT, Embedding, embed


@dataclass(frozen=True)
class Lattice:
    """The lattice points that the feature vectors of one image, or of several, touch.

    Attributes:
        points: (d + 1, N), int32: the points around each feature vector, 0 … size − 1.
        weights: (d + 1, N), float32: their barycentric weights.
        order: (N·(d + 1),), int64: places in the flattened `points`, those of the same lattice point together.
        starts: (size + 1,), int64: where in `order` the places of a lattice point start.
        edges: For each of the d + 1 axes the pairs of neighbours, (2, M), int32: a point and the next.
    """

    points: Tensor
    weights: Tensor
    order: Tensor
    starts: Tensor
    edges: list[Tensor]

    @classmethod
    def of(cls, features: Tensor, counts: Sequence[int] | None = None) -> Lattice:
        """The lattice of feature vectors (N, d), float32.

        They are those of the first image, then of the second, and so on; `counts` says how many each image has,
        by default there is one image. Images share no lattice point.

        Raises:
            ValueError: A lattice coordinate does not fit in 16 bits.
        """
        n, d = features.shape
        counts = [n] if counts is None else counts
        owner = _numbers(counts, features.device)
        # pydensecrf's results show that it embeds pixels four at a time and fills the last four with zero
        # vectors. Their points hold no value but pass values on in the blur: Q of dark pixels moves by 1e-3.
        filled = [image for image, count in enumerate(counts) if count % 4]
        if filled:
            features = torch.cat([features, features.new_zeros(len(filled), d)])
            owner = torch.cat([owner, torch.tensor(filled, device=owner.device)])
        embedding = embed(features)
        if int(embedding.base.abs().max()) + 2 * (d + 1) > KEY_LIMIT:
            raise ValueError(f"features reach {float(features.abs().max()):.4g}σ: divide them by a larger σ")
        index = _Index(embedding, owner)
        weights, points, order, held = embedding.weights, index.points, index.order, index.held
        if filled:
            corner, vector = order // len(features), order % len(features)
            order = (corner * n + vector)[vector < n]
            held = held - torch.bincount(points[:, n:].reshape(-1), minlength=len(held))
            weights, points = weights[:, :n].contiguous(), points[:, :n].contiguous()
        starts = torch.cat([held.new_zeros(1), held.cumsum(0)])
        edges = [index.edges(axis) for axis in range(d + 1)]
        return cls(points, weights, order, starts, edges)

    @classmethod
    def joined(cls, parts: Sequence[Lattice]) -> Lattice:
        """Several lattices as one, their feature vectors concatenated."""
        counts = [part.points.shape[1] for part in parts]
        total = sum(counts)
        pixels, points = offsets(counts), offsets([part.size for part in parts])
        places = offsets([len(part.order) for part in parts])
        return cls(
            torch.cat([part.points + offset for part, offset in zip(parts, points, strict=True)], dim=1),
            torch.cat([part.weights for part in parts], dim=1),
            torch.cat(
                [
                    part.order // count * total + part.order % count + offset
                    for part, count, offset in zip(parts, counts, pixels, strict=True)
                ]
            ),
            torch.cat(
                [part.starts[:-1] + offset for part, offset in zip(parts, places, strict=True)]
                + [parts[-1].starts[-1:] + places[-1]]
            ),
            [
                torch.cat([edges + offset for edges, offset in zip(axis, points, strict=True)], dim=1)
                for axis in zip(*(part.edges for part in parts), strict=True)
            ],
        )

    @property
    def size(self) -> int:
        """Number of lattice points."""
        return len(self.starts) - 1

    def filter(self, values: Tensor) -> Tensor:
        """Sum of the values, weighted by the Gaussian of the feature distance: (N, C) → (N, C)."""
        return self.slice(self.blur(self.splat(values)))

    def splat(self, values: Tensor) -> Tensor:
        """Spread the values (N, C) over the lattice points: (size, C)."""
        spread = values.new_zeros(self.size, values.shape[1])
        for points, weights in zip(self.points, self.weights.to(values.dtype), strict=True):
            spread.index_add_(
                0, points.long(), weights[:, None] * values
            )  # 32-bit indices are slower on the CPU
        return spread

    def blur(self, spread: Tensor) -> Tensor:
        """Convolve with (½, 1, ½) along each of the d + 1 axes in turn: (size, C) → (size, C)."""
        for here, there in self.edges:
            here, there = here.long(), there.long()
            before, after = spread.index_select(0, here).mul_(0.5), spread.index_select(0, there).mul_(0.5)
            # A point has one neighbour on each side: no row is added to twice.
            spread = spread.index_add(0, there, before).index_add_(0, here, after)
        return spread

    def slice(self, spread: Tensor) -> Tensor:
        """Interpolate the lattice (size, C) at the feature vectors: (N, C)."""
        d = len(self.points) - 1
        weights = self.weights.to(spread.dtype) * (1 / (1 + 2.0**-d))
        result = weights[0, :, None] * spread.index_select(0, self.points[0])
        for corner in range(1, d + 1):
            result.addcmul_(weights[corner, :, None], spread.index_select(0, self.points[corner]))
        return result

    def normalised(self) -> Lattice:
        """The lattice of the symmetrically normalised kernel: n·K(n·values), n = 1 / √(K1)."""
        ones = self.weights.new_ones(self.points.shape[1], 1)
        return replace(self, weights=self.weights / torch.sqrt(self.filter(ones)[:, 0] + 1e-20))


def _numbers(counts: Sequence[int], device: torch.device) -> Tensor:
    """0 repeated as often as the first count says, 1 as the second says, and so on."""
    often = torch.tensor(counts, device=device)
    return torch.repeat_interleave(often, output_size=sum(counts))


def offsets(counts: Sequence[int]) -> list[int]:
    """Sum of the counts before each."""
    return [0, *accumulate(counts)][:-1]


class _Index:
    """The distinct lattice points of an embedding, in ascending order of their coordinates.

    The image and the coordinates of a point are the digits of one 64-bit number. Where the next digit would
    overflow, the distinct numbers so far are ranked; their rank is the first digit of what follows.

    `owner` (N,), int64, is the image of each feature vector.

    Attributes:
        points: (d + 1, N), int32: position of each point of the embedding among the distinct ones.
        order: ((d + 1)·N,), int64: places in the flattened `points`, ascending by point, then by place.
        held: (size,), int64: how many places each distinct point has.
    """

    def __init__(self, embedding: Embedding, owner: Tensor) -> None:
        corners, n = embedding.base.shape
        d = corners - 1
        low, high = torch.aminmax(embedding.base[:d], dim=1)
        # Room for the other points around a vector and for their neighbours: no digit ever overflows.
        self._low: list[int] = (low - 2 * d).tolist()
        self._radix: list[int] = (high - low + 4 * d + 1).tolist()
        self._levels: list[tuple[int, Tensor]] = []  # number of digits so far, sorted distinct numbers
        code = owner.expand(corners, n)
        room = int(owner.max()) + 1
        for axis in range(d):
            if room * self._radix[axis] >= 2**63:
                distinct, code = torch.unique(code, return_inverse=True)
                self._levels.append((axis, distinct))
                room = len(distinct)
            code = code * self._radix[axis]
            for corner in range(corners):
                code[corner] += embedding.coordinate(axis, corner) - self._low[axis]
            room *= self._radix[axis]
        code, self.order = torch.sort(code.reshape(-1), stable=True)
        distinct, code, self.held = torch.unique_consecutive(code, return_inverse=True, return_counts=True)
        self._levels.append((d, distinct))
        code = code.to(torch.int32)
        self.points = torch.empty_like(code).scatter_(0, self.order, code).reshape(corners, n)
        first = self.order[self.held.cumsum(0) - self.held]
        self._owner = owner[first % n]
        self._keys = [embedding.coordinate(axis, first // n, first % n) for axis in range(d)]

    def edges(self, axis: int) -> Tensor:
        """Pairs (2, M), int32, of a point and the next along the axis: all coordinates + 1, its own − d."""
        d = len(self._keys)
        code, done = self._owner, 0
        known = torch.ones_like(code, dtype=torch.bool)
        for digits, distinct in self._levels:
            for i in range(done, digits):
                step = -d if i == axis else 1
                code = code * self._radix[i] + (self._keys[i] + (step - self._low[i]))
            place = torch.searchsorted(distinct, code).clamp_(max=len(distinct) - 1)
            known &= distinct[place] == code
            code, done = place, digits
        here = known.nonzero()[:, 0]
        return torch.stack([here, code[here]]).to(torch.int32)
