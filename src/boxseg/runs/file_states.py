"""Sizes and times of all files of a data set, as one digest: whether anything has changed since it was read.

Folders are listed, and no file is opened, so a million files take seconds.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from boxseg.runs.layout import CONFIG, RECORD, VERSIONS

# Folders that hold one of these sets of files were written by boxseg: their content is not of the data set.
_OWN = ({CONFIG, VERSIONS}, {RECORD})


_EMPTY = hashlib.blake2b(b"", digest_size=16).hexdigest()


def states_below(top: Path) -> dict[str, str]:
    """Digest of the files in each folder below `top`, by its path; hidden and run folders are left out."""
    found: dict[str, str] = {}
    waiting, seen = [str(top)], set[tuple[int, int]]()
    while waiting:
        folder = waiting.pop()
        place = _place(folder)
        if place in seen:  # a link to a folder above it
            continue
        seen.add(place)
        digest, names, inner = _state(folder)
        if folder == str(top) or not any(own <= names for own in _OWN):
            if digest != _EMPTY:  # somebody may be about to write there
                found[folder] = digest
            waiting += sorted(inner, reverse=True)
    return found


def is_older(folders: Iterable[str], time: int) -> bool:
    """Whether all files in some folders were changed last before a time, in nanoseconds."""
    for folder in filter(os.path.isdir, folders):
        with os.scandir(folder) as entries:
            if any(entry.stat().st_mtime_ns >= time for entry in entries if entry.is_file()):
                return False
    return True


def _place(folder: str) -> tuple[int, int]:
    try:
        state = Path(folder).stat()
    except OSError:
        return -1, -1
    return state.st_dev, state.st_ino


def states_of(folders: Iterable[str]) -> dict[str, str]:
    """Digest of the files in each of some folders."""
    return {folder: _state(folder)[0] for folder in folders}


def joined(states: dict[str, str], top: Path) -> str:
    """One digest of many; of folders below `top`, their places there count."""
    lines = sorted(f"{os.path.relpath(folder, top)}\0{digest}" for folder, digest in states.items())
    return hashlib.blake2b("\n".join(lines).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _state(folder: str) -> tuple[str, set[str], list[str]]:
    """Digest of the files in a folder, their names, and the folders in it."""
    lines, names, inner = list[str](), set[str](), list[str]()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name[0] == ".":
                    continue
                if entry.is_dir():
                    inner.append(entry.path)
                    continue
                try:
                    state = entry.stat()
                    lines.append(f"{entry.name}\0{state.st_size}\0{state.st_mtime_ns}")
                except OSError:  # a broken link
                    lines.append(entry.name)
                if entry.name in (CONFIG, VERSIONS, RECORD):
                    names.add(entry.name)
    except OSError as error:
        lines = [f"\0{error.errno}"]
    lines.sort()
    said = "\n".join(lines).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(said, digest_size=16).hexdigest(), names, inner
