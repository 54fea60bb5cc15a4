"""The results of photos in shards: tars of many photos, and a Parquet file of masks for each.

Every process writes shards of its own, and each appears under its name when it is whole. What is made of a
photo later replaces what was made before; the command that labels takes the old results out at its end.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from boxseg.atomic import write_json
from boxseg.errors import DataError
from boxseg.shards.home import RUN, SHARDS, TABLES, Facts, Results, Writer, has_content, suffix_of
from boxseg.shards.mask_table import mask_rows, parquet, table_of, write_table
from boxseg.shards.shard_file import FACTS, Shard, ShardFile, member_of, read_member, read_photos
from boxseg.shards.shard_index import ShardIndex, is_shard, load_index, stamp_of

# What stands behind a photo's key in its members, and their content.
_Members = Mapping[str, bytes]


@dataclass(frozen=True)
class ShardHome:
    """Results in OUT/shards.

    What it knows of the shards is what they were when they were first asked for; in another process, too.

    Attributes:
        folder: The run folder.
        photos: Most photos of a shard that is written.
        size: Bytes from which a shard is full.
        run: Which run shards are written for; empty for reading.
        generation: In the names of shards that are written.
        stamp: Of the shards; None until they are asked for.
    """

    folder: Path
    photos: int = 1000
    size: int = 256_000_000
    run: str = ""
    generation: int = 0
    stamp: str | None = None

    gathers = False

    @property
    def together(self) -> int:  # noqa: D102
        return self.photos

    @property
    def files(self) -> Sequence[Path]:  # noqa: D102
        return [self.place]

    @property
    def place(self) -> Path:
        """The folder of the shards."""
        return self.folder / SHARDS

    @cached_property
    def index(self) -> ShardIndex:
        """Where photos are.

        Raises:
            DataError: What says which run the shards are of is damaged.
        """
        return load_index(self.place, self._stamp, quiet=self.stamp is not None)

    @cached_property
    def _stamp(self) -> str:
        return self.stamp or stamp_of(self.place)

    def __getstate__(self) -> dict[str, Any]:
        """Other processes read the index themselves: it may be larger than all they do."""
        kept = {name: value for name, value in vars(self).items() if name not in ("index", "_stamp")}
        return {**kept, "stamp": vars(self).get("_stamp", self.stamp)}

    def item(self, kind: str, name: str) -> ShardItem:  # noqa: D102
        return ShardItem(self, kind, name)

    def has(self, name: str, kinds: Sequence[str]) -> bool:  # noqa: D102
        found = self.index.find(name)
        return found is not None and all(member_of(kind) in found[0].members for kind in kinds)

    def own_files(self, name: str, kinds: Sequence[str]) -> list[Path]:  # noqa: D102
        return []

    def stored_in(self, kind: str, name: str) -> Path:  # noqa: D102
        found = self.index.find(name)
        return found[0].path if found else self.place

    def has_kind(self, kind: str) -> bool:  # noqa: D102
        return any(member_of(kind) in shard.members for shard in self.index.shards)

    def begin(self) -> ShardHome:
        """The same, ready for one command to write; takes away damaged shards, whose photos are not there.

        Raises:
            MissingExtraError: PyArrow is not installed.
        """
        parquet()
        fresh = self._fresh()
        for problem in fresh.index.problems:
            if problem.what == "damaged":
                problem.path.unlink(missing_ok=True)
                table_of(problem.path).unlink(missing_ok=True)
        run = fresh.index.run or secrets.token_hex(8)
        self.place.mkdir(parents=True, exist_ok=True)
        write_json(self.place / RUN, {"run": run})
        return replace(fresh, run=run, generation=fresh.index.generation + 1)

    @contextmanager
    def writer(self, kept: Callable[[list[str]], None]) -> Iterator[Writer]:
        """As of `Home`. Photos are kept when their shard is on the disk: when it is full, or at the end."""
        writer = _ShardWriter(self, kept)
        try:
            yield writer
        except BaseException as error:  # what is whole is not made again, unless the disk is the reason
            if isinstance(error, OSError):
                writer.discard(error)
            else:
                writer.close()
            raise
        writer.close()

    def end(self) -> ShardHome:
        """As of `Home`: takes out results that newer ones replace, and makes Parquet files that are missing."""
        index = self._fresh().index
        for shard, living in index.superseded():
            places = shard.places[living]
            with self.writer(lambda _: None) as writer:
                for name, members in read_photos(shard, places):
                    writer.keep(name, members)
            shard.path.unlink()
            table_of(shard.path).unlink(missing_ok=True)
        fresh = self._fresh()
        tables = {table_of(shard.path): shard for shard in fresh.index.shards}
        for table, shard in tables.items():
            if not has_content(table):
                _write_table(shard)
        for table in (self.folder / TABLES).glob("[!.]*.parquet"):
            if table not in tables and is_shard(table.stem):
                table.unlink()
        return fresh

    def _fresh(self) -> ShardHome:
        """The same with what is there now, for reading."""
        return ShardHome(self.folder, photos=self.photos, size=self.size)


def _write_table(shard: Shard) -> None:
    photos = read_photos(shard, shard.places)
    write_table(shard.path, (row for _, members in photos for row in mask_rows(shard.path, members)))


@dataclass(frozen=True)
class ShardItem:
    """One result of a photo, which reads like a file.

    Attributes:
        home: The shards.
        kind: Which result.
        photo: ID of the photo.
    """

    home: ShardHome
    kind: str
    photo: str

    @property
    def name(self) -> str:
        """What the file would be called."""
        return f"{self.photo.rpartition('/')[2]}{suffix_of(self.kind)}"

    def is_file(self) -> bool:
        """Whether it is there."""
        return self.home.has(self.photo, [self.kind])

    def read_bytes(self) -> bytes:
        """The same bytes as the file would have.

        Raises:
            DataError: There are none, or the shard is damaged.
        """
        found = self.home.index.find(self.photo)
        if found is None:
            raise DataError(f"{self}: there is no such photo")
        shard, offset, size = found
        return read_member(shard, self.photo, offset, size, member_of(self.kind))

    def __str__(self) -> str:
        """The folder, the kind and the ID."""
        return f"{self.home.place}: {self.kind} of {self.photo}"


class _ShardWriter:
    """Writes shards one after another, each of as many photos as it may have."""

    def __init__(self, home: ShardHome, kept: Callable[[list[str]], None]) -> None:
        self._home, self._kept = home, kept
        self._own, self.files = secrets.token_hex(6), list[Path]()
        self.latest: Sequence[Path] = ()
        self._open: ShardFile | None = None
        self._rows: list[dict[str, Any]] = []

    def write(self, name: str, results: Results, facts: Facts) -> _Members:
        members = {member_of(kind): content for kind, content in results.items()}
        said = json.dumps({"id": name, **facts()}, separators=(",", ":")) + "\n"
        return {**members, FACTS: said.encode("ascii")}

    def keep(self, name: str, written: _Members) -> None:
        if self._open is not None and not self._open.takes(written):
            self.close()
        if self._open is None:
            path = self._home.place / f"{self._home.generation:04d}-{self._own}-{len(self.files):05d}.tar"
            self._open = ShardFile(path, self._home.run)
        self._open.add(name, written)
        self._rows += mask_rows(self._open.path, written)
        if len(self._open.names) >= self._home.photos or self._open.size >= self._home.size:
            self.close()

    def close(self) -> None:
        """End the open shard, if there is one: a file with masks first, so that no shard is without."""
        done, rows = self._open, self._rows
        if done is None:
            return
        self._open, self._rows = None, []
        try:
            write_table(done.path, rows)
            done.close()
        except BaseException as error:
            done.discard(error)
            raise
        self.files.append(done.path)
        self.latest = (self._home.place / RUN, table_of(done.path), done.path)
        self._kept(done.names)

    def discard(self, error: BaseException) -> None:
        """Leave nothing of the open shard."""
        if self._open is not None:
            self._open.discard(error)
            self._open = None
