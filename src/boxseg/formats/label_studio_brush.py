"""Masks as Label Studio's brush stores them: the bytes of RGBA pixels in a run-length code.

The code is a stream of bits. It begins with the number of values (32 bits), the bits of a value less 1 (5)
and four widths less 1 (4 each). Blocks follow until there are enough values: whether it is a run (1 bit),
which of the widths its length has (2), the length less 1, and one value for the run, or else every value.

Source: RLE of `@thi.ng/rle-pack`, with which Label Studio's editor packs the pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxseg.config.data import MOST_PIXELS

_CHANNELS = 4
_VALUE_BITS = 8
_WIDTHS = (3, 4, 8, 16)  # as the editor writes them


def encode_brush(mask: NDArray[np.bool_]) -> list[int]:
    """The code of a mask (H, W), of which pixels inside are (255, 255, 255, 255) and all others 0."""
    pixels = mask.ravel()
    edges = np.flatnonzero(np.diff(pixels)) + 1
    lengths = np.diff(np.r_[0, edges, len(pixels)]) * _CHANNELS
    parts = [f"{_CHANNELS * len(pixels):032b}{_VALUE_BITS - 1:05b}", *(f"{width - 1:04b}" for width in _WIDTHS)]
    inside = bool(pixels[0])
    longest = 1 << _WIDTHS[-1]
    for length in lengths.tolist():
        value = "1" * _VALUE_BITS if inside else "0" * _VALUE_BITS
        for part in [longest] * (length // longest) + [length % longest] * bool(length % longest):
            choice = next(place for place, width in enumerate(_WIDTHS) if part <= 1 << width)
            parts.append(f"1{choice:02b}{part - 1:0{_WIDTHS[choice]}b}{value}")
        inside = not inside
    bits = "".join(parts)
    count = -(-len(bits) // 8)
    return list(int(bits.ljust(8 * count, "0"), 2).to_bytes(count, "big"))


def decode_brush(code: Any, width: int, height: int) -> NDArray[np.bool_]:
    """The pixels (H, W) of a brushed mask: where the last of its four channels is not 0.

    Raises:
        ValueError: The bytes are not such a code, or not of this size.
    """
    total = _CHANNELS * width * height
    if width * height > MOST_PIXELS:
        raise ValueError("brushed mask of too large a photo")
    try:
        bits = iter("".join(f"{byte:08b}" for byte in bytes(list(code))))
    except (TypeError, ValueError):
        raise ValueError("brush without run-length code") from None
    if _take(bits, 32) != total:
        raise ValueError(f"brushed mask of another size than {width} x {height}")
    word = _take(bits, 5) + 1
    widths = [_take(bits, 4) + 1 for _ in range(4)]
    runs: list[tuple[bool, int]] = []  # whether the value is not 0, and how often it repeats
    filled = 0
    while filled < total:
        is_run = _take(bits, 1)
        length = _take(bits, widths[_take(bits, 2)]) + 1
        repeated = length if is_run else 1
        runs += [(_take(bits, word) != 0, repeated) for _ in range(length // repeated)]
        filled += length
    if filled != total:
        raise ValueError("brushed mask whose runs do not fill it")
    inside, lengths = np.array(runs, dtype=np.int64).T
    alpha = np.arange(_CHANNELS - 1, total, _CHANNELS)
    mask: NDArray[np.bool_] = (inside != 0)[np.searchsorted(np.cumsum(lengths), alpha, side="right")]
    return mask.reshape(height, width)


def _take(bits: Iterator[str], count: int) -> int:
    """The number in the next bits, the highest bit first."""
    number = "".join(itertools.islice(bits, count))
    if len(number) < count:
        raise ValueError("brushed mask that ends too early")
    return int(number, 2)
