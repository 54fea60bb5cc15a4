"""What a store has below a folder, listed once: questions about files and folders there cost nothing more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Entry(NamedTuple):
    """An object as it is listed."""

    size: int  # bytes
    time: int  # of the last change, nanoseconds
    tag: str  # changes with the content, and may be its MD5; empty where the store gives none


class Listing:
    """Objects by folder and name; folders are relative to the top, `` for the top itself."""

    def __init__(self, objects: Iterable[tuple[str, Entry]]) -> None:
        self._files: dict[str, dict[str, Entry]] = {}
        self._inner: dict[str, set[str]] = {}
        self.size = 0
        for key, entry in objects:
            folder, _, name = key.rpartition("/")
            if not name:  # some tools make an empty object `folder/` for each folder
                continue
            self._add_folder(folder)
            self._files[folder][name] = entry
            self.size += entry.size

    def _add_folder(self, folder: str) -> None:
        while folder not in self._files:
            self._files[folder] = {}
            if not folder:
                return
            above, _, name = folder.rpartition("/")
            self._inner.setdefault(above, set()).add(name)
            folder = above

    def file(self, key: str) -> Entry | None:
        """The object of a key."""
        folder, _, name = key.rpartition("/")
        return self._files.get(folder, {}).get(name)

    def replace(self, key: str, entry: Entry) -> None:
        """Note that an object has changed."""
        folder, _, name = key.rpartition("/")
        self._files[folder][name] = entry

    def has_folder(self, folder: str) -> bool:
        """Whether there are objects below a folder."""
        return folder in self._files

    def names(self, folder: str) -> list[str]:
        """Names of files and folders directly in a folder, in their order."""
        return sorted({*self._files.get(folder, {}), *self._inner.get(folder, ())})

    def folders(self, folder: str) -> Iterator[str]:
        """The folder, and all below it."""
        if folder in self._files:
            yield folder
            for name in sorted(self._inner.get(folder, ())):
                yield from self.folders(f"{folder}/{name}" if folder else name)

    def items(self) -> Iterator[tuple[str, Entry]]:
        """All objects by key."""
        for folder, files in self._files.items():
            for name, entry in files.items():
                yield (f"{folder}/{name}" if folder else name), entry
