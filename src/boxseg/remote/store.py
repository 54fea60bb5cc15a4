"""A store: lists folders, fetches objects and parts of them, and puts files there."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from boxseg.errors import BoxsegError
from boxseg.remote.address import RemotePath
from boxseg.remote.cache import Cache
from boxseg.remote.connection import AT_ONCE, connect, entry_of, is_md5, md5_of
from boxseg.remote.listing import Entry, Listing
from boxseg.remote.patience import Damaged, StorageError, persistently

T = TypeVar("T")

# Bytes above which an object is not held in memory while it is fetched or put.
_LARGE = 1 << 26
# Questions about single files of a folder before the folder is listed.
_PATIENCE = 3


class _Changed(BoxsegError):
    """An object was changed since it was listed."""

    def __init__(self, entry: Entry) -> None:
        super().__init__("changed since it was listed")
        self.entry = entry


# By process and scheme: a connection does not survive a fork.
_stores: dict[tuple[int, str], Store] = {}
_lock = threading.Lock()


def _after_fork() -> None:
    """A lock may have been held by a thread that the new process does not have."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def store_of(path: RemotePath) -> Store:
    """The store of an address."""
    scheme, process = path.parts[0][:-1].lower(), os.getpid()
    found = _stores.get((process, scheme))
    if found is None:
        with _lock:
            before = [store for (_, name), store in _stores.items() if name == scheme]
            found = _stores.setdefault((process, scheme), Store(scheme, before[-1] if before else None))
    return found


def forget() -> None:
    """Forget what is known of stores: a command asks anew, as it looks anew at files of this machine."""
    _stores.clear()


