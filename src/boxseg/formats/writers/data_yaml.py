"""data.yaml: classes and splits of a data set that Ultralytics' programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from boxseg.atomic import write_text
from boxseg.errors import DataError
from boxseg.formats.yolo import SPLITS, read_description


def start_description(root: Path, split: str, names: dict[int, str]) -> dict[str, Any]:
    """The content of data.yaml before a split is written: what is there already, or a new one."""
    if split not in SPLITS:
        raise DataError(f"split {split!r} has no place in data.yaml, expected one of {', '.join(SPLITS)}")
    path = root / "data.yaml"
    description: dict[str, Any] = read_description(path) if path.is_file() else {"names": names}
    if description.get("names") != names:
        raise DataError(
            f"{path} has other classes ({description.get('names')}) than are to be written ({names})"
        )
    return description


def finish_description(root: Path, split: str, description: dict[str, Any]) -> None:
    """Write data.yaml with an entry for a split, after the files of the split."""
    entries = {**description, split: f"images/{split}"}
    write_text(root / "data.yaml", yaml.safe_dump(entries, sort_keys=False, allow_unicode=True))
