"""Numbers in JSON as tools write them: ids as `1`, `1.0` or `"1"`, sides of boxes as text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Generic, TypeGuard, TypeVar

T = TypeVar("T")

Id = int | str

_NO = ("", "0", "0.0", "false", "no")


def is_number(value: Any) -> TypeGuard[float]:
    """Whether it is a number of JSON, which `true` is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def number(value: Any) -> float | None:
    """A number, also as text; None for anything else, and for one that is not finite."""
    try:
        found = float(value) if is_number(value) or isinstance(value, str) else math.nan
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def whole_number(value: Any) -> int | None:
    """The whole number that an id is, in any notation; None if it is none."""
    if is_number(value) and not isinstance(value, float):
        return value
    found = number(value)
    return int(found) if found is not None and found.is_integer() else None


def as_id(value: Any) -> Id | None:
    """An id as it is in the file, 1.0 as 1; None for what is no id."""
    if type(value) is int:  # as nearly all are
        return value
    return value if isinstance(value, str) and value else whole_number(value)


def is_set(flag: Any) -> bool:
    """Whether a flag is set: 1, "1", true; not 0, "0", "false" or null."""
    return flag.strip().lower() not in _NO if isinstance(flag, str) else bool(flag)


class ById(Generic[T]):
    """Entries by their ids, found in any notation of a number as long as only one entry has it."""

    def __init__(self, entries: Mapping[Id, T]) -> None:
        self._entries = entries
        numbers = {key: whole_number(key) for key in entries}
        counts = Counter(numbers.values())
        self._by_number = {
            value: entries[key] for key, value in numbers.items() if value is not None and counts[value] == 1
        }

    def find(self, key: Any) -> T | None:
        """The entry that an id means; None if there is none, or it may be any of several."""
        exact = self._entries.get(key) if type(key) in (int, str) else None
        if exact is not None:
            return exact
        value = whole_number(key)
        return None if value is None else self._by_number.get(value)
