"""Atomic writes: files appear whole or not at all, also after a loss of power."""

from __future__ import annotations

import errno
import json
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

from boxseg.errors import WRITING

# Names of temporary files.
_TEMPORARY = re.compile(r"\..{0,40}-[0-9a-f]{32}(\.[^.]*)?")
# How a file system says that it does not sync folders.
_UNABLE = (errno.EINVAL, errno.EBADF, errno.ENOTSUP)


def write_text(path: Path | str, text: str, *, sync: bool = True) -> None:
    """Write a text file atomically, UTF-8 with plain line ends; `sync` as for `atomic_path`.

    Names of files may hold bytes that are no UTF-8; they are written by a code that JSON reads back.
    """
    with atomic_path(path, sync=sync) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


@contextmanager
def atomic_path(path: Path | str, *, sync: bool = True) -> Iterator[Path]:
    """A temporary path beside `path`, moved onto it when the block succeeds, removed when it fails.

    Missing parent folders are made. The temporary name keeps the suffix, for writers that depend on it. An
    OSError of the temporary file, or of a write that does not name its file, names `path`.

    Args:
        path: The file.
        sync: Whether the file is on the disk before it takes the place of an old one, and its name when the
            block ends. That takes milliseconds: who writes many files calls `sync_files` for all of them.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem[:40]}-{uuid.uuid4().hex}{path.suffix}")
    try:
        yield temporary
        if sync:
            _to_disk(temporary)
        temporary.replace(path)
        if sync:
            _to_disk(path.parent)
    except OSError as error:
        unnamed = error.filename is None and error.errno in WRITING
        if unnamed or error.filename == str(temporary):
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def append_text(path: Path, text: str) -> None:
    """Add whole lines to a file, by one call of the system, so that several processes may."""
    content = text.encode()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        if os.write(handle, content) < len(content):  # what did not fit is lost: the next call says why
            os.write(handle, b"\n")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(handle)


def is_temporary(path: Path) -> bool:
    """Whether a file has a name that `atomic_path` gives, so that a killed process may have left it."""
    return _TEMPORARY.fullmatch(path.name) is not None


def remove_temporaries(files: Iterable[Path]) -> None:
    """Remove those of these files that killed processes have left half written."""
    for file in list(files):
        if is_temporary(file) and file.is_file():
            file.unlink(missing_ok=True)


def remove_temporaries_of(path: Path) -> None:
    """Remove what killed processes have left of a file that they wrote by `atomic_path`."""
    remove_temporaries(path.parent.glob(f".{escape(path.stem[:40])}-*{escape(path.suffix)}"))


def sync_files(paths: Iterable[Path]) -> None:
    """Wait until files and their names are on the disk."""
    files = list(paths)
    for path in (*files, *dict.fromkeys(file.parent for file in files)):
        _to_disk(path)


def _to_disk(path: Path) -> None:
    if path.is_symlink():
        return
    folder = path.is_dir()
    try:
        # Windows syncs only what may be written.
        handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    except OSError:
        if folder:  # which Windows and some network drives do not open
            return
        raise
    try:
        os.fsync(handle)
    except OSError as error:
        if not folder or error.errno not in _UNABLE:
            error.filename = str(path)
            raise
    finally:
        os.close(handle)


def write_json(path: Path, content: Any) -> None:
    """Write an indented JSON file atomically."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
