"""Grounds of the demo photos: noise made to look like wood, meadow, sand, water, cloth and stone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FloatArray = NDArray[np.float32]
Rng = np.random.Generator


def noise(rng: Rng, height: int, width: int, cells: tuple[float, float]) -> FloatArray:
    """Smooth noise (H, W) of about -1..1; `cells` is the number of bumps down and across."""
    rows, columns = (max(2, round(count) + 1) for count in cells)
    coarse = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def octaves(rng: Rng, height: int, width: int, cells: float, count: int = 4) -> FloatArray:
    """Fractal noise (H, W): each octave twice as fine and half as strong."""
    ratio = height / width
    layers = [
        0.5**octave * noise(rng, height, width, (cells * ratio * 2**octave, cells * 2**octave))
        for octave in range(count)
    ]
    return np.asarray(np.sum(layers, axis=0), dtype=np.float32)


def ground(rng: Rng, height: int, width: int) -> tuple[FloatArray, FloatArray]:
    """A random ground: (H, W, 3) float32 0..255, and its mean colour (3,)."""
    paint, colours = _GROUNDS[rng.integers(len(_GROUNDS))]
    base = np.array(colours[rng.integers(len(colours))], dtype=np.float32) + rng.normal(0, 5, 3).astype(
        np.float32
    )
    relief = paint(rng, height, width)
    # The relief changes the hue a little, too: real surfaces are not one colour made lighter and darker.
    tint = np.array([1.0, 0.93, 0.82], dtype=np.float32)
    image = base * (1 + 0.16 * relief[..., None] * tint) * _light(rng, height, width)[..., None]
    image = image.clip(0, 255).astype(np.float32)
    return image, image.mean(axis=(0, 1))


def _light(rng: Rng, height: int, width: int) -> FloatArray:
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    side = 0.16 * (np.cos(angle) * x + np.sin(angle) * y)
    return np.asarray(1.02 + side - 0.10 * (x * x + y * y) / 2, dtype=np.float32)


def _wood(rng: Rng, height: int, width: int) -> FloatArray:
    y = np.arange(height, dtype=np.float32)[:, None]
    plank = rng.uniform(28, 44)
    grain = noise(rng, height, width, (height / 3, 4)) * 0.6
    rings = np.sin(y / 3 + 6 * noise(rng, height, width, (6, 3))) * 0.5
    tone = rng.uniform(-0.5, 0.5, int(height / plank) + 2).astype(np.float32)[(y / plank).astype(int)]
    gap = (y % plank < 1.5) * 1.6
    return np.asarray(grain + rings + tone - gap, dtype=np.float32)


def _meadow(rng: Rng, height: int, width: int) -> FloatArray:
    blades = noise(rng, height, width, (height / 7, width / 2)) + 0.8 * noise(
        rng, height, width, (height / 4, width / 2)
    )
    return np.asarray(0.9 * blades + 0.7 * octaves(rng, height, width, 4, 2), dtype=np.float32)


def _sand(rng: Rng, height: int, width: int) -> FloatArray:
    grains = rng.normal(0, 0.55, (height, width)).astype(np.float32)
    return grains + 0.7 * octaves(rng, height, width, 3, 3)


def _water(rng: Rng, height: int, width: int) -> FloatArray:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    warp = 7 * octaves(rng, height, width, 4, 2)
    ripples = np.sin(y / 3.2 + warp) + 0.5 * np.sin((y + 0.4 * x) / 2.1 - warp)
    return np.asarray(0.6 * ripples + 0.5 * octaves(rng, height, width, 2, 2), dtype=np.float32)


def _cloth(rng: Rng, height: int, width: int) -> FloatArray:
    y, x = np.mgrid[:height, :width]
    period = int(rng.integers(22, 34))
    bands = (y % period < period // 3) * 0.9 + (x % period < period // 3) * 0.9 - 0.6
    weave = ((x + y) % 4 < 2) * 0.5 - 0.25
    return np.asarray(bands + weave + 0.5 * octaves(rng, height, width, 3, 2), dtype=np.float32)


def _stone(rng: Rng, height: int, width: int) -> FloatArray:
    veins = 1 - 2.5 * np.abs(octaves(rng, height, width, 4, 4))
    return np.asarray(0.8 * veins + rng.normal(0, 0.18, (height, width)), dtype=np.float32)


_Painter = Callable[[Rng, int, int], FloatArray]
_Colours = tuple[tuple[int, int, int], ...]
# Muted, so that objects stand out from most of them.
_GROUNDS: tuple[tuple[_Painter, _Colours], ...] = (
    (_wood, ((156, 118, 82), (120, 86, 60), (188, 160, 126))),
    (_meadow, ((96, 124, 66), (78, 108, 70), (136, 142, 86))),
    (_sand, ((206, 188, 150), (178, 158, 128))),
    (_water, ((86, 128, 150), (104, 146, 150), (66, 96, 128))),
    (_cloth, ((142, 122, 140), (118, 130, 148), (160, 146, 132))),
    (_stone, ((150, 150, 150), (110, 114, 122), (182, 180, 176))),
)
