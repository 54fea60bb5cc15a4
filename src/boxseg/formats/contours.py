"""Outlines of masks as polygons along pixel edges, and connected regions of pixels.

Polygons are half-open as boxes are: the mask of one pixel at the upper left is (0, 0), (1, 0), (1, 1), (0, 1).
Painted again by COCO's rule, the outline of a mask without holes gives exactly its pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.int64]

# Right, down, left, up.
_STEPS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])


def trace_rings(mask: NDArray[np.bool_]) -> list[Ring]:
    """Every boundary between a mask (H, W) and the rest, in the order of first pixels, row by row.

    Pixels that touch only at a corner are kept apart: a ring outlines pixels joined by their sides, or a hole.

    Returns:
        The corners of each ring, (n, 2) x and y in pixels, the mask on its right: on the screen, outlines run
        clockwise, holes counterclockwise.
    """
    if not mask.any():
        return []
    starts, follow = _edges(mask)
    width = mask.shape[1] + 1
    directions = starts % 4
    column, row = starts // 4 % width, starts // 4 // width
    following = follow.tolist()
    seen = bytearray(len(starts))
    rings: list[Ring] = []
    for edge in range(len(starts)):
        if seen[edge]:
            continue
        edges = []
        while not seen[edge]:
            seen[edge] = 1
            edges.append(edge)
            edge = following[edge]
        order = np.array(edges)
        corners = order[directions[order] != directions[np.roll(order, 1)]]
        rings.append(np.stack([column[corners], row[corners]], axis=1))
    return rings


def _edges(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixel sides that bound the mask, as 4 · first vertex + direction, and which one follows each."""
    height, width = mask.shape
    inside = np.pad(mask, 1)
    corner = np.zeros((height + 1, width + 1, 4), dtype=bool)
    corner[:, :-1, 0] = inside[1:, 1:-1] & ~inside[:-1, 1:-1]  # along the upper side, the pixel below it
    corner[:-1, :, 1] = inside[1:-1, :-1] & ~inside[1:-1, 1:]  # down the right side of the pixel on the left
    corner[:, 1:, 2] = inside[:-1, 1:-1] & ~inside[1:, 1:-1]  # back along the lower side of the pixel above
    corner[1:, :, 3] = inside[1:-1, 1:] & ~inside[1:-1, :-1]  # up the left side of the pixel on the right
    exists = corner.ravel()
    starts = np.flatnonzero(exists)
    directions = starts % 4
    vertex = starts // 4 + _STEPS[directions, 0] + _STEPS[directions, 1] * (width + 1)
    # Turn right first, round the same pixel: pixels that touch only at this corner stay apart.
    follow = 4 * vertex + (directions + 3) % 4
    for turn in (0, 1):
        option = 4 * vertex + (directions + turn) % 4
        follow = np.where(exists[option], option, follow)
    return starts, np.searchsorted(starts, follow)


def area(ring: Ring) -> float:
    """Signed area of a ring, pixels: positive if it runs clockwise on the screen."""
    x, y = ring[:, 0], ring[:, 1]
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2


def fill_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask (H, W) with its holes filled; a gap at a corner is an opening."""
    regions, _ = connected_regions(np.pad(~mask, 1, constant_values=True))
    return np.asarray(regions != regions[0, 0])[1:-1, 1:-1]


def outlines(mask: NDArray[np.bool_]) -> list[Ring]:
    """Outlines of a mask (H, W) with its holes filled, the largest first; none lies inside another."""
    return sorted(trace_rings(fill_holes(mask)), key=area, reverse=True)


def join_rings(rings: list[Ring]) -> Ring:
    """Join one or more rings into one, by bridges of no width between their nearest corners."""
    joined, rest = rings[0], list(rings[1:])
    links = [_nearest(joined, ring) for ring in rest]
    while rest:
        chosen = min(range(len(rest)), key=lambda place: links[place][0])
        (_, start, end), ring = links.pop(chosen), rest.pop(chosen)
        place = int(np.flatnonzero((joined == start).all(axis=1))[0])
        entry = int(np.flatnonzero((ring == end).all(axis=1))[0])
        around = np.roll(ring, -entry, axis=0)
        joined = np.concatenate([joined[: place + 1], around, around[:1], joined[place:]])
        new = [_nearest(ring, other) for other in rest]
        links = [min(pair, key=lambda link: link[0]) for pair in zip(links, new, strict=True)]
    return joined


_Link = tuple[int, Ring, Ring]


def _nearest(one: Ring, other: Ring) -> _Link:
    """Squared distance of the nearest corners of two rings, pixels², and those corners."""
    links: list[_Link] = []
    for start in range(0, len(one), 1024):  # in parts: long outlines have thousands of corners
        part = one[start : start + 1024]
        distances = (part[:, :1] - other[:, 0]) ** 2 + (part[:, 1:] - other[:, 1]) ** 2
        row, column = divmod(int(distances.argmin()), len(other))
        links.append((int(distances[row, column]), part[row], other[column]))
    return min(links, key=lambda link: link[0])


def connected_regions(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Number the regions of a mask (H, W) in the order of first pixels: 0 outside, 1..n inside; return n, too.

    Pixels that touch, even only at a corner, are in one region.
    """
    height, width = mask.shape
    flat = np.pad(mask, ((0, 0), (1, 1))).astype(np.int8)
    rows, starts = np.nonzero(np.diff(flat) == 1)
    ends = np.nonzero(np.diff(flat) == -1)[1]
    step = width + 2
    # Runs of the next row that touch a run end at or after its start, and start at or before its end.
    first = np.searchsorted(rows * step + ends, (rows + 1) * step + starts, side="left")
    last = np.searchsorted(rows * step + starts, (rows + 1) * step + ends, side="right")
    parent = list(range(len(rows)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    for run, (low, high) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        for touching in range(low, high):
            one, other = root(run), root(touching)
            parent[max(one, other)] = min(one, other)
    roots = np.array([root(run) for run in range(len(rows))], dtype=np.int64)
    known, numbers = np.unique(roots, return_inverse=True)
    lengths = ends - starts
    pixels = np.repeat(rows * width + starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
    regions = np.zeros(height * width, dtype=np.int32)
    regions[pixels] = np.repeat(numbers + 1, lengths)
    return regions.reshape(height, width), len(known)
