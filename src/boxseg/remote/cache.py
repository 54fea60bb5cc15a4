"""Copies of objects on this machine: whole or not at all, of bounded size, shared by processes and commands.

A file is named by the address and by what the store says of the content, so that a changed object is another
file. What was used longest ago is removed first. A process that is killed leaves at most a temporary file,
which goes the same way.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from boxseg.errors import ConfigError
from boxseg.remote.listing import Entry

_FOLDER, _SIZE = "BOXSEG_CACHE", "BOXSEG_CACHE_GB"
_USUAL_GB = 20.0
# Shares of the limit: down to which files are removed; what a process adds before it counts all files again.
_DOWN_TO, _COUNTED_AFTER = 0.9, 0.02
# Seconds after which a temporary file is of a killed process, and a file's time of use is written again.
_OLD, _FRESH = 86_400, 60


def cache_folder() -> Path:
    """Where boxseg keeps copies of files from elsewhere: BOXSEG_CACHE, or the usual place of this system."""
    if named := os.environ.get(_FOLDER):
        return Path(named).expanduser()
    if sys.platform == "darwin":
        return Path("~/Library/Caches/boxseg").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "boxseg"


def cache_limit(folder: Path, held: int = 0) -> int:
    """Bytes that copies of objects may take: BOXSEG_CACHE_GB, by default 20 or half of what there is room for.

    Raises:
        ConfigError: The variable is no positive number.
    """
    text = os.environ.get(_SIZE, "")
    try:
        limit = float(text or _USUAL_GB) * 1e9
    except ValueError:
        limit = 0.0
    if not limit > 0:
        raise ConfigError(f"{_SIZE}={text}: expected gigabytes, a number above 0, such as {_SIZE}=50")
    if not text:
        limit = min(limit, (shutil.disk_usage(folder).free + held) / 2)
    return int(limit)


class Cache:
    """Copies of objects in a folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = (folder or cache_folder()) / "objects"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._added: float = float("inf")  # bytes since all files were counted
        self._limit: int | None = None

    @property
    def limit(self) -> int:
        """Bytes that the copies may take."""
        if self._limit is None:
            self._limit = cache_limit(self.folder, sum(size for _, size, _ in self._files()))
        return self._limit

    def file(self, address: str, entry: Entry) -> Path:
        """The file of a copy, whether or not it is there."""
        said = f"{address}\n{entry.size}\n{entry.tag or entry.time}"
        name = hashlib.blake2b(said.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
        suffix = Path(address).suffix.lower()
        return self.folder / name[:2] / f"{name}{suffix if len(suffix) <= 8 else ''}"

    def has(self, file: Path) -> bool:
        """Whether a copy is there; it then counts as used now."""
        try:
            if time.time() - file.stat().st_mtime > _FRESH:
                os.utime(file)
        except OSError:
            return False
        return True

    def open(self, file: Path) -> IO[bytes] | None:
        """A copy, opened: it can be read to the end even if it is removed then. None if it is not there."""
        try:
            found = file.open("rb")
        except FileNotFoundError:
            return None
        self.has(file)
        return found

    def put(self, file: Path, write: Callable[[Path], object]) -> None:
        """Have a copy written to a temporary file, which gets its name; older ones are removed to make room."""
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{uuid.uuid4().hex}")
        try:
            write(temporary)
            size = temporary.stat().st_size
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)
        with self._lock:
            self._added += size
            full = self._added > self.limit * _COUNTED_AFTER
        if full:
            self._make_room(file)

    @contextmanager
    def kept(self, file: Path) -> Iterator[Path]:
        """A second name of a copy, for libraries that open it again by its name; the copy may be removed."""
        own = file.with_name(f".{uuid.uuid4().hex}{file.suffix}")
        try:
            os.link(file, own)
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                raise
            shutil.copyfile(file, own)
        try:
            yield own
        finally:
            own.unlink(missing_ok=True)

    def _make_room(self, newest: Path) -> None:
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return  # another process does it
        except (NotImplementedError, OSError):
            pass  # a file system without locks: two may remove files at once
        try:
            files = sorted(self._files(), key=lambda each: each[0])
            held = sum(size for _, size, _ in files)
            wanted = self.limit if held <= self.limit else self.limit * _DOWN_TO
            for _, size, file in files:
                if held <= wanted:
                    break
                if file != newest:
                    with suppress(OSError):
                        file.unlink()
                        held -= size
        finally:
            lock.release()
        with self._lock:
            self._added = 0.0

    def _files(self) -> list[tuple[float, int, Path]]:
        """Time of use, size and path of each copy; what killed processes have left is removed."""
        found, now = [], time.time()
        for folder, _, names in os.walk(self.folder):
            for name in names:
                file = Path(folder, name)
                with suppress(OSError):
                    state = file.stat()
                    if not name.startswith("."):
                        found.append((state.st_mtime, state.st_size, file))
                    elif name != ".lock" and now - state.st_mtime > _OLD:
                        file.unlink()
        return found
