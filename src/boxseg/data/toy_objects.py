"""Objects of the demo photos: each class has its own shape, texture and colours.

An object is painted on a square patch with coordinates u (right) and v (down) of about -1..1 in its own,
rotated frame. Its function returns each pixel's depth inside it (in radii, negative outside) and colour.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from boxseg.data.toy_textures import FloatArray, Rng

Colour = tuple[int, int, int]
Painted = tuple[FloatArray, FloatArray]
Painter = Callable[[Rng, FloatArray, FloatArray, tuple[Colour, Colour]], Painted]


def star(rng: Rng, u: FloatArray, v: FloatArray, colours: tuple[Colour, Colour]) -> Painted:
    """A five-pointed star of folded, striped paper."""
    inner, half = rng.uniform(0.42, 0.52), np.pi / 5
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    folded = np.mod(angle + half, 2 * half) - half  # 0 at a tip, ±half between two
    x, y = radius * np.cos(folded), radius * np.abs(np.sin(folded))
    edge = np.array([inner * np.cos(half) - 1, inner * np.sin(half)])
    depth = -(edge[0] * y - edge[1] * (x - 1)) / np.hypot(*edge)
    slant = rng.uniform(0, np.pi)
    across = np.cos(slant) * u + np.sin(slant) * v
    stripes = np.sin(across * rng.uniform(13, 17)) > 0
    fold = np.where(folded > 0, 1.12, 0.86)
    return -depth.astype(np.float32), _mix(colours, stripes) * fold[..., None]


def donut(rng: Rng, u: FloatArray, v: FloatArray, colours: tuple[Colour, Colour]) -> Painted:
    """A ring of dough with icing and sprinkles."""
    hole = rng.uniform(0.30, 0.40)
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    depth = np.minimum(0.97 - radius, radius - hole)
    drip = 0.06 * np.sin(angle * rng.integers(5, 9) + rng.uniform(0, 6)) + 0.03 * np.sin(angle * 11)
    icing = depth > 0.10 + drip
    image = _mix(colours, icing)
    middle = (0.97 + hole) / 2
    dome = 1.16 - 1.1 * ((radius - middle) / (0.97 - hole)) ** 2  # a torus lit from the front
    image *= dome[..., None]
    for sprinkle in range(26):
        x, y = _on_ring(rng, hole)
        turn = rng.uniform(0, np.pi)
        along = np.cos(turn) * (u - x) + np.sin(turn) * (v - y)
        aside = -np.sin(turn) * (u - x) + np.cos(turn) * (v - y)
        covered = (np.abs(along) < 0.085) & (np.abs(aside) < 0.032) & icing
        image[covered] = _SPRINKLES[sprinkle % len(_SPRINKLES)]
    return depth.astype(np.float32), image


def leaf(rng: Rng, u: FloatArray, v: FloatArray, colours: tuple[Colour, Colour]) -> Painted:
    """A bent leaf with veins and a toothed edge."""
    v = v + rng.uniform(-0.28, 0.28) * (u * u - 0.4)
    breadth = rng.uniform(0.32, 0.44)
    teeth = 0.035 * np.abs(np.mod(u * 9, 1) - 0.5)
    blade = np.clip(1 - (u * 1.03) ** 2, 0, None)
    body = breadth * blade**0.85 * (1.12 - 0.25 * u) + teeth * (blade > 0.05) - np.abs(v)
    stem = np.minimum(0.035 - np.abs(v), 1 - np.abs(u))
    veins = np.abs(np.mod((u - 0.75 * np.abs(v)) * 5, 1) - 0.5) < 0.07
    image = _mix(colours, veins | (np.abs(v) < 0.03))
    image *= (0.92 + 0.16 * (v > 0) + 0.10 * np.sin(u * 7 + v * 5))[..., None]
    return np.maximum(body, stem).astype(np.float32), image


def fish(rng: Rng, u: FloatArray, v: FloatArray, colours: tuple[Colour, Colour]) -> Painted:
    """A fish with scales, fins and an eye."""
    height = rng.uniform(0.42, 0.54)
    x = u - 0.18
    body = (1 - np.hypot(x / 0.80, v / height)) * height
    tail_x = -(u + 0.42)  # 0 at its root, 0.56 at its end
    tail = np.minimum.reduce([0.10 + 0.72 * tail_x - np.abs(v), tail_x, 0.56 - tail_x - 0.16 * np.cos(4 * v)])
    fin = np.minimum.reduce([height + 0.22 - 0.45 * np.abs(u - 0.05) + v, 0.42 - np.abs(u), -v - 0.25])
    row = np.floor(v * 6.5)
    scale = np.hypot(np.mod(u * 6.5 + 0.5 * np.mod(row, 2), 1) - 0.5, np.mod(v * 6.5, 1))
    image = _mix(colours, (np.abs(scale - 0.62) < 0.16) & (body > 0) & (u < 0.5))
    rays = (np.mod(v * 9 + u, 1) < 0.3) & (body <= 0)
    image[rays] = np.array(colours[1]) * 0.9
    image *= (1.08 - 0.55 * np.clip(v, -0.3, 0.5))[..., None]
    image[np.abs(u - 0.55) < 0.025 + 0.03 * np.cos(3 * v)] *= 0.7  # the gill
    _eye(image, u, v, 0.74, -0.10, 0.105)
    return np.maximum.reduce([body, tail, fin]).astype(np.float32), image


def furball(rng: Rng, u: FloatArray, v: FloatArray, colours: tuple[Colour, Colour]) -> Painted:
    """A furry ball with two eyes."""
    v = v * rng.uniform(1.0, 1.25)
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    phase = rng.uniform(0, 2 * np.pi, 4)
    swirl = angle + 0.5 * np.sin(3 * radius + phase[0])
    # Strands: waves around the centre whose phase drifts outwards.
    strands = sum(
        np.sin(count * swirl + phase[i] + 5 * np.sin(2.5 * radius + i)) for i, count in enumerate((17, 29, 43))
    )
    depth = 0.84 + 0.05 * strands - radius
    shade = np.clip(0.5 + 0.22 * strands, 0, 1)
    image = _blend(colours, shade.astype(np.float32))
    image *= (1.12 - 0.30 * radius**2 - 0.12 * v)[..., None]
    for side in (-1, 1):
        _eye(image, u, v, side * 0.26, -0.12, 0.17)
    image[np.hypot(u, (v - 0.14) * 1.4) < 0.08] = (40, 26, 30)
    return depth.astype(np.float32), image


def _on_ring(rng: Rng, hole: float) -> tuple[float, float]:
    angle, radius = rng.uniform(0, 2 * np.pi), rng.uniform(hole + 0.14, 0.84)
    return radius * np.cos(angle), radius * np.sin(angle)


def _eye(image: FloatArray, u: FloatArray, v: FloatArray, x: float, y: float, size: float) -> None:
    distance = np.hypot(u - x, v - y)
    image[distance < size] = (250, 250, 246)
    image[distance < 0.58 * size] = (20, 20, 26)
    image[np.hypot(u - x - 0.2 * size, v - y + 0.25 * size) < 0.2 * size] = (250, 250, 250)


def _mix(colours: tuple[Colour, Colour], second: NDArray[np.bool_]) -> FloatArray:
    return np.array(colours, dtype=np.float32)[second.astype(np.intp)]


def _blend(colours: tuple[Colour, Colour], share: FloatArray) -> FloatArray:
    first, second = (np.array(colour, dtype=np.float32) for colour in colours)
    return first + share[..., None] * (second - first)


_SPRINKLES: tuple[Colour, ...] = (
    (250, 240, 90),
    (90, 200, 250),
    (255, 255, 255),
    (120, 230, 120),
    (240, 80, 80),
)

# Sorted, as a reader of a VOC folder sorts them. Several colour pairs per class, to choose one that stands out.
OBJECTS: dict[str, tuple[Painter, tuple[tuple[Colour, Colour], ...]]] = {
    "donut": (
        donut,
        (((214, 160, 96), (244, 126, 178)), ((206, 150, 90), (98, 54, 38)), ((222, 172, 110), (250, 238, 226))),
    ),
    "fish": (
        fish,
        (
            ((250, 134, 40), (255, 226, 190)),
            ((52, 92, 214), (150, 206, 255)),
            ((126, 60, 172), (232, 176, 250)),
        ),
    ),
    "furball": (
        furball,
        (((92, 52, 28), (222, 156, 92)), ((46, 46, 56), (168, 168, 184)), ((196, 170, 136), (255, 248, 232))),
    ),
    "leaf": (
        leaf,
        (((40, 140, 44), (176, 226, 110)), ((206, 78, 24), (252, 190, 92)), ((14, 92, 66), (128, 214, 160))),
    ),
    "star": (
        star,
        (((214, 32, 44), (255, 246, 232)), ((250, 200, 30), (212, 96, 16)), ((24, 116, 190), (250, 246, 200))),
    ),
}
