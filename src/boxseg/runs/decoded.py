"""Which photos `doctor` has decoded, and what it found: a file in its folder, so that it can go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from boxseg.atomic import append_text
from boxseg.config import Data
from boxseg.dataset import Problem
from boxseg.runs.data_index import name_of
from boxseg.runs.layout import DECODED


class Decoded:
    """What was found in photos that were decoded, by the place of the first of so many as are of one line.

    Args:
        folder: Folder of `doctor`.
        state: Digest of the state of all files of the data set; found in another state, nothing counts.
        data: The data set.
    """

    def __init__(self, folder: Path, state: str, data: Data) -> None:
        self._file = folder / DECODED.format(split=name_of(data, boxes=True))
        self._of = state
        self._known: dict[int, list[Problem]] = {}
        if self._file.is_file():
            lines = self._file.read_text(encoding="utf-8", errors="replace").splitlines()
            for entry in map(self._entry, lines):
                if entry is not None:
                    self._known[entry[0]] = entry[1]
            if not self._known:
                self._file.unlink()  # of files that have changed since

    def found(self, first: int) -> list[Problem] | None:
        """What was found in the photos from a place on; None if they were not decoded."""
        return self._known.get(first)

    def add(self, first: int, problems: list[Problem]) -> None:
        """Remember what was found."""
        said = [[str(one.file), one.kind, one.detail, one.action] for one in problems]
        append_text(self._file, json.dumps({"of": self._of, "first": first, "found": said}) + "\n")

    def _entry(self, line: str) -> tuple[int, list[Problem]] | None:
        """What a line says, if it is whole and of these files."""
        try:
            content: Any = json.loads(line)
            if content["of"] != self._of:
                return None
            found = [
                Problem(file=Path(file), kind=kind, detail=detail, action=action)
                for file, kind, detail, action in content["found"]
            ]
            return int(content["first"]), found
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
