"""Windows of photos that are too large to be worked on at once; without torch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Tile = int | Literal["auto"]
Pixels = NDArray[np.uint8]
Rectangle = tuple[int, int, int, int]  # left, top, right, bottom, half-open
ScoreMaps = NDArray[np.float32]

# Default side of the windows, pixels.
SIDE = 2048
# Smaller windows would be all overlap.
SMALLEST = 64
# Windows begin at multiples of every network's stride: features far from edges then equal the whole photo's.
STEP = 32


def window_side(size: tuple[int, int], tile: Tile, most: int) -> int | None:
    """Side of the windows, pixels, for a photo of this size (H, W); None if it is predicted whole.

    `tile` is the side of windows for photos that are longer, 0 for no windows; with `auto` photos of more than
    `most` pixels get windows.
    """
    if tile == "auto":
        return SIDE if size[0] * size[1] > most else None
    return tile if tile and max(size) > tile else None


def blended(
    photo: Pixels, side: int, compute: Callable[[Pixels], ScoreMaps]
) -> Iterator[tuple[slice, ScoreMaps]]:
    """Yield rows of a photo (H, W, 3) from the top, and their scores (C, n, W), by overlapping windows.

    `compute` gives scores (C, h, w) of a window (h, w, 3) of `side` pixels; one at the end of the photo may be
    up to 31 longer. Two windows share an eighth of the side, along which the weight passes gradually from one
    to the other.
    """
    rows, columns = (_spans(length, side) for length in photo.shape[:2])
    pending: ScoreMaps | None = None
    for place, (top, bottom, row_weights) in enumerate(rows):
        strip: ScoreMaps | None = None
        for left, right, column_weights in columns:
            scores = compute(photo[top:bottom, left:right])
            if strip is None:
                strip = np.zeros((len(scores), bottom - top, photo.shape[1]), dtype=np.float32)
            strip[:, :, left:right] += scores * (row_weights[:, None] * column_weights)
        assert strip is not None
        if pending is not None:
            strip[:, : pending.shape[1]] += pending
        end = rows[place + 1][0] if place + 1 < len(rows) else bottom
        yield slice(top, end), strip[:, : end - top]
        pending = strip[:, end - top :].copy()


def cores(size: tuple[int, int], side: int, margin: int) -> Iterator[tuple[Rectangle, Rectangle]]:
    """Split a photo of size (H, W) into cores of about this side, pixels, each with the window around it.

    For results that depend on what is near only: computed on windows, they hold on their cores. A window is its
    core with a margin, cut at the photo's edges; both are (left, top, right, bottom).
    """
    edges = [
        [length * place // -(-length // side) for place in range(-(-length // side) + 1)] for length in size
    ]
    for top, bottom in itertools.pairwise(edges[0]):
        for left, right in itertools.pairwise(edges[1]):
            core = (left, top, right, bottom)
            yield core, around(core, margin, size)


def around(rectangle: Rectangle, margin: int, size: tuple[int, int]) -> Rectangle:
    """A rectangle with a margin, within a photo of size (H, W)."""
    left, top, right, bottom = rectangle
    return (
        max(left - margin, 0),
        max(top - margin, 0),
        min(right + margin, size[1]),
        min(bottom + margin, size[0]),
    )


def shared(one: Rectangle, other: Rectangle) -> Rectangle | None:
    """What two rectangles share; None if nothing."""
    left, top = max(one[0], other[0]), max(one[1], other[1])
    right, bottom = min(one[2], other[2]), min(one[3], other[3])
    return (left, top, right, bottom) if left < right and top < bottom else None


def _spans(length: int, side: int) -> list[tuple[int, int, ScoreMaps]]:
    """First pixel, one past the last, and weights of the windows along a side; they sum to 1 at each pixel."""
    overlap = max(side // 8, 1)
    last = max(0, length - side) // STEP * STEP
    starts = sorted({*range(0, last, (side - overlap) // STEP * STEP), last})
    spans = [(start, min(start + side, length) if start < last else length) for start in starts]
    ramps, total = [], np.zeros(length)
    for start, stop in spans:
        near = np.minimum(np.arange(1, stop - start + 1), np.arange(stop - start, 0, -1))
        ramps.append(np.minimum(near / (overlap + 1), 1))
        total[start:stop] += ramps[-1]
    return [
        (start, stop, (ramp / total[start:stop]).astype(np.float32))
        for (start, stop), ramp in zip(spans, ramps, strict=True)
    ]
