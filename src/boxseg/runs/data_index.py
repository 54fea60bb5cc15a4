"""An index of a large data set in a run folder, so that the next command starts in seconds.

It is written where `out` is, and found there and in the folder above: a stage finds that of its run. It needs
the extra `arrow`; without, and for small data sets, splits are read as ever. An index is of these options of
the data, this version of boxseg, and these files: where names, sizes or times are others, it does not count.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from dataclasses import asdict, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from boxseg import formats
from boxseg.config import Data
from boxseg.dataset import BoxDataset
from boxseg.errors import DataError, is_damage, one_line
from boxseg.formats.parquet import can_be_written, read_dataset, read_notes, write_dataset
from boxseg.formats.sample_columns import Columns
from boxseg.formats.samples import Samples
from boxseg.formats.splits import Splits
from boxseg.remote.hooks import is_remote
from boxseg.runs.file_states import is_older, joined, states_below, states_of
from boxseg.runs.layout import INDEX

log = logging.getLogger("boxseg")

# Of fewer photos, annotations are read in a moment.
FEWEST = 5000
# Of the files; another one makes every index anew.
_FORM = 1


class _Read(NamedTuple):
    """A split that was read, and the state of its files then."""

    data: Data
    boxes: bool
    dataset: BoxDataset
    states: dict[str, str]
    began: int  # nanoseconds since the epoch


class IndexedSplits(Splits):
    """Splits that are read from an index beside `out`, if there is one that is of the files as they are.

    Args:
        out: Folder of the command; None: splits are read as ever.
    """

    def __init__(self, out: Path | None) -> None:
        super().__init__()
        self._places = [] if out is None else [out / INDEX, out.absolute().parent / INDEX]
        self._new: list[_Read] = []
        self._states: dict[tuple[Data, bool], str] = {}

    def state(self, data: Data, *, boxes: bool = True) -> str | None:
        """Digest of the names, sizes and times of all files of a split that was loaded; None if not known."""
        return self._states.get(self.key(data, boxes))

    def read(self, data: Data, boxes: bool) -> BoxDataset:
        """A split, from an index or from its files."""
        own = data.in_folder()
        if not self._places or is_remote(own.root):  # a store tells no times of folders
            return super().read(data, boxes)
        began, states = time.time_ns(), states_below(own.root)
        kept = self._kept(data, boxes, states) if find_spec("pyarrow") else None
        found = super().read(data, boxes) if kept is None else kept
        read = _Read(data, boxes, found, states, began)
        if kept is None:
            self._new.append(read)
        outside = _outside(read)
        if outside is not None:
            self._states[self.key(data, boxes)] = joined({**states, **outside}, own.root)
        return found

    def _kept(self, data: Data, boxes: bool, states: dict[str, str]) -> BoxDataset | None:
        """The split in an index."""
        for place in self._places:
            folder = place / name_of(data, boxes)
            if not folder.is_dir():
                continue
            try:
                stale = not _is_of(read_notes(folder), data, states)
                if not stale:
                    return read_dataset(folder)
                reason = "files of the data set have changed since"
            except Exception as damage:  # pyarrow raises errors of many kinds
                if not is_damage(damage) and not isinstance(damage, DataError):
                    raise
                reason = f"it is damaged ({one_line(damage, 80)})"
            log.info(f"{data.split}: the index {folder} does not count, as {reason}: read anew")
        return None

    def keep(self, folder: Path) -> None:
        """Write an index of the large splits that were read, to a folder that a command has opened."""
        for read in self._new:
            # Of what lists and plug-ins read elsewhere, nothing is known.
            known = not read.data.outside and read.dataset.format in formats.READERS
            if len(read.dataset) >= FEWEST and known and find_spec("pyarrow") and can_be_written(read.dataset):
                _write(folder / INDEX / name_of(read.data, read.boxes), read)
        self._new.clear()


def name_of(data: Data, boxes: bool) -> str:
    """Name of the index of a split: of all options that matter, the place of the data, and boxseg's version."""
    options: dict[str, Any] = asdict(replace(data, val_split=""))
    said = [_FORM, version("boxseg"), boxes, str(data.root.expanduser().absolute()), options]
    digest = hashlib.blake2b(json.dumps(said, default=str, sort_keys=True).encode(), digest_size=8).hexdigest()
    return f"{data.split[:40].replace(os.sep, '_')}-{digest}"


def _is_of(notes: dict[str, Any], data: Data, states: dict[str, str]) -> bool:
    """Whether an index is of the files as they are; folders outside of the data set are looked at, too."""
    outside: dict[str, str] = notes["outside"]
    return bool(notes["state"] == joined(states, data.in_folder().root) and outside == states_of(outside))


def _write(folder: Path, read: _Read) -> None:
    """Write an index, whole or not at all; where that is refused, there is none."""
    outside = _outside(read)
    if outside is None:
        return
    folder.parent.mkdir(exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    try:
        notes = {"state": joined(read.states, read.data.in_folder().root), "outside": outside}
        write_dataset(read.dataset, temporary, notes)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.chmod(folder.parent.stat().st_mode & 0o777)  # others may read what they may read beside it
        temporary.rename(folder)
    except Exception as refused:  # a full disk, or an error of pyarrow: the command goes on without
        if isinstance(refused, MemoryError):
            raise
        log.warning(f"{read.data.split}: no index written to {folder}: {one_line(refused, 200)}")
        shutil.rmtree(temporary, ignore_errors=True)


def _outside(read: _Read) -> dict[str, str] | None:
    """States of the folders that were read and that are not among those below the data set."""
    samples, own = read.dataset.samples, read.data.in_folder()
    if isinstance(samples, Samples):
        columns: Columns = samples.columns
        used = {*columns.folders, *(folder for folder, _ in columns.mask_places)}
    else:  # few, that are held one by one
        used = {sample.image.parent for sample in samples}
    used |= {problem.file.parent for problem in read.dataset.problems}
    if own.annotations is not None:
        used.add((own.root / own.annotations).parent)
    if own.masks is not None:
        used.add(own.root / own.masks)
    if read.dataset.annotations is not None:
        used.add(read.dataset.annotations.parent)
    others = sorted({str(folder) for folder in used} - read.states.keys())
    # What changed while it was read may be another than was read.
    return states_of(others) if is_older(others, read.began) else None
