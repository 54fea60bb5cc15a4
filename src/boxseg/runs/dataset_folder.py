"""Data sets made from labels: which splits a folder holds, and writing another."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import yaml

from boxseg.atomic import is_temporary, remove_temporaries, sync_files, write_text
from boxseg.config import LabelFormat
from boxseg.dataset import BoxDataset
from boxseg.documents import as_record
from boxseg.errors import ConfigError
from boxseg.formats.files import content_digest
from boxseg.formats.georeference import unplaced_line
from boxseg.formats.masks import MaskFolder, truth_digest
from boxseg.formats.writers import OVERLAPPING, SPLIT_FOLDERS, WRITERS, Spread, Writing, Written
from boxseg.options import load_mapping
from boxseg.runs.dataset_maps import copy_maps
from boxseg.runs.folder import check_folder
from boxseg.runs.label_source import LabelSource, with_labels
from boxseg.runs.layout import FINAL, HOLDER, LOCK, RECORD, masks_of_boxes
from boxseg.runs.lock import hold
from boxseg.runs.provenance import boxes_digest, file_state
from boxseg.shards.find import home_of
from boxseg.wording import counted


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
    maps: str = ""
    there: bool = False

    def lines(self) -> list[str]:
        """What was written, where, and what was left out."""
        done = self.written
        of = {
            "masks": "masks of boxes",
            "outlines": "outlines of objects",
            "boxes": "boxes",
            "regions": "connected regions",
        }[self.objects]
        counts = f"{counted(done.photos, 'photo')}, {counted(done.objects, 'object')} ({of})"
        there = ": there already, from the same labels; overwrite=true writes it again" if self.there else ""
        lines = [f"{self.format}: {self.folder}, split {self.split}: {counts}{there}"]
        if done.empty:
            what = {
                "masks": "small masks",
                "outlines": "small outlines",
                "boxes": "boxes without a pixel of their class",
            }
            lines.append(f"  left out: {done.empty} {what.get(self.objects, 'small regions')}")
        if done.left_out:
            lines.append(f"  left out: {counted(done.left_out, 'box')}, by corrections")
        if self.missing:
            lines.append(f"  left out: {counted(self.missing, 'photo')} without a label")
        if done.unplaced:
            lines.append(unplaced_line(done.unplaced))
        if self.outside:
            lines.append(self.outside)
        if done.stray:
            lines.append(
                f"  labels outside the boxes are left out, in {counted(done.stray, 'photo')}: "
                "objects=regions keeps them"
            )
        if done.as_stored:
            lines.append(
                f"  turned by EXIF: {counted(done.as_stored, 'photo')}, but boxes and labels are of the stored "
                "pixels: programs must not turn them"
            )
        if done.ignored and self.format in OVERLAPPING:
            lines.append(f"  pixels of 255 in {counted(done.ignored, 'photo')} are no object here")
        return [*lines, self.maps] if self.maps else lines


def write_dataset(
    source: LabelSource,
    out: Path,
    name: LabelFormat,
    writing: Writing,
    *,
    split: str | None = None,
    overwrite: bool | Literal["changed"] = False,
    maps: bool = False,
) -> WrittenDataset:
    """Write a data set with the labels as its ground truth.

    A split that was made from the same labels with the same options stays: a killed command can be repeated.

    Args:
        source: The photos with their labels.
        out: Folder to write.
        name: Its format.
        writing: What an object is, and what becomes of the photos.
        split: Its name; by default that of the labels, as the format calls it.
        overwrite: Whether to replace the split if it is there; `changed`: if it was made from anything else.
        maps: Whether to write confidence maps and reliable regions beside it.

    Raises:
        DataError: A mask or a photo cannot be used.
        ConfigError: The folder holds something else, or the split already, made from something else.
    """
    split = split or default_split(name, source.dataset.split)
    splits, entry = _splits(out, name, split), _entry(source, writing, maps)
    before = splits.get(split) or {}
    done = _done(before, out / RECORD)
    there = done is not None and overwrite is not True and {**before, **entry, "complete": True} == before
    if before.get("complete") and not overwrite and not there:
        raise ConfigError(
            f"{out} already has split {split!r}: write it again with overwrite=true, or give another name by "
            "split="
        )
    hold(out)
    remove_temporaries(out.rglob(".*"))
    if not there:
        if split in splits:
            _clear(out, name, split, source.dataset)
        _write_record(out, name, splits, split, {**entry, "complete": False})
        written = WRITERS[name](replace(source.dataset, split=split), out, writing)
        said = copy_maps(source.home, out, source.dataset.samples) if maps else ""
        sync_files(file for file in out.rglob("*") if file.is_file())
        done = _Done(written=written, maps_written=said)
        _write_record(out, name, splits, split, {**entry, "complete": True, **asdict(done)})
    assert done is not None
    return WrittenDataset(
        folder=out,
        format=name,
        split=split,
        objects=writing.objects,
        written=done.written,
        missing=source.missing,
        maps=done.maps_written,
        there=there,
        outside=_copied_from_outside(source.dataset) if writing.photos == "copy" else "",
    )


def _clear(out: Path, name: LabelFormat, split: str, dataset: BoxDataset) -> None:
    """Remove the folders of a split, unless it is to be made of the photos in them."""
    folders = [(out / pattern.format(split)).resolve() for pattern in SPLIT_FOLDERS[name]]
    for sample in dataset.samples:
        image = sample.image
        places = (image.resolve(), image.parent.resolve() / image.name)  # a link, and what it leads to
        if any(place.is_relative_to(folder) for folder in folders for place in places):
            raise ConfigError(
                f"split {split!r} of {out} would be replaced, and the photos to write, such as {image}, lie in "
                "it: choose another folder"
            )
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _copied_from_outside(dataset: BoxDataset) -> str:
    """A line on photos that links, lists or records name outside of the data set; empty if there is none."""
    root = dataset.root.resolve()
    found = [sample.image for sample in dataset.samples if not sample.image.resolve().is_relative_to(root)]
    if not found:
        return ""
    return f"  {len(found)} of the copied photos are from outside of {dataset.root}, such as {found[0]}"


def write_formats(
    names: Sequence[LabelFormat], folder: Path, dataset: BoxDataset, spread: Spread | None = None
) -> list[str]:
    """Write the labels of a label folder to FOLDER/FORMAT, with links to the photos; returns summaries.

    `spread` has the photos written elsewhere. Complete data sets of the same labels stay.
    """
    home = home_of(folder)
    masks = MaskFolder.of(home, FINAL)
    corrected = any(sample.corrections for sample in dataset.samples)
    lines: list[str] = []
    for name in names:
        labelled = with_labels(dataset, masks)
        objects: Literal["masks", "boxes"] = "masks" if name in OVERLAPPING else "boxes"
        missing = len(dataset) - len(labelled)
        source = LabelSource(dataset=labelled, masks=masks, objects=objects, missing=missing, home=folder)
        writing = Writing(
            objects=objects,
            masks=partial(masks_of_boxes, home),
            corrected=corrected,
            photos="link",
            spread=spread,
        )
        lines += write_dataset(source, folder / name, name, writing, overwrite="changed").lines()
    return lines


# Of `Writing`: files, which count by content, and where the work is done.
_NO_OPTIONS = ("masks", "corrected", "spread")


def _entry(source: LabelSource, writing: Writing, maps: bool) -> dict[str, Any]:
    """What a split is made from: the labels, by content, and the options."""
    options = {name: value for name, value in vars(writing).items() if name not in _NO_OPTIONS}
    digest = hashlib.blake2b(digest_size=16)
    for sample in source.dataset.samples:
        counts = writing.objects == "masks" or writing.corrected
        own = writing.masks(sample) if writing.masks and counts else None
        parts = (
            sample.id,
            *file_state(sample.image),
            boxes_digest(sample, source.dataset.classes),
            source.masks.digest(sample.id) if source.masks else truth_digest(sample.ground_truth),
            content_digest(own) if own and own.is_file() else "",
        )
        digest.update(repr(parts).encode())
    of = {"of": str(source.dataset.root), "split": source.dataset.split}
    return {**of, **options, "maps": maps, "labels": digest.hexdigest()}


def default_split(name: LabelFormat, split: str) -> str:
    """Name of a split in a format: unchanged, or the one of train, val and test that it contains.

    >>> default_split("yolo-seg", "train2017")
    'train'
    """
    if name not in ("yolo-seg", "masks"):
        return split
    return next((word for word in ("train", "val", "test") if word in split), "train")


def _splits(out: Path, name: LabelFormat, split: str) -> dict[str, dict[str, Any]]:
    """What is recorded of the splits in a folder, after a check that it can take this one."""
    if split in ("", ".", "..") or any(sign in split for sign in "/\\:"):
        raise ConfigError(f"split={split!r} cannot be used as the name of a folder and a file")
    check_folder(out)
    file = out / RECORD
    if not file.is_file():
        if out.exists() and not all(map(_is_of_a_killed_command, out.iterdir())):
            raise ConfigError(f"{out} is not empty and was not made by `boxseg convert`: choose another folder")
        return {}
    content = _read_record(file)
    if content.format != name:
        raise ConfigError(f"{out} holds a data set in the format {content.format}: choose another folder")
    return content.splits


@dataclass(frozen=True)
class _Record:
    """What convert.yaml says of a folder."""

    format: str
    splits: dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class _Done:
    """What convert.yaml says of a split that was written to its end, beside what it was made from."""

    written: Written
    maps_written: str


def _done(entry: Mapping[str, Any], file: Path) -> _Done | None:
    """How much of a split was written; None if that is not known: then it is not taken for finished."""
    try:
        return as_record(_Done, entry, file, "how much was written", ConfigError)
    except ConfigError:
        return None


def _read_record(file: Path) -> _Record:
    what = "which splits are in the folder: choose another folder, or remove this one"
    return as_record(_Record, load_mapping(file), file, what, ConfigError)


def _is_of_a_killed_command(path: Path) -> bool:
    """Whether this may be all that a command left that was killed before it wrote its record."""
    return path.name in (LOCK, HOLDER) or is_temporary(path)


def _write_record(
    out: Path, name: LabelFormat, splits: Mapping[str, Any], split: str, entry: Mapping[str, Any]
) -> None:
    content = {"format": name, "splits": {**splits, split: dict(entry)}}
    write_text(out / RECORD, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
