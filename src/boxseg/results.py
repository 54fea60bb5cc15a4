"""The base of all results of verbs."""

from __future__ import annotations

import dataclasses
import html
import reprlib
from pathlib import PurePath
from typing import Any

from boxseg.tables import Table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a verb, as the command line prints it; a notebook shows its tables and notes.

    Each verb returns its own dataclass with what it found; these members are common to all.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        # A dataclass gets a `__repr__` with all its data, unless its class defines one.
        super().__init_subclass__(**options)
        if "__repr__" not in vars(cls):
            cls.__repr__ = Result.__repr__  # type: ignore[method-assign]

    def tables(self) -> list[Table]:
        """Tables of the result; none if there is nothing to count or score."""
        return []

    def notes(self) -> list[str]:
        """Lines below the tables: where the files are, and what to know about them."""
        return []

    def output(self) -> str | None:
        """What the command prints in place of tables and notes, for programs; None for these."""
        return None

    @property
    def status(self) -> int:
        """Exit status of the command: 1 if the result lists something wrong, else 0."""
        return 0

    def __repr__(self) -> str:
        values = ((item.name, getattr(self, item.name)) for item in dataclasses.fields(self))
        return f"{type(self).__name__}({', '.join(f'{name}={_SHORT.repr(value)}' for name, value in values)})"

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{html.escape(note.strip())}</li>" for note in self.notes())
        return "".join(table.html() for table in self.tables()) + f"<ul>{notes}</ul>"


class _Short(reprlib.Repr):
    """Short values; other dataclasses, which may hold whole data sets, show only their name."""

    def repr_instance(self, value: Any, level: int) -> str:
        if dataclasses.is_dataclass(value):
            return f"{type(value).__name__}(…)"
        if isinstance(value, PurePath):
            return self.repr_str(str(value), level)
        return super().repr_instance(value, level)


_SHORT = _Short()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxlevel = 2
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = 3
