"""Several rings as one, over bridges of no width: for formats in which an object is a single polygon.

The bridges are a shortest spanning tree: corners of two rings are linked, the nearest first, until all hang
together (Kruskal, 1956). A bridge is walked there and back, so that painters by the even-odd rule see nothing
of it, and a hole that is joined to its outline stays a hole.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from boxseg.formats.contours import Ring

Bridge = tuple[int, int]  # places of two corners among the corners of all rings


def join_rings(rings: list[Ring]) -> Ring:
    """One ring that goes round all of at least one, with all of their corners and two more for each bridge."""
    if len(rings) == 1:
        return rings[0]
    owners = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    corners = np.concatenate(rings)
    return corners[_walk(owners, _bridges(corners, owners, len(rings)))]


def _bridges(corners: Ring, owners: NDArray[np.int64], count: int) -> list[Bridge]:
    """The shortest bridges between rings that make one of them."""
    groups = np.arange(count)  # of each ring: rings that hang together have one number
    found: list[Bridge] = []
    for one, other in _close_pairs(corners, owners, groups):
        first, second = groups[owners[one]], groups[owners[other]]
        if first != second:
            groups[groups == second] = first
            found.append((one, other))
    return [*found, *_far_bridges(corners, groups[owners])]


def _close_pairs(corners: Ring, owners: NDArray[np.int64], groups: NDArray[np.int64]) -> Iterator[Bridge]:
    """Pairs of corners of two groups, the nearest first, as long as looking at all distances in turn pays.

    `groups` changes between the pairs: the caller joins them.
    """
    low = corners.min(axis=0)
    # An offset takes 15 µs and 30 ns a corner; to compare all corners, as `_far_bridges` does, 1.5 ns a pair of
    # them and 60 µs a ring.
    affordable = (len(corners) ** 2 / 20 + 2000 * len(groups)) / (len(corners) + 500)
    for radius, offsets in _offsets(affordable):
        width, height = (corners.max(axis=0) - low + 1 + 2 * radius).tolist()
        places = (corners[:, 1] - low[1] + radius) * width + corners[:, 0] - low[0] + radius
        lattice = np.full(width * height, -1, dtype=np.int64)
        lattice[places] = np.arange(len(corners))  # of two corners at one place, the later
        for across, down in offsets:
            partners = lattice[places + down * width + across]
            own = groups[owners]
            there = np.flatnonzero((partners >= 0) & (own != own[partners]))
            # One pair is enough of any two groups.
            keys = own[there] * len(groups) + own[partners[there]]
            for first in np.unique(keys, return_index=True)[1].tolist():
                yield int(there[first]), int(partners[there[first]])
            if len(there) and (groups == groups[0]).all():
                return


def _offsets(most: float) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Offsets of one half plane by their length, in bands of a doubling radius, about `most` of them."""
    inner, radius = -1, 2
    while radius * radius * math.pi / 2 <= most:
        half = [(x, y) for y in range(radius + 1) for x in range(-radius, radius + 1) if y > 0 or x >= 0]
        band = [(x, y) for x, y in half if inner < x * x + y * y <= radius * radius]
        yield radius, sorted(band, key=lambda offset: offset[0] ** 2 + offset[1] ** 2)
        inner, radius = radius * radius, 2 * radius


def _far_bridges(corners: Ring, groups: NDArray[np.int64]) -> Iterator[Bridge]:
    """The shortest bridges between groups of corners, from one group on always to the nearest (Prim, 1957)."""
    points = corners.astype(np.float64)  # their products are whole numbers, and exact
    squares = (points**2).sum(axis=1)
    rest = np.flatnonzero(groups != groups[0])
    new = np.flatnonzero(groups == groups[0])
    distance = np.full(len(rest), np.inf)
    nearest = np.zeros(len(rest), dtype=np.int64)
    while len(rest):
        for part in np.array_split(new, -(-len(new) * len(rest) // (1 << 20))):  # a million distances at a time
            # |p - q|² = |p|² + |q|² - 2 p·q
            between = squares[part] - 2 * points[rest] @ points[part].T
            choice = between.argmin(axis=1)
            closest = between[np.arange(len(rest)), choice] + squares[rest]
            nearest = np.where(closest < distance, part[choice], nearest)
            distance = np.minimum(distance, closest)
        chosen = int(distance.argmin())
        yield int(nearest[chosen]), int(rest[chosen])
        joins = groups[rest] == groups[rest[chosen]]
        new, rest, distance, nearest = rest[joins], rest[~joins], distance[~joins], nearest[~joins]


def _walk(owners: NDArray[np.int64], bridges: list[Bridge]) -> list[int]:
    """Places of corners in the order of a walk around all rings that crosses every bridge twice."""
    links = defaultdict(list)
    for one, other in bridges:
        links[one].append(other)
        links[other].append(one)
    starts = np.searchsorted(owners, np.arange(owners[-1] + 2)).tolist()
    walked: list[int] = []
    ahead = list(range(starts[1]))[::-1]
    while ahead:
        corner = ahead.pop()
        walked.append(corner)
        if links.get(corner):
            entry = links[corner].pop()
            links[entry].remove(corner)
            start, end = starts[owners[entry]], starts[owners[entry] + 1]
            around = [*range(entry, end), *range(start, entry), entry]
            ahead += [corner, *around[::-1]]
    return walked
