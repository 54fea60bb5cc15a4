"""What a verb returns: the common face of all results."""

from __future__ import annotations

from boxseg.tables import Table


class Result:
    """The result of a verb, as the command line prints it.

    Each verb returns a dataclass of its own with what it found; these three are common to all.
    """

    def tables(self) -> list[Table]:
        """Tables of the result; none where there is nothing to count or score."""
        return []

    def notes(self) -> list[str]:
        """Lines below the tables: where the files are, and what to know of them."""
        return []

    @property
    def status(self) -> int:
        """Exit status of the command: 1 where something is wrong that the result lists, else 0."""
        return 0

    def _repr_markdown_(self) -> str:
        """What a notebook shows."""
        tables = "\n".join(table.markdown() for table in self.tables())
        notes = "\n".join(f"- {note.strip()}" for note in self.notes())
        return f"{tables}\n{notes}\n"
