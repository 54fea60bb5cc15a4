"""Outlines with fewer corners, and whole masks as polygons."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from boxseg.formats.bridges import join_rings
from boxseg.formats.components import ranges, split_regions
from boxseg.formats.contours import Ring, area, trace_rings


def mask_polygons(mask: NDArray[np.bool_], tolerance: float = 0.0) -> list[Ring]:
    """A polygon for each region of a mask (H, W), with its holes: these are reached over bridges of no width.

    Args:
        mask: One object.
        tolerance: As in `simplify_rings`; without one, painters by the even-odd rule get exactly the mask.

    Returns:
        The corners of each, (n, 2) x and y in pixels of the mask.
    """
    return [
        join_rings(simplify_rings(trace_rings(part), tolerance)) + np.array([left, top])
        for part, left, top in split_regions(mask)
    ]


def simplify_rings(rings: list[Ring], tolerance: float) -> list[Ring]:
    """Rings with some of their corners only, such that the others are within a distance of the new sides.

    A ring that would lose its area, or run the other way, keeps all of its corners: parts stay, and holes stay
    holes. Where two rings are nearer to each other than twice the tolerance, they may come to cross.

    Args:
        rings: Closed rings (n, 2) of three corners and more, in pixels.
        tolerance: The distance, in pixels; 0 leaves the rings as they are.

    Source: Douglas and Peucker, 1973, with the first corner and the one that is farthest from it as ends.
    """
    if tolerance <= 0 or not rings:
        return rings
    points = np.concatenate([ring[np.r_[: len(ring), 0]] for ring in rings])  # closed: the first corner again
    ends = np.cumsum([len(ring) + 1 for ring in rings])
    starts = ends - [len(ring) + 1 for ring in rings]
    stays = _corners_that_stay(points.astype(np.float64), starts, ends - 1, tolerance)
    found = []
    for ring, start, end in zip(rings, starts.tolist(), ends.tolist(), strict=True):
        simple = ring[stays[start : end - 1]]
        found.append(simple if area(simple) * area(ring) > 0 else ring)
    return found


def _corners_that_stay(
    points: NDArray[np.float64], starts: NDArray[np.int64], ends: NDArray[np.int64], tolerance: float
) -> NDArray[np.bool_]:
    """Which points (n, 2) of the lines from `starts` to `ends` (places of points) stay.

    All lines are split at once: to split them one by one would call NumPy for every corner that stays.
    """
    stays = np.zeros(len(points), dtype=bool)
    stays[starts] = stays[ends] = True
    while len(starts):
        long = ends - starts > 1
        starts, ends = starts[long], ends[long]
        between = ranges(starts + 1, ends)
        counts = ends - starts - 1
        if not len(between):
            break
        squares, unit = _scaled_distances(points, between, np.repeat(starts, counts), np.repeat(ends, counts))
        first_of_line = np.cumsum(counts) - counts
        highest = np.maximum.reduceat(squares, first_of_line)
        peaks = np.flatnonzero(squares == np.repeat(highest, counts))
        _, first = np.unique(np.repeat(np.arange(len(starts)), counts)[peaks], return_index=True)
        splits = highest > tolerance**2 * unit[first_of_line]
        middles = between[peaks[first]][splits]
        stays[middles] = True
        starts = np.concatenate([starts[splits], middles])
        ends = np.concatenate([middles, ends[splits]])
    return stays


def _scaled_distances(
    points: NDArray[np.float64], places: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of points from straight lines between two others each, as far as these reach: squares, and their unit.

    The unit is the squared length of the line. In it squares are whole numbers, and equal ones are found equal.
    """
    line, offset, beyond = (
        points[ends] - points[starts],
        points[places] - points[starts],
        points[places] - points[ends],
    )
    unit = np.maximum((line**2).sum(axis=1), 1.0)
    across = line[:, 0] * offset[:, 1] - line[:, 1] * offset[:, 0]
    squares = across**2
    squares = np.where((offset * line).sum(axis=1) <= 0, (offset**2).sum(axis=1) * unit, squares)
    squares = np.where((beyond * line).sum(axis=1) >= 0, (beyond**2).sum(axis=1) * unit, squares)
    return squares, unit
