"""A disk that loses power: what was not synced when it does is gone."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest


class PowerLost(Exception):
    """The machine is off. No `finally` can change what the disk then holds."""


@dataclass
class SimulatedDisk:
    """Follows what programs write below a folder, and says what is left after a loss of power.

    A file's content is safe once the file was synced, a name once its folder was. Of what is not safe a real
    disk may hold any part. `left` gives the two ends: nothing of it, or all names, with empty files behind.

    Attributes:
        folder: What is followed.
        fails_at: Number of the write (a sync or a change of a name) before which power is lost.
        writes: How many there were.
    """

    folder: Path
    fails_at: int | None = None
    writes: int = 0
    _contents: dict[int, bytes] = field(default_factory=dict)  # by inode: as last synced
    _names: dict[Path, int] = field(default_factory=dict)  # as last synced
    _now: dict[Path, int] = field(default_factory=dict)
    _off: bool = False

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take over the system's calls."""
        fsync, replace = os.fsync, os.replace

        def watched_fsync(handle: int) -> None:
            self._before_write()
            fsync(handle)
            self._synced(Path(f"/proc/self/fd/{handle}").readlink())

        def watched_replace(source: str | Path, target: str | Path) -> None:
            self._before_write()
            inode = Path(source).stat().st_ino
            replace(source, target)
            self._now.pop(Path(source), None)
            self._now[Path(target)] = inode

        monkeypatch.setattr(os, "fsync", watched_fsync)
        monkeypatch.setattr(os, "replace", watched_replace)
        # In Python 3.10 paths keep the function that there was when they were imported.
        monkeypatch.setattr(Path, "replace", lambda path, target: watched_replace(path, target) or Path(target))

    def left(self, *, names: bool) -> dict[Path, bytes]:
        """Files after the loss of power: with the names that were synced, or with all names."""
        known = self._now if names else self._names
        return {path: self._contents.get(inode, b"") for path, inode in known.items()}

    def _before_write(self) -> None:
        if self._off or self.writes == self.fails_at:
            self._off = True
            raise PowerLost
        self.writes += 1

    def _synced(self, path: Path) -> None:
        if path.is_dir():
            kept = {name: inode for name, inode in self._names.items() if name.parent != path}
            self._names = kept | {name: inode for name, inode in self._now.items() if name.parent == path}
        else:
            self._contents[path.stat().st_ino] = path.read_bytes()


def lose_power_everywhere(
    work: Callable[[Path], None],
    check: Callable[[dict[Path, bytes]], None],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> int:
    """Do the work again and again, losing power before each of its writes, and check what is left each time.

    Returns:
        The number of losses.
    """
    losses = 0
    while True:
        disk = SimulatedDisk(folder / str(losses), fails_at=losses)
        disk.folder.mkdir()
        with monkeypatch.context() as patched:
            disk.install(patched)
            try:
                work(disk.folder)
                ended = True
            except PowerLost:
                ended = False
        for names in (False, True):
            check({path.relative_to(disk.folder): text for path, text in disk.left(names=names).items()})
        if ended:
            return losses
        losses += 1
