"""A disk that refuses one write: it is full, or broken."""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass
class FaultyDisk:
    """Counts what programs ask of a disk below a folder, and refuses once.

    Files that are opened to be written, syncs and changes of names count. A file that was opened takes half of
    its first write; of one that cannot be synced, half is gone.

    Attributes:
        folder: What is followed.
        fails_at: Number of the request that is refused; None for a good disk.
        reason: Why.
        requests: How many there were.
    """

    folder: Path
    fails_at: int | None = None
    reason: int = errno.ENOSPC
    requests: int = 0

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take over the system's calls, as Python programs make them."""
        fsync, replace, opened = os.fsync, os.replace, builtins.open

        def faulty_fsync(handle: int) -> None:
            path = Path(f"/proc/self/fd/{handle}").readlink()
            if self._refuses(path):
                if path.is_file():
                    os.truncate(path, path.stat().st_size // 2)
                raise self._error()
            fsync(handle)

        def faulty_replace(source: str | Path, target: str | Path) -> None:
            if self._refuses(Path(target)):
                raise OSError(self.reason, os.strerror(self.reason), str(source), None, str(target))
            replace(source, target)

        def faulty_open(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
            stream = opened(file, mode, *arguments, **named)
            writes = isinstance(file, str | Path) and bool({"w", "a", "x", "+"} & set(mode))
            return _Full(stream, self._error) if writes and self._refuses(Path(file)) else stream

        monkeypatch.setattr(os, "fsync", faulty_fsync)
        monkeypatch.setattr(os, "replace", faulty_replace)
        monkeypatch.setattr(builtins, "open", faulty_open)
        monkeypatch.setattr(io, "open", faulty_open)

    def _refuses(self, path: Path) -> bool:
        if not path.absolute().is_relative_to(self.folder):
            return False
        self.requests += 1
        return self.requests - 1 == self.fails_at

    def _error(self) -> OSError:
        return OSError(self.reason, os.strerror(self.reason))


class _Full:
    """A stream whose first write is cut short."""

    def __init__(self, stream: Any, error: Callable[[], OSError]) -> None:
        self._stream, self._make_error = stream, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> _Full:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def fileno(self) -> int:
        raise io.UnsupportedOperation  # or copies would go past `write`

    def write(self, content: Any) -> int:
        self._stream.write(content[: len(content) // 2])
        raise self._make_error()
