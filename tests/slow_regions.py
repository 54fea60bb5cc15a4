"""Regions of masks pixel by pixel, to compare with."""

from __future__ import annotations

import itertools

import numpy as np


def flood(mask: np.ndarray, corners: bool) -> np.ndarray:
    """Number regions pixel by pixel."""
    steps = [s for s in itertools.product((-1, 0, 1), repeat=2) if any(s) and (corners or 0 in s)]
    regions = np.zeros(mask.shape, dtype=int)
    number = 0
    for start in zip(*np.nonzero(mask), strict=True):
        if regions[start]:
            continue
        number += 1
        stack = [start]
        while stack:
            row, column = stack.pop()
            inside = 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]
            if inside and mask[row, column] and not regions[row, column]:
                regions[row, column] = number
                stack += [(row + down, column + across) for down, across in steps]
    return regions


def filled(mask: np.ndarray) -> np.ndarray:
    """The mask with its holes: all that the outside does not reach. Pixels joined by their sides enclose."""
    outside = np.pad(~mask, 1, constant_values=True)
    regions = flood(outside, corners=True)
    return (regions != regions[0, 0])[1:-1, 1:-1]
