"""Label Studio's target storage: one JSON file for each annotation, with its task inside.

    {"id": 1, "result": […], "task": {"id": 7, "data": {"image": …}}, "was_cancelled": false}

Read together, the files of a folder are an export: a list of tasks with their annotations.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from boxseg.config import Data
from boxseg.documents import read_bytes, read_json
from boxseg.errors import DataError, did_you_mean
from boxseg.formats.files import listed
from boxseg.formats.split_files import head
from boxseg.remote.hooks import ahead


def is_annotation(path: Path) -> bool:
    """Whether a file looks like a single annotation of Label Studio."""
    start = head(path).lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start.startswith(b"{") or b'"result"' not in start:
        return False
    # The task comes after the result, which may be long: brushed masks are.
    return b'"task"' in start or b'"task"' in read_bytes(path)


def files_without_suffix(root: Path) -> list[Path]:
    """Single annotations in the folder and directly below it that have no suffix, as storages may name them."""
    found = (path for pattern in ("*", "*/*") for path in sorted(listed(root, pattern)))
    bare = ahead(
        (path for path in found if not path.suffix and path.is_file()), lambda path: [path], small=True
    )
    return [path for path in bare if is_annotation(path)]


def read_tasks(data: Data, files: list[Path]) -> tuple[Path, dict[Path, list[dict[str, Any]]]]:
    """The folder of a split's annotations, and the tasks of each folder that has any.

    A split is a folder of its name below the root; files in other folders are `train`.
    """
    tasks: dict[Path, list[dict[str, Any]]] = {}
    for folder in dict.fromkeys(file.parent for file in files):
        tasks[folder] = joined([file for file in files if file.parent == folder])
    named = [folder for folder in tasks if folder.name == data.split and folder != data.root]
    chosen = named or (list(tasks) if data.split == "train" and len(tasks) == 1 else [])
    if len(chosen) != 1:
        there = [folder.name for folder in tasks if folder != data.root]
        raise DataError(
            f"{data.root} has no folder of split {data.split!r}{did_you_mean(data.split, there)} "
            f"(annotations of Label Studio; there are: {', '.join(there) or 'files of no split: train'})"
        )
    return chosen[0], tasks


def joined(files: list[Path]) -> list[dict[str, Any]]:
    """Tasks with all of their annotations."""
    tasks: dict[Any, dict[str, Any]] = {}
    for file in files:
        content = read_json(file)
        task = content.get("task") if isinstance(content, dict) else None
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
            raise DataError(
                f"{file}: an annotation without its task; export the project from Label Studio as JSON"
            )
        known = tasks.setdefault(str(task.get("id", file)), {**task, "annotations": []})
        known["annotations"].append({key: value for key, value in content.items() if key != "task"})
    return list(tasks.values())
