"""The connection of a process to a store: lists folders, fetches objects and parts of them, and puts files there."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from boxseg.errors import BoxsegError, DataError, MissingExtraError, one_line
from boxseg.extras import import_extra
from boxseg.storage.address import RemotePath
from boxseg.storage.cache import Cache
from boxseg.storage.listing import Entry, Listing
from boxseg.storage.patience import Damaged, StorageError, persistently

T = TypeVar("T")

# Requests at once.
AT_ONCE = 32
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
            self.list(path.parent)
            return self.state(path)
        try:
            entry = _entry(self._ask(lambda fs: fs.info(address), address))
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

    def list(self, folder: RemotePath) -> Listing:
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
            entries = ((name, _entry(info)) for name, info in found.items() if name.startswith(start))
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
        self.list(folder)
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
        """An object as a file of this machine that has a name as long as the block lasts; errors of `opened`."""
        while True:
            try:
                kept = self.cache.kept(self.fetched(path))
                file = kept.__enter__()
                break
            except FileNotFoundError:
                self._present(path)
        try:
            yield file
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
        """Bytes of an object from a place to another; errors of `opened`."""
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
            now = _entry(self._connected(str(path)).info(str(path)))
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
                self._fs = _connect(self._scheme, address)
            return self._fs


def _connect(scheme: str, address: str) -> Any:
    """The file system of fsspec; it takes its credentials from the environment.

    Raises:
        MissingExtraError: fsspec, or the package for this kind of store, is not installed.
        DataError: fsspec knows no such kind of store.
    """
    fsspec = import_extra("fsspec", extra="cloud", purpose=f"{address}: reading from a store")
    # Listings are kept here, and attempts counted here: those of the library would multiply.
    options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
    if scheme in ("s3", "s3a"):
        given = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
        usual = {"retries": {"max_attempts": 0}, "max_pool_connections": 2 * AT_ONCE}
        options |= {"config_kwargs": usual | given, "max_concurrency": 1}
    try:
        fs = fsspec.filesystem(scheme, **options)
    except ImportError as error:
        package = one_line(error, 150)
        raise MissingExtraError(f"{address}: {package}: pip install 'boxseg[cloud]'") from error
    except ValueError as error:
        raise DataError(f"{address}: no kind of store that fsspec knows ({one_line(error, 150)})") from error
    if scheme in ("s3", "s3a"):
        fs.retries = 1
    return fs


def _entry(info: Mapping[str, Any]) -> Entry | None:
    """What a store says of an object; None for a folder."""
    if info.get("type") == "directory":
        return None
    tag = str(info.get("ETag") or info.get("etag") or "").strip('"')
    if info.get("md5Hash"):  # Google's
        tag = base64.b64decode(info["md5Hash"]).hex()
    return Entry(int(info.get("size") or 0), _nanoseconds(info), tag)


def _nanoseconds(info: Mapping[str, Any]) -> int:
    names = ("LastModified", "last_modified", "mtime", "updated", "created")
    time = next((info[name] for name in names if info.get(name)), 0)
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time.replace("Z", "+00:00"))
        except ValueError:
            return 0
    seconds = time.timestamp() if isinstance(time, datetime) else float(time)
    return round(seconds * 1000) * 1_000_000


def is_md5(tag: str) -> bool:
    """Whether the tag of an object looks like the MD5 of its content."""
    return len(tag) == 32 and all(digit in "0123456789abcdef" for digit in tag)


def md5_of(file: Path) -> str:
    """MD5 of a file's content, hexadecimal: what stores compare, no protection against anybody."""
    digest = hashlib.md5(usedforsecurity=False)
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
