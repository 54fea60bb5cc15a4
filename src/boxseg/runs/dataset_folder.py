"""Data sets made from labels: which splits a folder holds, and writing another."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from boxseg.atomic import sync_files, write_text
from boxseg.config import LabelFormat
from boxseg.dataset import BoxDataset
from boxseg.documents import as_record
from boxseg.errors import ConfigError
from boxseg.formats.masks import MaskFolder
from boxseg.formats.writers import OVERLAPPING, SPLIT_FOLDERS, WRITERS, Writing, Written
from boxseg.options import load_mapping
from boxseg.runs.folder import check_folder
from boxseg.runs.label_source import with_labels
from boxseg.runs.layout import FINAL, HOLDER, LOCK, RECORD, piece_path
from boxseg.runs.lock import hold


@dataclass(frozen=True, kw_only=True)
class WrittenDataset:
    """A split that was written; `ConvertResult` describes the attributes."""

    folder: Path
    format: LabelFormat
    split: str
    objects: str
    written: Written
    missing: int
    outside: str = ""

    def lines(self) -> list[str]:
        """What was written, where, and what was left out."""
        done = self.written
        of = {
            "masks": "masks of boxes",
            "outlines": "outlines of objects",
            "boxes": "boxes",
            "regions": "connected regions",
        }[self.objects]
        counts = f"{done.photos} photos, {done.objects} objects ({of})"
        lines = [f"{self.format}: {self.folder}, split {self.split}: {counts}"]
        if done.empty:
            what = {
                "masks": "small masks",
                "outlines": "small outlines",
                "boxes": "boxes without a pixel of their class",
            }
            lines.append(f"  left out: {done.empty} {what.get(self.objects, 'small regions')}")
        if self.missing:
            lines.append(f"  left out: {self.missing} photos without a label")
        if self.outside:
            lines.append(self.outside)
        if done.stray:
            lines.append(
                f"  {done.stray} photos have labels outside the boxes, left out: objects=regions keeps them"
            )
        if done.as_stored:
            lines.append(
                f"  {done.as_stored} photos are turned by EXIF, but boxes and labels are of the stored pixels: "
                "programs must not turn them"
            )
        if done.ignored and self.format in OVERLAPPING:
            lines.append(f"  {done.ignored} photos have pixels of 255, which are no object here")
        return lines


def write_dataset(
    dataset: BoxDataset,
    out: Path,
    name: LabelFormat,
    writing: Writing,
    *,
    missing: int,
    split: str | None = None,
    overwrite: bool = False,
) -> WrittenDataset:
    """Write a data set with the labels as its ground truth.

    Args:
        dataset: The photos with their labels.
        out: Folder to write.
        name: Its format.
        writing: What an object is, and what becomes of the photos.
        missing: Photos without a label, which were left out.
        split: Its name; by default that of `dataset`, as the format calls it.
        overwrite: Whether to replace the split if it is there.

    Raises:
        DataError: A mask or a photo cannot be used.
        ConfigError: The folder holds something else, or the split already.
    """
    split = split or default_split(name, dataset.split)
    record = _open(out, name, split, overwrite)
    hold(out)
    options = {"objects": writing.objects, "min_area": writing.min_area, "photos": writing.photos}
    entry: dict[str, Any] = {"of": str(dataset.root), "split": dataset.split, **options}
    _write_record(out, name, record, split, {**entry, "complete": False})
    written = WRITERS[name](replace(dataset, split=split), out, writing)
    sync_files(file for file in out.rglob("*") if file.is_file())
    _write_record(out, name, record, split, {**entry, "complete": True})
    return WrittenDataset(
        folder=out,
        format=name,
        split=split,
        objects=writing.objects,
        written=written,
        missing=missing,
        outside=_copied_from_outside(dataset) if writing.photos == "copy" else "",
    )


def _copied_from_outside(dataset: BoxDataset) -> str:
    """A line on photos that links, lists or records name outside of the data set; empty if there is none."""
    root = dataset.root.resolve()
    found = [sample.image for sample in dataset.samples if not sample.image.resolve().is_relative_to(root)]
    if not found:
        return ""
    return f"  {len(found)} of the copied photos are from outside of {dataset.root}, such as {found[0]}"


def write_formats(
    names: Sequence[LabelFormat], folder: Path, dataset: BoxDataset, *, changed: bool
) -> list[str]:
    """Write the labels of a label folder to FOLDER/FORMAT, with links to the photos; returns summaries.

    Args:
        names: Formats.
        folder: Holds labels/ID.png.
        dataset: The photos of the labels.
        changed: Whether labels were written since the last time; if not, complete data sets stay.
    """
    lines: list[str] = []
    for name in names:
        out, split = folder / name, default_split(name, dataset.split)
        if not changed and _is_complete(out, split):
            lines.append(f"{name}: {out} (there already)")
            continue
        labelled = with_labels(dataset, MaskFolder(folder / FINAL))
        missing = len(dataset) - len(labelled)
        own = name in OVERLAPPING
        writing = Writing(objects="masks" if own else "boxes", masks=partial(piece_path, folder), photos="link")
        lines += write_dataset(labelled, out, name, writing, missing=missing, overwrite=True).lines()
    return lines


def _is_complete(out: Path, split: str) -> bool:
    file = out / RECORD
    entry = _read_record(file).splits.get(split) if file.is_file() else None
    return bool(entry and entry.get("complete"))


def default_split(name: LabelFormat, split: str) -> str:
    """Name of a split in a format: unchanged, or the one of train, val and test that it contains.

    >>> default_split("yolo-seg", "train2017")
    'train'
    """
    if name not in ("yolo-seg", "masks"):
        return split
    return next((word for word in ("train", "val", "test") if word in split), "train")


def _open(out: Path, name: LabelFormat, split: str, overwrite: bool) -> dict[str, dict[str, Any]]:
    """Check that a folder can take a split, and remove an old one; returns the splits that it holds."""
    if split in ("", ".", "..") or any(sign in split for sign in "/\\:"):
        raise ConfigError(f"split={split!r} cannot be used as the name of a folder and a file")
    check_folder(out)
    file = out / RECORD
    if not file.is_file():
        if out.exists() and any(path.name not in (LOCK, HOLDER) for path in out.iterdir()):
            raise ConfigError(f"{out} is not empty and was not made by `boxseg convert`: choose another folder")
        return {}
    content = _read_record(file)
    if content.format != name:
        raise ConfigError(f"{out} holds a data set in the format {content.format}: choose another folder")
    record = content.splits
    if split in record:
        if not overwrite and record[split].get("complete"):
            raise ConfigError(
                f"{out} already has split {split!r}: write it again with overwrite=true, or give another name "
                "by split="
            )
        for pattern in SPLIT_FOLDERS[name]:
            shutil.rmtree(out / pattern.format(split), ignore_errors=True)
    return record


@dataclass(frozen=True)
class _Record:
    """What convert.yaml says of a folder."""

    format: str
    splits: dict[str, dict[str, Any]]


def _read_record(file: Path) -> _Record:
    what = "which splits are in the folder: choose another folder, or remove this one"
    return as_record(_Record, load_mapping(file), file, what, ConfigError)


def _write_record(
    out: Path, name: LabelFormat, record: Mapping[str, Any], split: str, entry: Mapping[str, Any]
) -> None:
    content = {"format": name, "splits": {**record, split: dict(entry)}}
    write_text(out / RECORD, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
