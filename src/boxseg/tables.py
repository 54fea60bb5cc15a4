"""Tables of results, as data: printed by the command line, written as Markdown by the documentation."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

Cell = str | int | float | None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A titled table."""

    title: str  # what it shows, and for which data
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]  # scores are floats in 0..1 and shown in percent, None as a dash

    def texts(self) -> list[list[str]]:
        """Cells as shown."""
        return [[cell_text(cell) for cell in row] for row in self.rows]

    def markdown(self) -> str:
        """The table in GitHub's Markdown, below its title."""
        lines = [self.columns, ["---" if place == 0 else "---:" for place in range(len(self.columns))]]
        body = "\n".join("| " + " | ".join(line) + " |" for line in [*lines, *self.texts()])
        return f"**{self.title}**\n\n{body}\n"

    def html(self, most: int = 100) -> str:
        """The first `most` rows of the table in HTML, below its title. Text from data is escaped."""
        texts = self.texts()
        shown = texts[:most]
        if len(texts) > most:
            shown.append([f"… and {len(texts) - most} more", *[""] * (len(self.columns) - 1)])
        heads = _html_row("th", self.columns)
        rows = "".join(_html_row("td", line) for line in shown)
        caption = f"<caption><b>{html.escape(self.title)}</b></caption>"
        return f"<table>{caption}<thead>{heads}</thead><tbody>{rows}</tbody></table>\n"


def _html_row(kind: str, texts: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{kind}>{html.escape(text)}</{kind}>' for text in texts)}</tr>"


def cell_text(cell: Cell) -> str:
    """A cell as text: floats in percent with one decimal, None as a dash."""
    if cell is None:
        return "–"
    return f"{100 * cell:.1f}" if isinstance(cell, float) else str(cell)
