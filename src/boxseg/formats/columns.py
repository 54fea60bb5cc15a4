"""Columns that hold many short texts, ragged rows and outlines in a few arrays, for data sets of any size.

A Python object takes 50 bytes and more: a million photos with their boxes as objects take gigabytes. Here a
text takes its bytes and the place where they end, and an outline eight bytes a coordinate.
"""

from __future__ import annotations

import json
import struct
import sys
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[Any]  # of the smallest type that holds all values

# File systems may have names that are no UTF-8, and JSON half a character: Python has both as surrogates.
_SURROGATES = "surrogatepass"
_POLYGONS, _LISTS, _JSON, _OBJECT = b"P", b"L", b"J", b"O"


class Texts:
    """Texts or bytes, one after the other in one piece of memory.

    Attributes:
        data: All bytes.
        ends: (n,) where each ends.
    """

    __slots__ = ("data", "ends")

    def __init__(self, data: Any, ends: Whole) -> None:
        self.data, self.ends = memoryview(data), ends

    def __len__(self) -> int:
        return len(self.ends)

    def __reduce__(self) -> tuple[Any, ...]:
        return Texts, (self.data.tobytes(), self.ends)

    def raw(self, place: int) -> memoryview:
        """The bytes at a place."""
        start, end = span(self.ends, place)
        return self.data[start:end]

    def text(self, place: int) -> str:
        """The text at a place."""
        return str(self.raw(place), "utf-8", _SURROGATES)

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self.data.nbytes + self.ends.nbytes


@dataclass(slots=True)
class TextsMade:
    """Texts that grow."""

    data: bytearray = field(default_factory=bytearray)
    ends: array[int] = field(default_factory=lambda: array("q"))

    def add(self, text: str) -> None:
        """Add a text."""
        self.data += text.encode("utf-8", _SURROGATES)
        self.ends.append(len(self.data))

    def add_bytes(self, *parts: Any) -> int:
        """Add bytes, and return their place."""
        for part in parts:
            self.data += part
        self.ends.append(len(self.data))
        return len(self.ends) - 1

    def done(self) -> Texts:
        """The texts."""
        return Texts(self.data, narrow(self.ends))


def narrow(values: array[int]) -> Whole:
    """Whole numbers as an array of the smallest type that holds all of them."""
    numbers = np.frombuffer(values, dtype=np.int64) if len(values) else np.zeros(0, dtype=np.int64)
    low, high = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
    kind = np.min_scalar_type(high) if low >= 0 else np.promote_types(np.min_scalar_type(low), np.int8)
    if low < 0 and high > np.iinfo(kind).max:
        kind = np.dtype(np.int64)
    return numbers.astype(kind)


def decimals(values: array[float]) -> NDArray[np.float64]:
    """Numbers as an array, without a copy."""
    return np.frombuffer(values, dtype=np.float64) if len(values) else np.zeros(0)


def span(ends: Whole, place: int) -> tuple[int, int]:
    """Where a row starts and ends."""
    return (int(ends[place - 1]) if place else 0), int(ends[place])


def fits(value: int) -> bool:
    """Whether a whole number has a place in a column."""
    return -(1 << 63) < value < 1 << 63


class Table:
    """Values that many rows share, each kept once; rows have their numbers."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}

    def number(self, value: Any) -> int:
        """The number of a value."""
        return self._numbers.setdefault(value, len(self._numbers))

    def done(self) -> list[Any]:
        """The values by their numbers."""
        return list(self._numbers)


def pack_region(region: Any, made: TextsMade, others: dict[int, Any]) -> int:
    """Add an outline, and return its place; what cannot be packed goes to `others` as it is."""
    if type(region) is list and region:
        kinds = {type(polygon) for polygon in region}
        if kinds == {array} and all(polygon.typecode == "d" for polygon in region):
            lengths = (len(polygon) for polygon in region)
            head = struct.pack(f"<{len(region) + 1}I", len(region), *lengths)
            return made.add_bytes(_POLYGONS, head, *(memoryview(polygon).cast("B") for polygon in region))
        if kinds == {list} and _are_floats(region):
            head = struct.pack(f"<{len(region) + 1}I", len(region), *map(len, region))
            return made.add_bytes(_LISTS, head, *(array("d", polygon).tobytes() for polygon in region))
    if type(region) in (list, dict):
        try:
            said = json.dumps(region)
            if json.loads(said) == region:
                return made.add_bytes(_JSON, said.encode("ascii"))
        except (TypeError, ValueError, RecursionError):
            pass
    place = made.add_bytes(_OBJECT)
    others[place] = region
    return place


def _are_floats(polygons: Iterable[list[Any]]) -> bool:
    return all({float}.issuperset(map(type, polygon)) for polygon in polygons)


def _named(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; equal keys of several are one text, as in a file that is read at once."""
    return {sys.intern(key): value for key, value in pairs}


def unpack_region(texts: Texts, place: int, others: dict[int, Any]) -> Any:
    """The outline at a place, of the types that it had."""
    raw = texts.raw(place)
    kind = bytes(raw[:1])
    if kind == _OBJECT:
        return others[place]
    if kind == _JSON:
        return json.loads(bytes(raw[1:]), object_pairs_hook=_named)
    (count,) = struct.unpack_from("<I", raw, 1)
    lengths = struct.unpack_from(f"<{count}I", raw, 5)
    start, polygons = 5 + 4 * count, []
    for length in lengths:
        values = array("d")
        values.frombytes(raw[start : start + 8 * length])
        start += 8 * length
        polygons.append(values if kind == _POLYGONS else values.tolist())
    return polygons
