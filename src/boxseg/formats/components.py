"""Regions of connected pixels: their numbers, holes in them, and masks cleaned of specks and pinholes.

Pixels that touch, also at a corner only, are of one region. A hole is what a mask encloses; a gap at a corner is
open, and so is the edge of the mask.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def connected_regions(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Number the regions of a mask (H, W) in the order of their first pixels: 0 outside, 1..n inside; and n."""
    height, width = mask.shape
    flat = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8))
    rows, starts = np.nonzero(flat == 1)
    ends = np.nonzero(flat == -1)[1]
    step = width + 2
    # Runs of the next row that touch a run end at its start or later, and start at its end or sooner.
    first = np.searchsorted(rows * step + ends, (rows + 1) * step + starts, side="left")
    last = np.searchsorted(rows * step + starts, (rows + 1) * step + ends, side="right")
    roots = _roots(len(rows), np.repeat(np.arange(len(rows)), last - first), _ranges(first, last))
    known, numbers = np.unique(roots, return_inverse=True)
    lengths = ends - starts
    regions = np.zeros(height * width, dtype=np.int32)
    regions[_ranges(rows * width + starts, rows * width + ends)] = np.repeat(numbers + 1, lengths)
    return regions.reshape(height, width), len(known)


def _ranges(first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers of half-open ranges, one range after the other."""
    lengths = last - first
    return np.repeat(first - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())


def _roots(count: int, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """The lowest of the items that each item 0..count-1 hangs together with, by links between two items."""
    root = np.arange(count)
    while len(one):
        low, high = np.minimum(root[one], root[other]), np.maximum(root[one], root[other])
        apart = low != high
        one, other = one[apart], other[apart]
        np.minimum.at(root, high[apart], low[apart])
        while not np.array_equal(root, further := root[root]):
            root = further
    return root


def fill_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask (H, W) and all that it encloses; a gap at a corner is open."""
    regions, _ = connected_regions(np.pad(~mask, 1, constant_values=True))
    return np.asarray(regions != regions[0, 0])[1:-1, 1:-1]
