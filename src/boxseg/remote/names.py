"""Which files of a working folder are treated in a way of their own when it is put to an address."""

from __future__ import annotations

from typing import NamedTuple


class Names(NamedTuple):
    """Names of files directly in a working folder.

    Attributes:
        record: What the results of each photo were made from, a line for each.
        first: Files that go with the record.
        naming: Files that may name the working folder; at the address they name that.
    """

    record: str
    first: tuple[str, ...]
    naming: tuple[str, ...]
