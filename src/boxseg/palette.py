"""Colours of the classes: VOC's in label files, others in pictures for people; and overlays on a photo."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# Colours of pictures lie on this grid of RGB values, and in these bounds of OKLab: none is near black, white or
# grey.
_STEP = 15
_LIGHTNESS, _CHROMA = (0.5, 0.9), 0.09
_FIRST = (225, 45, 45)
_TO_CONES = np.array(
    [
        (0.4122214708, 0.5363325363, 0.0514459929),
        (0.2119034982, 0.6806995451, 0.1073969566),
        (0.0883024619, 0.2817188376, 0.6299787005),
    ]
)
_TO_LAB = np.array(
    [
        (0.2104542553, 0.7936177850, -0.0040720468),
        (1.9779984951, -2.4285922050, 0.4505937099),
        (0.0259040371, 0.7827717662, -0.8086757660),
    ]
)


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


@lru_cache(maxsize=1)
def _picture_colours() -> NDArray[np.uint8]:
    """Colours (254, 3), each as far as can be from all before it in OKLab, from a red on."""
    grid = np.arange(0, 256, _STEP)
    rgb = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), -1).reshape(-1, 3).astype(np.uint8)
    lab = oklab(rgb)
    lightness, chroma = lab[:, 0], np.hypot(lab[:, 1], lab[:, 2])
    fits = (lightness >= _LIGHTNESS[0]) & (lightness <= _LIGHTNESS[1]) & (chroma >= _CHROMA)
    rgb, lab = rgb[fits], lab[fits]
    chosen = [int(np.abs(rgb.astype(int) - _FIRST).sum(1).argmin())]
    nearest = np.full(len(rgb), np.inf)
    while len(chosen) < 254:
        nearest = np.minimum(nearest, np.linalg.norm(lab - lab[chosen[-1]], axis=1))
        chosen.append(int(nearest.argmax()))
    return rgb[chosen]


def picture_palette(size: int = 256) -> NDArray[np.uint8]:
    """Colours for people to tell classes apart, (size, 3) uint8: 0 black, 255 white, else none dark or pale.

    VOC's table has colours near black (class 8 of 20: 64, 0, 0), and of 80 classes many look alike. Here each
    class is as far as can be from all before it, as the eye sees it.
    """
    return np.concatenate([np.zeros((1, 3), np.uint8), _picture_colours(), np.full((1, 3), 255, np.uint8)])[
        :size
    ]


def oklab(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """sRGB (..., 3) in OKLab, where equal distances look about equally far apart.

    Source: B. Ottosson, A perceptual color space for image processing, 2020.
    """
    share = rgb / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.cbrt(linear @ _TO_CONES.T) @ _TO_LAB.T)


def overlay(image: NDArray[np.uint8], labels: NDArray[np.uint8], opacity: float = 0.55) -> NDArray[np.uint8]:
    """The photo (H, W, 3) uint8 with its labels (H, W) painted over it; background and 255 stay clear."""
    painted: NDArray[np.uint8] = image.copy()
    palette = picture_palette()
    for picture, row, label in zip(painted, image, labels, strict=True):  # by rows: floats take memory
        paint = (label != 0) & (label != 255)
        picture[paint] = ((1 - opacity) * row[paint] + opacity * palette[label[paint]]).round()
    return painted
