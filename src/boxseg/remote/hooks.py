"""What the rest of boxseg calls. For files of this machine it does nothing, and imports nothing."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from boxseg.remote.address import RemotePath
from boxseg.remote.headers import FIRST, SMALL, Beginning
from boxseg.remote.names import Names

if TYPE_CHECKING:
    from boxseg.remote.published import Publication

T = TypeVar("T")
S = TypeVar("S")

# In a working folder: the address that its files are made for.
ADDRESS = ".boxseg-address"
# Objects that are fetched before they are asked for; small ones, of which many are read in the time of a photo.
_AHEAD, _AHEAD_SMALL = 32, 256
# Headers of photos that are read at once; and photos, each of which is decoded.
_HEADERS, _READING = 32, 16
# Most bytes of a small object.
_SMALL = 1 << 20
# TIFFs may state their size at their end, and rasterio opens files by their names.
_BY_NAME = (".tif", ".tiff")


def is_remote(path: Path | None) -> bool:
    """Whether a path is an address."""
    return isinstance(path, RemotePath)


@contextmanager
def readable(path: T, *, whole: bool = True) -> Iterator[T | Path | IO[bytes]]:
    """What is to be opened for a path: itself, or for an address a file of this machine, for the block.

    If `whole` is false, only the beginning of an object may be read.
    """
    if not isinstance(path, RemotePath):
        yield path
        return
    from boxseg.remote.store import store_of

    store = store_of(path)
    size = path.stat().st_size
    enough = whole or size <= FIRST or path.suffix.lower() in _BY_NAME or store.has_copy(path)
    if enough or (size <= SMALL and store.has_room(path)):
        with store.named(path) as file:
            yield file
    else:
        yield io.BufferedReader(Beginning(store, path, size), 1 << 14)


def threads_for(paths: Iterable[Path], usual: int | None = None) -> int | None:
    """How many threads read photos or labels: more where one is an address, as they wait most of the time."""
    return _READING if any(isinstance(path, RemotePath) for path in paths) else usual


def list_once(folder: Path) -> None:
    """List a folder with all that is below, if it is an address: later questions about it cost nothing."""
    if isinstance(folder, RemotePath):
        from boxseg.remote.store import store_of

        store_of(folder).list_below(folder)


def walk(top: Path) -> Iterator[tuple[str | Path, list[str], list[str]]]:
    """Folders, with the names of folders and files in them, as of `os.walk`."""
    if not isinstance(top, RemotePath):
        yield from os.walk(top)
        return
    names = list(top.iterdir())
    folders = [path.name for path in names if path.is_dir()]
    yield top, folders, [path.name for path in names if path.is_file()]
    for name in folders:  # those that the caller has left in the list
        yield from walk(top / name)


def together(work: Callable[[T], S], items: Sequence[T], paths: Iterable[Path], usual: int = 1) -> list[S]:
    """Results of `work` for items, which reads the paths: by many threads if one is an address."""
    threads = _HEADERS if any(isinstance(path, RemotePath) for path in paths) else usual
    if threads == 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        try:
            return list(pool.map(work, items))
        finally:
            pool.shutdown(cancel_futures=True)


def ahead(
    items: Iterable[T], paths: Callable[[T], Iterable[Path | None]], *, small: bool = False
) -> Iterator[T]:
    """The items; the objects of the next ones are fetched before these are asked for, if they are addresses."""
    iterator = iter(items)
    first = next(iterator, None)
    if first is None:
        return
    remote = [path for path in paths(first) if isinstance(path, RemotePath)]
    if not remote:
        yield first
        yield from iterator
        return
    from boxseg.remote.store import store_of

    store, most = store_of(remote[0]), _AHEAD_SMALL if small else _AHEAD
    waiting: deque[tuple[T, list[Future[Any]]]] = deque()

    def start(item: T) -> None:
        there = [path for path in paths(item) if isinstance(path, RemotePath)]
        if small:
            known = ((path, store.known(path)) for path in there)
            there = [path for path, entry in known if entry is not None and entry.size <= _SMALL]
        waiting.append((item, [store.submit(_fetch, path) for path in there]))

    try:
        start(first)
        for item in iterator:
            start(item)
            if len(waiting) > most:
                yield waiting.popleft()[0]
        while waiting:
            yield waiting.popleft()[0]
    finally:
        for _, futures in waiting:
            for future in futures:
                future.cancel()


def fetch_together(paths: Iterable[Path]) -> None:
    """Fetch the objects of addresses, all at once; what is wrong with one is found when it is read."""
    remote = [path for path in paths if isinstance(path, RemotePath)]
    if not remote:
        return
    from boxseg.remote.store import store_of

    for running in [store_of(path).submit(_fetch, path) for path in remote]:
        running.result()


def _fetch(path: RemotePath) -> None:
    from boxseg.remote.store import store_of

    try:
        store_of(path).fetched(path)
    except Exception:  # whoever reads it meets the error again, and says it
        return


def publication_of(folder: Path, names: Names) -> Publication | None:
    """What puts the files of a folder to the address they are made for; None where they are to stay."""
    if not (folder / ADDRESS).is_file():
        return None
    from boxseg.remote.published import publication_of

    return publication_of(folder, names)


@contextmanager
def sending(folder: Path, names: Names) -> Iterator[Callable[[list[Path]], None]]:
    """A function that has those of some files that exist put to the address of their folder, if it has one."""
    publication = publication_of(folder, names)
    if publication is None:
        yield lambda files: None
        return
    yield lambda files: publication.send_soon(file for file in files if file.is_file())
    publication.wait()


def local_copy(path: Path) -> Any:
    """A context with a file of this machine for a path."""
    if not isinstance(path, RemotePath):
        return nullcontext(path)
    from boxseg.remote.store import store_of

    return store_of(path).named(path)
