"""Regions of connected pixels: their numbers, holes in them, and masks cleaned of specks and pinholes.

Pixels that touch, also at a corner only, are of one region. A hole is what a mask encloses; a gap at a corner
is open, and what the edge of the mask cuts is none.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Region(NamedTuple):
    """The pixels of one region, cut to the window around them."""

    mask: NDArray[np.bool_]  # (h, w)
    left: int  # of the window in the mask that it is of, pixels
    top: int


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
    roots = _roots(len(rows), np.repeat(np.arange(len(rows)), last - first), ranges(first, last))
    known, numbers = np.unique(roots, return_inverse=True)
    values = (numbers + 1).astype(np.int32)
    regions = filled(rows * width + starts, rows * width + ends, height * width, values)
    return regions.reshape(height, width), len(known)


def filled(
    first: NDArray[np.int64], last: NDArray[np.int64], size: int, values: NDArray[Any] | None = None
) -> NDArray[Any]:
    """An array of `size` with a value (True) in each of some half-open ranges, ascending, and zeros between."""
    values = np.ones(len(first), dtype=bool) if values is None else values
    alternating = np.zeros(2 * len(first) + 1, dtype=values.dtype)
    alternating[1::2] = values
    edges = np.column_stack([first, last]).ravel()
    return np.repeat(alternating, np.diff(edges, prepend=0, append=size))


def ranges(first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
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


def split_regions(mask: NDArray[np.bool_]) -> list[Region]:
    """The regions of a mask (H, W), each in its own window, in the order of their first pixels."""
    regions, count = connected_regions(mask)
    rows, columns = np.nonzero(regions)
    numbers = regions[rows, columns] - 1
    bounds = np.zeros((4, count), dtype=np.int64)
    bounds[:2] = max(mask.shape)
    for side, values in enumerate((columns, rows)):
        np.minimum.at(bounds[side], numbers, values)
        np.maximum.at(bounds[side + 2], numbers, values + 1)
    return [
        Region(regions[top:bottom, left:right] == number, left, top)
        for number, (left, top, right, bottom) in enumerate(bounds.T.tolist(), start=1)
    ]


def clean_mask(mask: NDArray[np.bool_], smallest: float, hole: float) -> NDArray[np.bool_]:
    """An object's mask (H, W) without its specks and pinholes; of a mask with pixels, something always stays.

    Regions and holes are judged by the area of the whole mask, which changes with them: this goes on until
    nothing more does, so that a clean mask is left as it is.

    Args:
        mask: One object.
        smallest: Regions smaller than this share of the mask's area are removed, but never the largest (of
            equal ones, the first).
        hole: Holes up to this share of the mask's area are filled; 0 for none, infinity for all.
    """
    while True:
        cleaned = _without_pinholes(_without_specks(mask, smallest), hole)
        if np.array_equal(cleaned, mask):
            return cleaned
        mask = cleaned  # with fewer regions and holes together, so this ends


def _without_specks(mask: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    regions, count = connected_regions(mask)
    if count < 2:
        return mask
    sizes = np.bincount(regions.ravel())
    sizes[0] = 0
    stays = sizes >= share * sizes.sum()
    stays[sizes.argmax()] = True
    stays[0] = False
    return np.asarray(stays[regions])


def _without_pinholes(mask: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    area = int(mask.sum())
    if share == 0 or area == 0:
        return mask
    regions, _ = connected_regions(np.pad(~mask, 1, constant_values=True))
    fills = np.bincount(regions.ravel()) <= share * area
    fills[regions[0, 0]] = False
    fills[0] = True  # the mask itself
    return np.asarray(fills[regions])[1:-1, 1:-1]
