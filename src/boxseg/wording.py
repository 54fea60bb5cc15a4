"""Counts and lists in sentences."""

from __future__ import annotations

from collections.abc import Sequence


def listed(names: Sequence[str], most: int) -> str:
    """The first `most` of some names, and how many there are beyond.

    >>> listed(["cat", "dog", "cow"], 2), listed(["cat", "dog"], 2)
    ('cat, dog and 1 more', 'cat, dog')
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def counted(count: int, noun: str, many: str = "") -> str:
    """A count with its noun: `1 photo`, `1,464 photos`, `2 boxes`; `many` is a plural that no rule forms.

    >>> counted(2, "box without a class", "boxes without a class")
    '2 boxes without a class'
    """
    return f"{count:,} {noun if count == 1 else many or plural(noun)}"


def counted_of(count: int, whole: int, noun: str, many: str = "") -> str:
    """A part and its whole, which has the noun: `1 of 2 photos`, `1 of 1 photo`."""
    return f"{count:,} of {counted(whole, noun, many)}"


def plural(noun: str) -> str:
    """The plural of a noun, or of words that end in one.

    >>> [plural(noun) for noun in ("photo", "box", "class", "category", "key", "batch")]
    ['photos', 'boxes', 'classes', 'categories', 'keys', 'batches']
    """
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"
