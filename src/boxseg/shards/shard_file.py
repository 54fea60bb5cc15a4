"""One shard: an uncompressed tar as webdataset reads it, that also says where in it each photo is.

A photo has members KEY.png (labels), KEY.json (what the photo is) and KEY.KIND.png or .json, one after another.
Behind the last photo are two members that webdataset leaves out: `__index__` has the place of each photo, and
`__end__`, of one block, the place of the index. So one look at the end of a file tells whether it is whole, and
what it holds. Nothing is ever unpacked to the disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from boxseg.atomic import atomic_path
from boxseg.documents import as_record
from boxseg.errors import DataError, is_damage, one_line
from boxseg.shards.home import MAIN, suffix_of
from boxseg.shards.keys import digest_of, key_of

_INDEX, _END = "__index__", "__end__"
_BLOCK = 512
# The member `__end__`, and the two empty blocks behind it.
_TAIL = 4 * _BLOCK
_VERSION = 1
# Where a photo is in a file: the digest of its ID, as two numbers, the place of its first member, and the bytes
# of all its members.
PLACE = np.dtype([("high", "<u8"), ("low", "<u8"), ("offset", "<u8"), ("size", "<u4")])
# Photos up to this size are read as a whole; of larger ones, only what is asked for.
_AT_ONCE = 1 << 18
# Files that a process holds open.
_OPEN = 32

# The member that says what a photo is.
FACTS = "json"


class ShardDamage(DataError):
    """A file is no whole shard."""


def member_of(kind: str) -> str:
    """What stands behind a photo's key in the name of the member that holds a result of this kind."""
    return suffix_of(kind)[1:] if kind == MAIN else f"{kind}{suffix_of(kind)}"


@dataclass(frozen=True, kw_only=True)
class _End:
    """What `__end__` says."""

    boxseg: int  # version of the layout
    run: str  # which run the shard is of
    photos: int
    index: int  # place of the index's content
    digest: str  # of that content
    members: list[str]  # what each photo has, behind its key


@dataclass(frozen=True, kw_only=True, eq=False)
class Shard:
    """A whole shard.

    Attributes:
        path: The file.
        run: Which run it is of.
        members: What each of its photos has, by what stands behind the key.
        places: Where they are, (n,) of `PLACE`, in the order in which they were written.
    """

    path: Path
    run: str
    members: frozenset[str]
    places: NDArray[Any]


