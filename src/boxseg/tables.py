"""Tables of results, as data: printed by the command line, written as Markdown by the documentation."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

Cell = str | int | float | None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A titled table.

    Attributes:
        title: What it shows, with the data it was made from.
        columns: Heads.
        rows: Cells; scores are floats in 0..1 and shown in percent, None as a dash.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def texts(self) -> list[list[str]]:
        """Cells as they are shown."""
        return [[cell_text(cell) for cell in row] for row in self.rows]

    def markdown(self) -> str:
        """The table in GitHub's Markdown, with its title above."""
        lines = [self.columns, ["---" if place == 0 else "---:" for place in range(len(self.columns))]]
        body = "\n".join("| " + " | ".join(line) + " |" for line in [*lines, *self.texts()])
        return f"**{self.title}**\n\n{body}\n"

    def html(self, most: int = 100) -> str:
        """The table in HTML, with its title above: the first `most` rows. What comes from data is escaped."""
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
    """A cell in words: floats in percent with one decimal, None as a dash."""
    if cell is None:
        return "–"
    return f"{100 * cell:.1f}" if isinstance(cell, float) else str(cell)
