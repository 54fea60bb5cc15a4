"""Random brightness, contrast and saturation of Pillow images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

GREY = (0.299, 0.587, 0.114)  # luma of ITU-R BT.601, as in Pillow's mode L


@dataclass(frozen=True, kw_only=True)
class Jitter:
    """Factors of a colour change, 1 for none, and the order in which they are applied.

    Contrast scales how far colours are from the mean grey of the image, saturation how far from their own grey.
    The order is a permutation of 0 (brightness), 1 (contrast), 2 (saturation).
    """

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    order: tuple[int, ...] = (0, 1, 2)


def jitter_colours(picture: Image.Image, jitter: Jitter) -> Image.Image:
    """The RGB picture with changed colours, rounded and clipped to 0..255 after each change."""
    for step in jitter.order:
        picture = (_brighten, _contrast, _saturate)[step](picture, jitter)
    return picture


def draw_jitter(strength: float, rng: np.random.Generator) -> Jitter:
    """Factors between 1 - strength and 1 + strength, not below 0, in a random order."""
    brightness, contrast, saturation = rng.uniform(max(0.0, 1 - strength), 1 + strength, size=3)
    order = tuple(int(step) for step in rng.permutation(3))
    return Jitter(brightness=brightness, contrast=contrast, saturation=saturation, order=order)


def _brighten(picture: Image.Image, jitter: Jitter) -> Image.Image:
    return picture.point(_table(jitter.brightness, 0.0))


def _contrast(picture: Image.Image, jitter: Jitter) -> Image.Image:
    mean = float(np.average(np.arange(256), weights=picture.convert("L").histogram()))
    return picture.point(_table(jitter.contrast, (1 - jitter.contrast) * mean))


def _saturate(picture: Image.Image, jitter: Jitter) -> Image.Image:
    kept, grey = jitter.saturation * np.eye(3), (1 - jitter.saturation) * np.tile(GREY, (3, 1))
    matrix = np.concatenate([kept + grey, np.zeros((3, 1))], axis=1)
    return picture.convert("RGB", tuple(matrix.ravel().tolist()))


def _table(factor: float, offset: float) -> list[int]:
    """factor · x + offset for every x in 0..255, clipped, once for each of three channels."""
    values = np.clip(np.rint(factor * np.arange(256) + offset), 0, 255).astype(int)
    return 3 * [int(value) for value in values]
