"""Outlines of masks as polygons along the edges of pixels.

Polygons are half-open as boxes are: the mask of one pixel at the upper left is (0, 0), (1, 0), (1, 1), (0, 1).
Painted again by COCO's rule, the outline of a mask without holes gives exactly its pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from boxseg.formats.components import fill_holes

Ring = NDArray[np.int64]

# Right, down, left, up.
_STEPS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])


def trace_rings(mask: NDArray[np.bool_]) -> list[Ring]:
    """Every boundary between a mask (H, W) and the rest, in the order of their first pixels, row by row.

    Pixels that touch at a corner only are kept apart: each ring is the outline of pixels joined by their sides,
    or of a hole in them.

    Returns:
        The corners of each, (n, 2) x and y in pixels, the mask on the right hand: outlines run clockwise as
        seen on the screen, holes the other way.
    """
    if not mask.any():
        return []
    starts, follow = _edges(mask)
    width = mask.shape[1] + 1
    directions = starts % 4
    column, row = starts // 4 % width, starts // 4 // width
    turns = np.zeros(len(starts), dtype=bool)
    turns[follow] = directions[follow] != directions
    following = follow.tolist()
    seen = bytearray(len(starts))
    edges: list[int] = []  # those of one ring after those of another
    ends: list[int] = []
    for edge in range(len(starts)):
        if seen[edge]:
            continue
        while not seen[edge]:
            seen[edge] = 1
            edges.append(edge)
            edge = following[edge]
        ends.append(len(edges))
    order = np.array(edges)
    corners = np.stack([column[order], row[order]], axis=1)[turns[order]]
    return np.split(corners, np.cumsum(turns[order])[np.array(ends[:-1], dtype=np.int64) - 1])


def _edges(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sides of pixels that bound the mask, as 4 · first vertex + direction, and which one follows each."""
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
    # To the right first: round the same pixel, so that pixels touching at this corner stay apart.
    follow = 4 * vertex + (directions + 3) % 4
    for turn in (0, 1):
        option = 4 * vertex + (directions + turn) % 4
        follow = np.where(exists[option], option, follow)
    return starts, np.searchsorted(starts, follow)


def area(ring: Ring) -> float:
    """Signed area of a ring, pixels: positive where it runs clockwise on the screen."""
    x, y = ring[:, 0], ring[:, 1]
    around = np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1]) + x[-1] * y[0] - x[0] * y[-1]
    return float(around) / 2


def outlines(mask: NDArray[np.bool_]) -> list[Ring]:
    """Outlines of a mask (H, W) with its holes filled, the largest first. None lies in another."""
    return sorted(trace_rings(fill_holes(mask)), key=area, reverse=True)
