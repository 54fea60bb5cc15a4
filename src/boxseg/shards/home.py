"""The results of photos in a run folder, whichever way they lie there; and those in files of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from boxseg.atomic import atomic_path
from boxseg.documents import Readable

# The kind of results that shards name by its suffix alone, as webdataset does: a photo's labels.
MAIN = "labels"
# Folders in a run folder: of shards, and of Parquet files of masks, which hold nothing else; and the file among
# the shards that says which run they are of.
SHARDS, TABLES, RUN = "shards", "masks", "run.json"
# Kinds of results that are no pictures.
_TEXTS = ("masks", "instances")

# Results of one photo by their kind, as the files hold them.
Results = Mapping[str, bytes]
# Says what somebody who finds these results alone needs to know of the photo, as JSON types.
Facts = Callable[[], dict[str, Any]]


def suffix_of(kind: str) -> str:
    """The suffix of the files of a kind of results."""
    return ".json" if kind in _TEXTS else ".png"


class Writer(Protocol):
    """Writes the results of photos. Photos that are worked on at the same time are kept one after another.

    Attributes:
        files: Files of many photos that it has written.
        latest: Files that hold the photos which were kept last; none where each has files of its own.
    """

    files: list[Path]
    latest: Sequence[Path]

    def write(self, name: str, results: Results, facts: Facts) -> Any:
        """Write the results of the photo with this ID, in any thread, or give what `keep` is to write."""

    def keep(self, name: str, written: Any) -> None:
        """Take what `write` gave."""


class Home(Protocol):
    """The results of the photos of one run."""

    @property
    def folder(self) -> Path:
        """The run folder."""

    @property
    def gathers(self) -> bool:
        """Whether the masks of all photos are gathered in one file when all are there."""

    @property
    def together(self) -> int | None:
        """Photos that a process gets at once where results lie together; None where each lies alone."""

    def item(self, kind: str, name: str) -> Readable:
        """One result of the photo with this ID, which need not be there."""

    def has(self, name: str, kinds: Sequence[str]) -> bool:
        """Whether all these results of a photo are there, and none is empty."""

    def own_files(self, name: str, kinds: Sequence[str]) -> list[Path]:
        """The files of these results of a photo, if they are its own."""

    @property
    def files(self) -> Sequence[Path]:
        """What another machine must see to read them: files and folders."""

    def stored_in(self, kind: str, name: str) -> Path:
        """The file on the disk that has a result, or would have it."""

    def has_kind(self, kind: str) -> bool:
        """Whether there are results of a kind."""

    def begin(self) -> Home:
        """The same, ready to be written to, which only one command may do at a time."""

    def writer(self, kept: Callable[[list[str]], None]) -> AbstractContextManager[Writer]:
        """A writer for one chunk of photos, of any process; when the block ends, all is written.

        `kept` is called with the IDs of photos whose results are whole, in the order they were kept in.
        """

    def end(self) -> Home:
        """The same when all is written, which that command alone may say."""


@dataclass(frozen=True)
class FileHome:
    """Results in files KIND/ID.png and KIND/ID.json.

    Attributes:
        folder: The run folder.
    """

    folder: Path

    gathers = True
    together = None

    @property
    def files(self) -> Sequence[Path]:  # noqa: D102
        return [self.folder]

    def item(self, kind: str, name: str) -> Path:  # noqa: D102
        return self.folder / kind / f"{name}{suffix_of(kind)}"

    def has(self, name: str, kinds: Sequence[str]) -> bool:  # noqa: D102
        return all(map(has_content, self.own_files(name, kinds)))

    def own_files(self, name: str, kinds: Sequence[str]) -> list[Path]:  # noqa: D102
        return [self.item(kind, name) for kind in kinds]

    def stored_in(self, kind: str, name: str) -> Path:  # noqa: D102
        return self.item(kind, name)

    def has_kind(self, kind: str) -> bool:  # noqa: D102
        return (self.folder / kind).is_dir()

    def begin(self) -> FileHome:  # noqa: D102
        return self

    def writer(self, kept: Callable[[list[str]], None]) -> AbstractContextManager[Writer]:  # noqa: D102
        return nullcontext(_FileWriter(self, kept))

    def end(self) -> FileHome:  # noqa: D102
        return self


def has_content(file: Path) -> bool:
    """Whether a file is there and not empty."""
    try:
        return file.is_file() and file.stat().st_size > 0
    except OSError:
        return False


class _FileWriter:
    def __init__(self, home: FileHome, kept: Callable[[list[str]], None]) -> None:
        self._home, self._kept = home, kept
        self.files: list[Path] = []
        self.latest: Sequence[Path] = ()

    def write(self, name: str, results: Results, facts: Facts) -> None:
        """Each file whole or not at all, and not synced."""
        for kind, content in results.items():
            with atomic_path(self._home.item(kind, name), sync=False) as temporary:
                temporary.write_bytes(content)

    def keep(self, name: str, written: None) -> None:
        self._kept([name])
