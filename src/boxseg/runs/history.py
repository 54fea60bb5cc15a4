"""history.csv: loss and learning rate of every iteration of a training."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from boxseg.atomic import write_text
from boxseg.documents import read_text
from boxseg.errors import DataError
from boxseg.runs.layout import HISTORY

_COLUMNS = ("iteration", "loss", "lr")


def write_history(folder: Path, rows: Iterable[tuple[int, float, float]]) -> None:
    """Write (iteration, loss, learning rate) of a training."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows((step, f"{loss:.6g}", f"{rate:.6g}") for step, loss, rate in rows)
    write_text(folder / HISTORY, text.getvalue())


def read_history(folder: Path) -> list[tuple[int, float, float]]:
    """(iteration, loss, learning rate) of a training; empty without one.

    Raises:
        DataError: The file is damaged.
    """
    file = folder / HISTORY
    if not file.is_file():
        return []
    try:
        rows = csv.DictReader(read_text(file).splitlines())
        return [(int(row["iteration"]), float(row["loss"]), float(row["lr"])) for row in rows]
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file} is damaged: {error}") from error
