"""Photos that EXIF turns, with one object, annotated on the upright photo or on the stored pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# What a camera stores for each EXIF orientation, from the standard's table of where row 0 and column 0 are.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}
# Where the point (x, y) of an upright photo of W x H is stored.
_POINTS = {
    1: lambda x, y, w, h: (x, y),
    2: lambda x, y, w, h: (w - x, y),
    3: lambda x, y, w, h: (w - x, h - y),
    4: lambda x, y, w, h: (x, h - y),
    5: lambda x, y, w, h: (y, x),
    6: lambda x, y, w, h: (y, w - x),
    7: lambda x, y, w, h: (h - y, w - x),
    8: lambda x, y, w, h: (h - y, x),
}
# The object, an L, which no turn and no mirror maps to itself.
L_SHAPE = ((6, 4), (26, 4), (26, 9), (14, 9), (14, 24), (6, 24))
RED = np.array([220, 10, 10])


def scene(size: tuple[int, int]) -> NDArray[np.uint8]:
    """An upright photo of (width, height): the L in red, on grey."""
    photo = np.full((size[1], size[0], 3), 90, dtype=np.uint8)
    photo[4:9, 6:26] = RED
    photo[9:24, 6:14] = RED
    return photo


def save_turned(path: Path, turn: int, size: tuple[int, int] = (48, 30)) -> Path:
    """Store the scene with an orientation; without loss, whatever the suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(np.ascontiguousarray(STORED[turn](scene(size)))).save(path, format="PNG", exif=exif)
    return path


def outline(turn: int, *, as_stored: bool, size: tuple[int, int] = (48, 30)) -> list[tuple[float, float]]:
    """Corners of the L on the stored pixels or on the upright photo."""
    return [_POINTS[turn if as_stored else 1](x, y, *size) for x, y in L_SHAPE]


def frame_size(turn: int, *, as_stored: bool, size: tuple[int, int] = (48, 30)) -> tuple[int, int]:
    """(width, height) in that frame."""
    return size[::-1] if as_stored and turn in (5, 6, 7, 8) else size


def is_red(photo: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The pixels of the object, as the photo shows it."""
    red: NDArray[np.bool_] = (photo == RED).all(axis=-1)
    return red
