"""Lattices of several images in one, and the tables that other code reads from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from boxseg.crf.embedding import embed
from boxseg.crf.lattice import Lattice

COUNTS = [35, 1, 40, 6]  # some are divisible by 4, some are not


def features(dimensions: int, reach: float) -> list[Tensor]:
    rng = np.random.default_rng(dimensions)
    return [torch.from_numpy(rng.uniform(0, reach, (count, dimensions)).astype(np.float32)) for count in COUNTS]


def lattice_by_dictionary(vectors: Tensor) -> tuple[dict[tuple[int, ...], int], dict[tuple[int, int], None]]:
    """Points by their d coordinates, and the pairs of neighbours (axis, point), one point at a time."""
    if len(vectors) % 4:
        vectors = torch.cat([vectors, vectors.new_zeros(1, vectors.shape[1])])
    d = vectors.shape[1]
    embedding = embed(vectors)
    columns = [[embedding.coordinate(axis, c).tolist() for axis in range(d)] for c in range(d + 1)]
    keys = {key for corner in columns for key in zip(*corner, strict=True)}
    numbers = {key: number for number, key in enumerate(sorted(keys))}
    edges = {}
    for key, number in numbers.items():
        for axis in range(d + 1):
            after = tuple(c - d if i == axis else c + 1 for i, c in enumerate(key))
            if after in numbers:
                edges[axis, number] = None
    return numbers, edges


@pytest.mark.parametrize(("dimensions", "reach"), [(1, 30), (2, 8), (5, 3), (5, 900), (11, 20)])
def test_points_and_neighbours(dimensions: int, reach: float) -> None:
    for vectors in features(dimensions, reach):
        numbers, expected = lattice_by_dictionary(vectors)
        lattice = Lattice.of(vectors)
        assert lattice.size == len(numbers)
        assert len(lattice.edges) == dimensions + 1
        edges = {(axis, here): None for axis, pairs in enumerate(lattice.edges) for here in pairs[0].tolist()}
        assert edges == expected
        embedding = embed(vectors)
        for corner in range(dimensions + 1):
            keys = zip(*(embedding.coordinate(a, corner).tolist() for a in range(dimensions)), strict=True)
            assert lattice.points[corner].tolist() == [numbers[key] for key in keys]


@pytest.mark.parametrize(("dimensions", "reach"), [(2, 8), (5, 3), (11, 20)])
def test_images_share_nothing(dimensions: int, reach: float) -> None:
    parts = features(dimensions, reach)
    alone = [Lattice.of(part) for part in parts]
    values = torch.randn(sum(COUNTS), 3, generator=torch.Generator().manual_seed(0))
    expected = torch.cat(
        [lattice.filter(v) for lattice, v in zip(alone, values.split(COUNTS), strict=True)],
    )
    together, joined = Lattice.of(torch.cat(parts), COUNTS), Lattice.joined(alone)
    for lattice in (together, joined):
        assert lattice.size == sum(one.size for one in alone)
        torch.testing.assert_close(lattice.filter(values), expected, rtol=0, atol=1e-6)
    for name in ("points", "weights", "order", "starts"):
        assert torch.equal(getattr(together, name), getattr(joined, name)), name
    assert all(torch.equal(a, b) for a, b in zip(together.edges, joined.edges, strict=True))


def test_order_lists_the_places_of_each_point() -> None:
    lattice = Lattice.of(torch.cat(features(5, 2)), COUNTS)
    flat = lattice.points.reshape(-1)
    for point in range(lattice.size):
        places = lattice.order[lattice.starts[point] : lattice.starts[point + 1]]
        assert places.tolist() == (flat == point).nonzero()[:, 0].tolist()


def test_weights_are_barycentric() -> None:
    lattice = Lattice.of(torch.cat(features(5, 40)), COUNTS)
    assert (lattice.weights >= -1e-6).all()
    torch.testing.assert_close(lattice.weights.sum(0), torch.ones(sum(COUNTS)))
