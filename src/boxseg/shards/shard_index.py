"""All shards of a folder: which of them count, and in which of them a photo is."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from boxseg.documents import read_record
from boxseg.shards.home import RUN
from boxseg.shards.shard_file import Shard, ShardDamage, numbers_of, read_shard

log = logging.getLogger("boxseg")

# Generation, writer, number: those of a later command come later. No two processes write one name.
_NAME = re.compile(r"\d{4,}-[0-9a-f]{12}-\d{5,}")
# Folders whose shards a process knows.
_KNOWN = 4


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A file that does not count.

    Attributes:
        path: The file.
        what: `damaged`, or `foreign`: of another run, or of another program.
    """

    path: Path
    what: Literal["damaged", "foreign"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ShardIndex:
    """The photos of a folder.

    Attributes:
        run: Which run they are of; empty where there are none.
        shards: The shards that count, the oldest first.
        problems: The files that do not.
        high: (n,) uint64, rising: first half of the digest of each photo's ID.
        low: (n,) uint64, its second half.
        where: (n,) int32, the number of its shard; among equal IDs it rises.
        row: (n,) int32, its place there.
    """

    run: str
    shards: tuple[Shard, ...]
    problems: tuple[Problem, ...]
    high: NDArray[np.uint64]
    low: NDArray[np.uint64]
    where: NDArray[np.int32]
    row: NDArray[np.int32]

    @property
    def generation(self) -> int:
        """The last generation of shards; 0 where there are none."""
        return max((generation_of(shard.path) for shard in self.shards), default=0)

    def find(self, name: str) -> tuple[Shard, int, int] | None:
        """The shard of a photo, and the place and size of its members there: of the newest results of it."""
        [high], [low] = numbers_of([name])
        for place in range(int(np.searchsorted(self.high, high, side="right")) - 1, -1, -1):
            if self.high[place] != high:
                return None
            if self.low[place] == low:
                shard = self.shards[self.where[place]]
                entry = shard.places[self.row[place]]
                return shard, int(entry["offset"]), int(entry["size"])
        return None

    def superseded(self) -> Iterator[tuple[Shard, NDArray[np.bool_]]]:
        """Shards with results that newer ones replace, and which of their photos still count."""
        # Equal IDs are side by side, those of older shards first.
        again = (self.high[:-1] == self.high[1:]) & (self.low[:-1] == self.low[1:])
        old = np.flatnonzero(again)
        for number in np.unique(self.where[old]).tolist():
            living = np.ones(len(self.shards[number].places), dtype=bool)
            living[self.row[old][self.where[old] == number]] = False
            yield self.shards[number], living


def is_shard(stem: str) -> bool:
    """Whether a name, without its suffix, is one that boxseg gives to shards."""
    return _NAME.fullmatch(stem) is not None


def generation_of(path: Path) -> int:
    """The generation in the name of a shard."""
    return int(path.name.partition("-")[0])


def stamp_of(folder: Path) -> str:
    """What changes when a file comes, goes or changes."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.glob("*.*")):
        try:
            state = path.stat()
        except FileNotFoundError:
            continue
        digest.update(repr((path.name, state.st_size, state.st_mtime_ns)).encode())
    return digest.hexdigest()


# Files of which a command has said that they do not count.
_said: set[Path] = set()


def forget_shards() -> None:
    """Forget what is known of folders, so that the next command says anew what is wrong with them."""
    load_index.cache_clear()
    _said.clear()


def _say(path: Path, line: str, quiet: bool) -> None:
    if not quiet and path not in _said:
        _said.add(path)
        log.warning(line)


@lru_cache(maxsize=_KNOWN)
def load_index(folder: Path, stamp: str, quiet: bool = False) -> ShardIndex:
    """Read the index of a folder of shards.

    Args:
        folder: The folder.
        stamp: Of the folder, so that it is read once.
        quiet: Leave out what is to be said of files that do not count.

    Raises:
        DataError: What says which run the folder is of is damaged.
    """
    found: list[Shard] = []
    problems: list[Problem] = []
    for path in sorted(folder.glob("[!.]*.tar")):
        try:
            if not is_shard(path.stem) or path.is_symlink():
                raise ShardDamage(f"{path}: it was not written by boxseg")
            found.append(read_shard(path))
        except FileNotFoundError:  # noqa: PERF203 - a command that labels has replaced it just now
            continue
        except ShardDamage as damage:
            ours = is_shard(path.stem) and path.is_file() and not path.is_symlink()
            problems.append(Problem(path=path, what="damaged" if ours else "foreign"))
            _say(path, f"{damage}: {_LEFT_ASIDE if not ours else _NOT_THERE}", quiet)
    found.sort(key=lambda shard: (generation_of(shard.path), shard.path.name))
    run = read_run(folder) or (found[-1].run if found else "")
    others = [shard for shard in found if shard.run != run]
    problems += [Problem(path=shard.path, what="foreign") for shard in others]
    for shard in others:
        _say(shard.path, f"{shard.path}: it is of another run folder: {_LEFT_ASIDE}", quiet)
    return _joined(run, [shard for shard in found if shard.run == run], problems)


_LEFT_ASIDE = "it is left aside, move it elsewhere"
_NOT_THERE = "its photos count as not labelled; `boxseg label`, given again, makes them anew"


def _joined(run: str, shards: Sequence[Shard], problems: Sequence[Problem]) -> ShardIndex:
    counts = [len(shard.places) for shard in shards]
    where = np.repeat(np.arange(len(shards), dtype=np.int32), counts)
    row = np.concatenate([np.arange(count, dtype=np.int32) for count in (0, *counts)])
    none = np.zeros(0, dtype=np.uint64)
    high = np.concatenate([none, *(shard.places["high"] for shard in shards)])
    low = np.concatenate([none, *(shard.places["low"] for shard in shards)])
    order = np.lexsort((row, where, low, high))
    return ShardIndex(
        run=run,
        shards=tuple(shards),
        problems=tuple(problems),
        high=high[order],
        low=low[order],
        where=where[order],
        row=row[order],
    )


def read_run(folder: Path) -> str:
    """Which run the shards of a folder are of; empty where nothing says so.

    Raises:
        DataError: The file that says so is damaged.
    """
    file = folder / RUN
    if not file.is_file():
        return ""
    return read_record(dict[str, str], file, "the name of a run: remove it and label again").get("run", "")
