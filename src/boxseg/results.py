"""The base of all results of verbs."""

from __future__ import annotations

import dataclasses
import html
from typing import Any

from boxseg.tables import Table

# What a `repr` has at most of a result's notes and tables, and of the rows of a table.
MOST_NOTES, MOST_TABLES, MOST_ROWS = 3, 2, 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a verb, as the command line prints it; a notebook shows its tables and notes.

    Its `repr` has a few lines: what was made, where it is, and the main figures.

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
        # Notes that begin with blanks are details of a heading, which ends in a colon.
        notes = [note for note in self.notes() if not note.startswith(" ") and not note.endswith(":")]
        tables = [line for table in self.tables() if (line := _in_a_line(table))]
        lines = [*notes[:MOST_NOTES], *tables[:MOST_TABLES]]
        return "\n  ".join([type(self).__name__, *(_cut(line, 160) for line in lines)])

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{html.escape(note.strip())}</li>" for note in self.notes())
        return "".join(table.html() for table in self.tables()) + f"<ul>{notes}</ul>"


def _in_a_line(table: Table) -> str:
    """The first rows of a table with their first figure: `Labels, mIoU: whole box 63.6, labels 74.2`."""
    if not table.rows or len(table.columns) < 2:
        return ""
    rows = [f"{_cut(row[0], 40)} {row[1]}" for row in table.texts()[:MOST_ROWS]]
    more = ", …" if len(table.rows) > MOST_ROWS else ""
    figure = table.columns[1]
    named = "" if figure in ("count", *table.title.split()) else f", {figure}"
    return f"{_cut(table.title, 70)}{named}: {', '.join(rows)}{more}"


def _cut(text: str, most: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
