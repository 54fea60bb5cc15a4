"""The PASCAL VOC colour table, and overlays of labels on a photo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def voc_palette(size: int = 256) -> NDArray[np.uint8]:
    """The VOC colour table, (size, 3) uint8: bits of the index spread over R, G, B.

    Source: PASCAL VOC development kit, VOClabelcolormap.
    """
    index = np.arange(size)
    colours = np.zeros((size, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            value = (index >> (3 * bit + channel)) & 1
            colours[:, channel] |= (value << (7 - bit)).astype(np.uint8)
    return colours


def overlay(image: NDArray[np.uint8], labels: NDArray[np.uint8], opacity: float = 0.55) -> NDArray[np.uint8]:
    """The photo (H, W, 3) uint8 with its labels (H, W) painted over it; background and 255 stay clear."""
    painted: NDArray[np.uint8] = image.copy()
    palette = voc_palette()
    for picture, row, label in zip(painted, image, labels, strict=True):  # by rows: floats take memory
        paint = (label != 0) & (label != 255)
        picture[paint] = ((1 - opacity) * row[paint] + opacity * palette[label[paint]]).round()
    return painted
