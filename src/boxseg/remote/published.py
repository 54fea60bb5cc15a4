"""Results at an address: written to a working folder of this machine, and put there as they are finished.

The working folder lies beside the copies of objects. Before a command begins it is made equal to what is at the
address, so that a command goes on wherever it is given again. Files of a photo are put before the line that
says what they were made from. A store cannot add to an object: until the command ends, lines are objects.
"""

from __future__ import annotations

import hashlib
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from boxseg.atomic import is_temporary, write_text
from boxseg.remote.address import RemotePath, as_path
from boxseg.remote.cache import cache_folder
from boxseg.remote.claims import CLAIMS
from boxseg.remote.connection import is_md5, md5_of
from boxseg.remote.hooks import ADDRESS
from boxseg.remote.listing import Entry, Listing
from boxseg.remote.names import Names
from boxseg.remote.store import store_of

# At the address: lines that are not yet in the record of photos.
LINES = ".provenance"
# Files that exist on this machine alone.
_HERE = (ADDRESS, ".lock", CLAIMS)
# The working folders of the commands of this process; processes that these start know them by their files.
_working: dict[Path, Publication] = {}
# Uploads that may wait.
_WAITING = 128


def working_folder(address: RemotePath) -> Path:
    """The folder of this machine in which what belongs to an address is made."""
    digest = hashlib.blake2b(str(address).encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
    return cache_folder() / "work" / f"{address.name[:40]}-{digest}"


def publication_of(folder: Path, names: Names) -> Publication | None:
    """What puts the files of a working folder to its address; None for any other folder.

    A run folder of somebody else must not send anything anywhere, whatever is in it.
    """
    if folder in _working:
        return _working[folder]
    if folder.parent != cache_folder() / "work":
        return None
    try:
        text = (folder / ADDRESS).read_text(encoding="utf-8")
    except OSError:
        return None
    address = as_path(text.strip())
    return Publication(folder, address, names) if isinstance(address, RemotePath) else None


class Publication:
    """Puts the files of a working folder to its address.

    Args:
        folder: The working folder.
        address: Where its files go.
        names: Of its files.
    """

    def __init__(self, folder: Path, address: RemotePath, names: Names) -> None:
        self.folder, self.address, self._names = folder, address, names
        self._store = store_of(address)
        self._running: list[Future[None]] = []
        self._began: set[str] = set()  # keys of the objects that the working folder began with
        self._sent: dict[Path, tuple[int, int]] = {}  # size and time of files that are there

    def target(self, file: Path) -> RemotePath:
        """Where a file of the working folder goes."""
        target: RemotePath = self.address / file.relative_to(self.folder)
        return target

    def begin(self, *, all_files: bool, sizes_only: bool = False) -> None:
        """Make the working folder equal to what is at the address.

        Args:
            all_files: Whether what is in folders there is wanted, too.
            sizes_only: Whether of that only names and sizes are.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        there = dict(self._store.listed_now(self.address).items())
        lines = sorted(key for key in there if key.startswith(f"{LINES}/"))
        hidden = (f"{LINES}/", f"{CLAIMS}/")
        wanted = {
            key: entry
            for key, entry in there.items()
            if not key.startswith(hidden) and (all_files or "/" not in key) and _stays_inside(key)
        }
        self._began = set(wanted)
        for file in self._files():
            key = file.relative_to(self.folder).as_posix()
            if key not in wanted or not _same(file, wanted[key]):
                file.unlink()
        lacking = [key for key in wanted if not (self.folder / key).is_file()]
        for key in [key for key in lacking if sizes_only and "/" in key]:
            _make_hollow(self.folder / key, wanted[key].size)
        _all_of(self._store.submit(self._get, key) for key in lacking if not (sizes_only and "/" in key))
        parts = [part.result() for part in [self._store.submit(self._line_part, key) for key in lines]]
        if parts:
            record = self.folder / self._names.record
            before = record.read_text(encoding="utf-8") if record.is_file() else ""
            write_text(record, before + "".join(parts))
        write_text(self.folder / ADDRESS, str(self.address))

    def _get(self, key: str) -> None:
        file = self.folder / key
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".get-{uuid.uuid4().hex}")
        temporary.write_bytes(self._store.content(self.address / key))
        temporary.replace(file)
        self._sent[file] = _state(file)

    def _line_part(self, key: str) -> str:
        return self._store.content(self.address / key).decode("utf-8", "replace")

    def send(self, files: Iterable[Path]) -> None:
        """Put files, and wait until they are there."""
        _all_of([self._store.submit(self._put, file) for file in files])

    def send_soon(self, files: Iterable[Path]) -> None:
        """Have files put while the work goes on; an error of one is raised by a later call."""
        self._running += [self._store.submit(self._put, file) for file in files]
        done = len(self._running) - _WAITING
        if done > 0:
            _all_of(self._running[:done])
            del self._running[:done]

    def wait(self) -> None:
        """Wait for what `send_soon` was given."""
        running, self._running = self._running, []
        _all_of(running)

    def send_lines(self, text: str) -> None:
        """Put lines of the record of photos, once what they are about is there."""
        name = f"{time.time_ns():020}-{uuid.uuid4().hex}.jsonl"
        self._store.put_bytes(text.encode(), self.address / LINES / name)

    def send_record(self) -> None:
        """Put the record of photos whole, with the options it goes with, in place of single lines."""
        lines = [key for key, _ in self._store.listed_now(self.address / LINES).items()]
        self.send(file for name in self._names.first if (file := self.folder / name).is_file())
        self._put(self.folder / self._names.record)
        self._store.remove(self.address / LINES / key for key in lines)

    def finish(self, *, all_files: bool) -> None:
        """Put what is not there yet, the files about all photos last, and take away what is gone here."""
        self.wait()
        there = self._store.listed_now(self.address)
        files = list(self._files())
        new = [file for file in files if not self._is_there(file, there)]
        deep = [file for file in new if file.parent != self.folder]
        self.send(deep)
        self.send(file for file in new if file.parent == self.folder)
        if all_files:
            here = {file.relative_to(self.folder).as_posix() for file in files}
            self._store.remove(self.address / key for key in self._began - here)

    def _put(self, file: Path) -> None:
        state = _state(file)
        if file.parent == self.folder and file.name in self._names.naming:
            # What names the working folder means the address.
            text = file.read_text(encoding="utf-8", errors="surrogateescape")
            named = text.replace(str(self.folder), str(self.address))
            self._store.put_bytes(named.encode("utf-8", "surrogateescape"), self.target(file))
        else:
            self._store.put(file, self.target(file))
        self._sent[file] = state

    def _is_there(self, file: Path, there: Listing) -> bool:
        entry = there.file(file.relative_to(self.folder).as_posix())
        return entry is not None and (self._sent.get(file) == _state(file) or _same(file, entry))

    def _files(self) -> Iterator[Path]:
        for file in list(self.folder.rglob("*")):
            if file.is_file() and file.name not in _HERE and not is_temporary(file):
                yield file


@contextmanager
def published(address: RemotePath, names: Names, *, all_files: bool) -> Iterator[Path]:
    """A working folder for an address; when the block succeeds, all is put there and the folder removed."""
    publication = Publication(working_folder(address), address, names)
    if not all_files:
        shutil.rmtree(publication.folder, ignore_errors=True)
    publication.begin(all_files=all_files)
    _working[publication.folder] = publication
    try:
        yield publication.folder
        publication.finish(all_files=all_files)
    finally:
        del _working[publication.folder]
    shutil.rmtree(publication.folder, ignore_errors=True)


@contextmanager
def looked_at(address: RemotePath, names: Names) -> Iterator[Path]:
    """A folder with the names and sizes of what is at an address, to look at; nothing is put there."""
    folder = working_folder(address)
    publication = Publication(folder.with_name(f"{folder.name}-{uuid.uuid4().hex[:8]}"), address, names)
    try:
        publication.begin(all_files=True, sizes_only=True)
        yield publication.folder
    finally:
        shutil.rmtree(publication.folder, ignore_errors=True)


def _make_hollow(file: Path, size: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as content:
        content.truncate(size)


def _stays_inside(key: str) -> bool:
    """Whether the key of an object names a file below the working folder."""
    return not {"..", ".", ""} & set(key.split("/"))


def _same(file: Path, entry: Entry) -> bool:
    """Whether a file surely is the object that is listed: where tags are no MD5, it may be another."""
    return file.stat().st_size == entry.size and is_md5(entry.tag) and md5_of(file) == entry.tag


def _state(file: Path) -> tuple[int, int]:
    state = file.stat()
    return state.st_size, state.st_mtime_ns


def _all_of(running: Iterable[Future[None]]) -> None:
    """Wait for uploads and downloads; the first error is raised when all have ended."""
    errors = [error for future in list(running) if (error := future.exception()) is not None]
    if errors:
        raise errors[0]
