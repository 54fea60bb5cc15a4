"""The beginning of an object as a file: size and orientation of a photo need no more of it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from boxseg.remote.address import RemotePath

if TYPE_CHECKING:
    from boxseg.remote.store import Store

# Bytes that are asked for first: the headers of most photos, with the small picture that cameras put there.
FIRST = 1 << 16
# Bytes of an object that is rather fetched whole, if all of its folder have room on this machine.
SMALL = 1 << 22
# Requests for parts of an object, before all of it is fetched.
_PARTS = 4


class Beginning(io.RawIOBase):
    """An object whose parts are asked for as they are read; after a few, it is fetched whole."""

    def __init__(self, store: Store, path: RemotePath, size: int) -> None:
        self._store, self._path, self._size = store, path, size
        self._place, self._asked = 0, 0
        self._parts: list[tuple[int, bytes]] = []
        self._whole: bytes | None = None

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The place that is read next."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, target: object) -> int:
        """Read what there is room for, or up to the end of the part that is known."""
        view = memoryview(target).cast("B")  # type: ignore[arg-type]
        content = self._at(self._place, len(view))
        view[: len(content)] = content
        self._place += len(content)
        return len(content)

    def _at(self, place: int, count: int) -> bytes:
        if place >= self._size or not count:
            return b""
        if self._whole is None:
            for start, part in self._parts:
                if start <= place < start + len(part):
                    return part[place - start : place - start + count]
            if self._asked < _PARTS:
                end = min(self._size, place + max(FIRST, count))
                self._asked += 1
                self._parts.append((place, self._store.part(self._path, place, end)))
                return self._parts[-1][1][:count]
            with self._path.open("rb") as file:
                self._whole = file.read()
        return self._whole[place : place + count]