class ShardFile:
    """A shard that is being written. Under its name it appears whole or not at all, when it is closed.

    Attributes:
        path: Where it will be.
        names: IDs of its photos.
        size: Bytes so far.
    """

    def __init__(self, path: Path, run: str) -> None:
        self.path, self.names, self.size = path, list[str](), 0
        self._run, self._places = run, list[tuple[int, int, int, int]]()
        self._members: frozenset[str] = frozenset()
        self._stack = ExitStack()
        temporary = self._stack.enter_context(atomic_path(path))
        self._file = self._stack.enter_context(temporary.open("wb"))

    def add(self, name: str, members: Mapping[str, bytes]) -> None:
        """Write the members of a photo; every photo of a file has the same ones."""
        start, key = self.size, key_of(name)
        for member, content in members.items():
            self._write(f"{key}.{member}", content)
        self.names.append(name)
        self._members = frozenset(members)
        self._places.append((*_numbers(name), start, self.size - start))

    def takes(self, members: Mapping[str, bytes]) -> bool:
        """Whether a photo with these members may be among the others."""
        return not self.names or self._members == members.keys()

    def close(self) -> None:
        """Write the index, and give the file its name once it is on the disk."""
        content = np.array(self._places, dtype=PLACE).tobytes()
        end = _End(
            boxseg=_VERSION,
            run=self._run,
            photos=len(self.names),
            index=self.size + _BLOCK,
            digest=_digest(content),
            members=sorted(self._members),
        )
        self._write(_INDEX, content)
        self._write(_END, json.dumps(vars(end)).encode("ascii").ljust(_BLOCK))
        self._file.write(bytes(2 * _BLOCK))
        self._file.flush()
        # The file is closed before `atomic_path`, below it on the stack, syncs and moves it.
        self._stack.close()

    def discard(self, error: BaseException) -> None:
        """Leave nothing of the file behind; `error` is why."""
        with suppress(OSError):  # what is still to be written may not fit the disk, either
            self._stack.__exit__(type(error), error, error.__traceback__)

    def _write(self, name: str, content: bytes) -> None:
        header = tarfile.TarInfo(name)
        header.size = len(content)
        self._file.write(header.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict"))
        self._file.write(content)
        self._file.write(bytes(-len(content) % _BLOCK))
        self.size += _BLOCK + _padded(len(content))


def _numbers(name: str) -> tuple[int, int]:
    """An ID as the index looks it up."""
    digest = digest_of(name)
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def numbers_of(names: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The numbers `high` and `low` by which places are found, of some IDs."""
    digests = np.frombuffer(b"".join(map(digest_of, names)), dtype="<u8").reshape(-1, 2)
    return digests[:, 0].astype(np.uint64), digests[:, 1].astype(np.uint64)


def _padded(size: int) -> int:
    return size + -size % _BLOCK


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def read_shard(path: Path) -> Shard:
    """What a shard says of itself at its end; its photos are not looked at.

    Raises:
        ShardDamage: It is cut, or was not written by boxseg.
        DataError: It is of another version of boxseg.
        OSError: The system does not give the file.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < _TAIL:
            raise ShardDamage(f"{path}: it is {'empty' if size == 0 else 'cut short'}")
        try:
            end, places = _read_end(file, path, size)
        except OSError:  # of a drive, which says nothing of the file
            raise
        except Exception as error:
            if not is_damage(error) and not isinstance(error, DataError):
                raise
            raise ShardDamage(f"{path}: it is cut short, or damaged at its end") from error
    if end.boxseg != _VERSION:
        raise DataError(f"{path}: a shard of layout {end.boxseg}, expected {_VERSION}: upgrade boxseg")
    return Shard(path=path, run=end.run, members=frozenset(end.members), places=places)


def _read_end(file: IO[bytes], path: Path, size: int) -> tuple[_End, NDArray[Any]]:
    file.seek(size - _TAIL)
    tail = file.read(_TAIL)
    _check(tail[:_BLOCK], _END, _BLOCK)
    end = as_record(_End, json.loads(tail[_BLOCK : 2 * _BLOCK]), path, "the end of a shard")
    if end.boxseg > _VERSION:
        return end, np.zeros(0, dtype=PLACE)
    if end.boxseg != _VERSION or any(tail[2 * _BLOCK :]):
        raise ValueError("unknown layout")
    length = end.photos * PLACE.itemsize
    if end.photos < 0 or end.index < _BLOCK or end.index + _padded(length) != size - _TAIL:
        raise ValueError("index elsewhere")
    file.seek(end.index - _BLOCK)
    _check(file.read(_BLOCK), _INDEX, length)
    content = file.read(length)
    if _digest(content) != end.digest:
        raise ValueError("damaged index")
    places = np.frombuffer(content, dtype=PLACE)
    ends = places["offset"] + places["size"]
    if (ends < places["offset"]).any() or (ends > end.index - _BLOCK).any():
        raise ValueError("photos outside of the file")
    return end, places


def _check(header: bytes, name: str, size: int) -> None:
    """Check that a member is the one that is expected."""
    if (found := _header(header)) != (name, size):
        raise ValueError(f"member {found[0]!r} in place of {name!r}")


def _header(block: bytes) -> tuple[str, int]:
    """Name and size of a member. Only headers of plain files are read, as `tarfile` writes them for us."""
    total = 8 * ord(" ") + sum(block[:148]) + sum(block[156:])
    plain = block[156:157] == tarfile.REGTYPE and block[257:265] == tarfile.POSIX_MAGIC
    if len(block) != _BLOCK or not plain or any(block[345:]) or int(block[148:154], 8) != total:
        raise ValueError(f"header {block[:100]!r}")
    return block[:100].rstrip(b"\0").decode("ascii"), int(block[124:135], 8)


def read_member(shard: Shard, name: str, offset: int, size: int, member: str) -> bytes:
    """One member of a photo.

    Args:
        shard: The shard.
        name: ID of the photo.
        offset: Place of its first member.
        size: Bytes of all its members.
        member: What stands behind the key in the member's name.

    Raises:
        DataError: The file is gone or damaged there, or the place holds something else.
    """
    try:
        with _Reader(shard.path) as reader:
            return _find(reader.read, name, offset, size, member)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(f"{shard.path}: it cannot be read ({reason}): give the command again") from error
    except Exception as error:
        if not is_damage(error):
            raise
        raise DataError(
            f"{shard.path}: it is damaged at photo {name} ({one_line(error, 200)}): remove it and label again"
        ) from error


def read_photos(shard: Shard, places: NDArray[Any]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """ID and members of photos of a shard, one after another; errors as for `read_member`."""
    for place in places:
        offset, size = int(place["offset"]), int(place["size"])
        try:
            with _Reader(shard.path) as reader:
                found = list(_members(reader.read, offset, size))
            # As webdataset does: the key ends at the first dot after the last slash.
            members = {full.rpartition("/")[2].partition(".")[2]: content for full, content in found}
            name = str(json.loads(members[FACTS])["id"])
            own = [f"{key_of(name)}.{member}" for member in members]
            if _numbers(name) != (int(place["high"]), int(place["low"])) or own != [full for full, _ in found]:
                raise ValueError("another photo")
        except Exception as error:
            if not is_damage(error):
                raise
            raise DataError(
                f"{shard.path}: it is damaged ({one_line(error, 200)}): remove it and label again"
            ) from error
        yield name, members


_Read = Callable[[int, int], bytes]


def _find(read: _Read, name: str, offset: int, size: int, member: str) -> bytes:
    wanted = f"{key_of(name)}."
    buffered = _buffered(read, offset, size)
    for full, start, length in _headers(buffered, offset, size):
        if not full.startswith(wanted):
            raise ValueError(f"member {full!r}")
        if full == wanted + member:
            return buffered(start, length)
    raise ValueError(f"no member {wanted}{member}")


def _members(read: _Read, offset: int, size: int) -> Iterator[tuple[str, bytes]]:
    """All members of a photo, by their names."""
    buffered = _buffered(read, offset, size)
    for full, start, length in _headers(buffered, offset, size):
        yield full, buffered(start, length)


def _buffered(read: _Read, offset: int, size: int) -> _Read:
    """Reads from the bytes of a photo, if they are few."""
    if size > _AT_ONCE:
        return read
    content = read(offset, size)
    return lambda start, count: content[start - offset : start - offset + count]


def _headers(read: _Read, offset: int, size: int) -> Iterator[tuple[str, int, int]]:
    """Names of the members of a photo, where their content begins, and its bytes."""
    at, end = offset, offset + size
    while at < end:
        name, length = _header(read(at, _BLOCK))
        if length < 0 or at + _BLOCK + _padded(length) > end:
            raise ValueError(f"member {name!r}")
        yield name, at + _BLOCK, length
        at += _BLOCK + _padded(length)


# Open files by path, the one used last at the end. One that is taken out is closed by its last reader.
_files: OrderedDict[Path, IO[bytes]] = OrderedDict()
_lock = threading.Lock()


class _Reader:
    """Reads at any place of a file, in several threads at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> _Reader:
        with _lock:
            file = _files.pop(self._path, None)
            if file is None:
                file = self._path.open("rb", buffering=0)  # closed when it is forgotten
            _files[self._path] = file
            while len(_files) > _OPEN:
                _files.popitem(last=False)
        self._file = file
        return self

    def __exit__(self, *_: object) -> None:
        del self._file

    def read(self, offset: int, size: int) -> bytes:
        if size < 0:
            raise ValueError("negative size")
        content = self._pread(offset, size)
        if len(content) != size:
            raise ValueError("cut short")
        return content

    def _pread(self, offset: int, size: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), size, offset)
        with _lock:
            self._file.seek(offset)
            return self._file.read(size)


def forget_files() -> None:
    """Close the files that no thread reads, as a new process must do: another may have held the lock."""
    global _lock
    _lock = threading.Lock()
    _files.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_files)