class Store:
    """A store, as fsspec reads it.

    Args:
        scheme: What its addresses begin with.
        before: The same of the process that this one was forked from, for what it knows.
    """

    def __init__(self, scheme: str, before: Store | None = None) -> None:
        self._scheme = scheme
        self._fs: Any = None
        self._cache: Cache | None = None
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._running: dict[Path, Future[None]] = {}
        self._listings: dict[str, Listing] = before._listings if before else {}
        self._known: dict[str, Entry] = before._known if before else {}
        self._asked: Counter[str] = Counter()
        self._tags_are_md5 = True
        self._given_up = False  # whether a thread has asked in vain, so that others need not try for long

    # What is there.

    def state(self, path: RemotePath) -> Entry | None:
        """What is known of an object, which the store is asked for if it must be; None if it is not there."""
        address = str(path)
        if (covered := self._covering(address)) is not None:
            listing, key = covered
            return listing.file(key)
        if address in self._known:
            return self._known[address]
        if len(path.parts) <= 2:  # a bucket
            return None
        above = str(path.parent)
        self._asked[above] += 1
        if self._asked[above] > _PATIENCE and len(path.parts) > 3:
            self.list_below(path.parent)
            return self.state(path)
        try:
            entry = entry_of(self._ask(lambda fs: fs.info(address), address))
        except FileNotFoundError:
            return None
        if entry is not None:
            self.remember(path, entry)
        return entry

    def is_folder(self, path: RemotePath) -> bool:
        """Whether there are objects below an address."""
        address = str(path)
        if (covered := self._covering(address)) is not None:
            listing, key = covered
            return listing.has_folder(key)
        try:
            return bool(self._ask(lambda fs: fs.info(address), address)["type"] == "directory")
        except FileNotFoundError:
            return False

    def known(self, path: RemotePath) -> Entry | None:
        """What is known of an object without asking the store."""
        covered = self._covering(str(path))
        return covered[0].file(covered[1]) if covered else self._known.get(str(path))

    def remember(self, path: RemotePath, entry: Entry) -> None:
        """Know of an object what another process knows."""
        self._known[str(path)] = entry

    def list_below(self, folder: RemotePath) -> Listing:
        """List all that is below a folder, once."""
        address = str(folder)
        if (covered := self._covering(address)) is not None:
            return covered[0]
        self._listings[address] = listing = self.listed_now(folder)
        return listing

    def listed_now(self, folder: RemotePath) -> Listing:
        """List all that is below a folder anew."""
        address = str(folder)

        def find(fs: Any) -> list[tuple[str, Entry]]:
            start = fs._strip_protocol(address).rstrip("/") + "/"
            found: Mapping[str, Any] = fs.find(start, detail=True)
            entries = ((name, entry_of(info)) for name, info in found.items() if name.startswith(start))
            return [(name[len(start) :], entry) for name, entry in entries if entry is not None]

        try:
            return Listing(self._ask(find, address))
        except FileNotFoundError:
            return Listing(())

    def _covering(self, address: str) -> tuple[Listing, str] | None:
        """The listing that an address is in, and its key there."""
        if not self._listings:
            return None
        place = address
        while True:
            if (listing := self._listings.get(place)) is not None:
                return listing, address[len(place) + 1 :]
            if place.count("/") <= 2:
                return None
            place = place.rpartition("/")[0]

    def names_in(self, folder: RemotePath) -> list[str]:
        """Names of what is directly in a folder."""
        listing, key = self._listed(folder)
        return listing.names(key)

    def folders_below(self, folder: RemotePath) -> list[RemotePath]:
        """A folder and all below it."""
        listing, key = self._listed(folder)
        start = len(key) + 1 if key else 0
        return [folder.joinpath(*filter(None, name[start:].split("/"))) for name in listing.folders(key)]

    def _listed(self, folder: RemotePath) -> tuple[Listing, str]:
        self.list_below(folder)
        covered = self._covering(str(folder))
        assert covered is not None
        return covered

    # What is in it.

    @property
    def cache(self) -> Cache:
        """The copies on this machine."""
        if self._cache is None:
            self._cache = Cache()
        return self._cache

    def opened(self, path: RemotePath) -> IO[bytes]:
        """An object as a file of this machine.

        Raises:
            FileNotFoundError: It is not there.
            StorageError: The store refuses it or does not answer.
        """
        while True:
            file = self.fetched(path)
            if (found := self.cache.open(file)) is not None:  # else it was removed to make room
                return found

    @contextmanager
    def named(self, path: RemotePath) -> Iterator[Path]:
        """An object as a file of this machine, which has a name until the block ends; errors of `opened`."""
        while True:
            kept = self.cache.kept(self.fetched(path))
            try:
                file = kept.__enter__()
                break
            except FileNotFoundError:  # it was removed to make room
                continue
        try:
            yield file
        except BoxsegError as error:  # it is the object that is meant
            error.args = tuple(
                part.replace(str(file), str(path)) if isinstance(part, str) else part for part in error.args
            )
            raise
        finally:
            kept.__exit__(None, None, None)

    def fetched(self, path: RemotePath) -> Path:
        """The copy of an object, fetched if it must be."""
        entry = self._present(path)
        file = self.cache.file(str(path), entry)
        if self.cache.has(file):
            return file
        with self._lock:
            running = self._running.get(file)
            own = running is None
            if running is None:
                running = self._running[file] = Future()
        if own:
            try:
                self._fetch(path, entry, file)
                running.set_result(None)
            except BaseException as error:
                running.set_exception(error)
                raise
            finally:
                with self._lock:
                    self._running.pop(file, None)
        running.result()
        return self.cache.file(str(path), self._present(path))

    def has_copy(self, path: RemotePath) -> bool:
        """Whether an object is on this machine."""
        entry = self.known(path)
        return entry is not None and self.cache.has(self.cache.file(str(path), entry))

    def has_room(self, path: RemotePath) -> bool:
        """Whether all that was listed with an object fits on this machine twice."""
        covered = self._covering(str(path))
        return covered is not None and 2 * covered[0].size <= self.cache.limit

    def part(self, path: RemotePath, start: int, end: int) -> bytes:
        """Bytes of an object from a place up to another; errors as of `opened`."""
        address, wanted = str(path), end - start

        def read(fs: Any) -> bytes:
            content = cast(bytes, fs.cat_file(address, start=start, end=end))
            if len(content) != wanted:
                raise Damaged(f"{len(content)} bytes of {wanted} came")
            return content

        return self._ask(read, address)

    def content(self, path: RemotePath) -> bytes:
        """An object as it is now, without a copy; errors of `opened`."""
        address = str(path)
        return self._ask(lambda fs: cast(bytes, fs.cat_file(address)), address)

    def _present(self, path: RemotePath) -> Entry:
        entry = self.state(path)
        if entry is None:
            raise FileNotFoundError(2, os.strerror(2), str(path))
        return entry

    def _fetch(self, path: RemotePath, entry: Entry, file: Path) -> None:
        address = str(path)
        came: list[tuple[int, str]] = []  # in vain

        def write(fs: Any, temporary: Path) -> None:
            if entry.size > _LARGE:
                fs.get_file(address, str(temporary))
            else:
                temporary.write_bytes(fs.cat_file(address))
            self._compare(temporary, path, entry, came)

        try:
            self.cache.put(file, lambda temporary: self._ask(lambda fs: write(fs, temporary), address))
        except _Changed as changed:
            covered = self._covering(address)
            if covered is not None:
                covered[0].replace(covered[1], changed.entry)
            self.remember(path, changed.entry)
            self._fetch(path, changed.entry, self.cache.file(address, changed.entry))

    def _compare(self, file: Path, path: RemotePath, entry: Entry, came: list[tuple[int, str]]) -> None:
        """Compare what came with what is stored, by length and, where the tag is one, by checksum."""
        size = file.stat().st_size
        checked = self._tags_are_md5 and is_md5(entry.tag)
        digest = md5_of(file) if checked or size != entry.size else ""
        if size == entry.size and (not checked or digest == entry.tag):
            return
        again = (size, digest) in came
        came.append((size, digest))
        if again:
            # It may have been changed since it was listed, as a file of this machine may be.
            now = entry_of(self._connected(str(path)).info(str(path)))
            if now is not None and (now.size, now.tag) != (entry.size, entry.tag):
                raise _Changed(now)
            if size == entry.size:
                # Tags of this store look like MD5 and are something else, as those of encrypted buckets are.
                self._tags_are_md5 = False
                return
        what = f"{size} bytes of {entry.size} came" if size != entry.size else "another checksum came"
        raise Damaged(what)

    # Many at once.

    def submit(self, work: Callable[..., T], *given: Any) -> Future[T]:
        """Have a thread do what waits for the store."""
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(AT_ONCE, "boxseg-storage")
        return self._threads.submit(work, *given)

    # Writing.

    def put(self, file: Path, target: RemotePath) -> None:
        """Put a file of this machine there: whole or not at all."""
        address = str(target)
        if file.stat().st_size > _LARGE:
            self._ask(lambda fs: fs.put_file(str(file), address), address)
        else:
            self.put_bytes(file.read_bytes(), target)

    def put_bytes(self, content: bytes, target: RemotePath) -> None:
        """Put an object there."""
        address = str(target)
        self._ask(lambda fs: fs.pipe_file(address, content), address)

    def remove(self, targets: Iterable[RemotePath]) -> None:
        """Remove objects; those that are gone already do no harm."""

        def one(address: str) -> None:
            try:
                self._ask(lambda fs: fs.rm_file(address), address)
            except FileNotFoundError:
                return

        for running in [self.submit(one, str(target)) for target in targets]:
            running.result()

    def _ask(self, ask: Callable[[Any], T], address: str) -> T:
        fs = self._connected(address)
        try:
            return persistently(lambda: ask(fs), address, lambda: self._given_up)
        except StorageError:
            self._given_up = True
            raise

    def _connected(self, address: str) -> Any:
        with self._lock:
            if self._fs is None:
                self._fs = connect(self._scheme, address)
            return self._fs
