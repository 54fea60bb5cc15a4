"""Annotation formats: one format, one file. Nothing here imports torch.

`load` recognises the format and reads one split. `formats.listing` explains how to write a reader,
`formats.assemble` what happens to broken items.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from boxseg import plugins
from boxseg.collector import collector_paused
from boxseg.config import Data
from boxseg.config.data import DESCRIPTIONS, FILES
from boxseg.dataset import IGNORE, BoxDataset, Sample
from boxseg.errors import ConfigError, DataError, did_you_mean, shown
from boxseg.formats import coco, csv_table, cvat, label_studio, labelme, voc, voc_loose, yolo
from boxseg.formats.assemble import assemble
from boxseg.formats.box_outlines import without_box_outlines
from boxseg.formats.check import inspect
from boxseg.formats.class_choice import choose_classes
from boxseg.formats.class_remarks import class_remarks
from boxseg.formats.decisions import decisions_on
from boxseg.formats.listing import READ_IN_SILENCE, Listing, Stream
from boxseg.formats.masks import read_mask
from boxseg.formats.sample_counts import truth_flags
from boxseg.formats.samples import held
from boxseg.formats.unsupported import unsupported, unsupported_json
from boxseg.progress import Progress
from boxseg.remote.hooks import is_remote, list_once
from boxseg.wording import counted

log = logging.getLogger("boxseg")

__all__ = ["READERS", "detect", "detect_file", "inspect", "is_known", "load"]

READERS: dict[str, Callable[[Data], Listing]] = {
    "voc": voc.read,
    "yolo": yolo.read,
    "coco": coco.read,
    "cvat": cvat.read,
    "label-studio": label_studio.read,
    "labelme": labelme.read,
    "csv": csv_table.read,
}
# How a format is recognised, the surest signs first.
_DETECTORS: tuple[tuple[str, Callable[[Path], object], str], ...] = (
    ("voc", voc.matches, "JPEGImages/ with Annotations/ or ImageSets/"),
    ("yolo", yolo.matches, "its description, data.yaml or the like"),
    ("coco", coco.matches, "annotations/instances_*.json or */_annotations.coco.json"),
    ("cvat", cvat.matches, "XML of CVAT (<annotations>)"),
    ("label-studio", label_studio.matches, "JSON of Label Studio"),
    ("labelme", labelme.matches, "JSON of labelme beside photos"),
    ("voc", voc_loose.matches, "VOC's XML files without a devkit"),
    ("yolo", yolo.matches_without_yaml, "obj.data, or classes.txt with label files"),
    ("coco", coco.annotation_files, "a JSON file with images and annotations"),
    ("csv", csv_table.matches, "the columns of a CSV file"),
)
# Formats that can list photos without their boxes.
PHOTO_READERS: dict[str, Callable[[Data], Listing]] = {"voc": voc.read_photos}


def load(data: Data, *, boxes: bool = True) -> BoxDataset:
    """Read one split of a data set in any known format.

    Only the headers of photos are read. Boxes are clipped; broken items are left out and listed in `problems`,
    by the rules in `boxseg.formats.assemble`. Without `boxes`, VOC needs no annotations and has no classes.

    Raises:
        DataError: The folder or the split is missing, the format is unknown, or no image is usable.
    """
    with collector_paused(), _names_that_fit():
        return _load(_given(data), boxes)


@contextmanager
def _names_that_fit() -> Iterator[None]:
    """Say that a name in options or files is too long for the system, which would otherwise end the program."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise DataError(f"{shown(error.filename)} is longer than the name of a file can be") from error


def _given(data: Data) -> Data:
    """The data set as it was given; a file in place of the folder decides the format."""
    own = data.in_folder()
    if own.annotations == data.annotations or own.annotations is None or own.format != "auto":
        return own
    return replace(own, format=detect_file(own.root / own.annotations))


def _load(data: Data, boxes: bool) -> BoxDataset:
    _check_root(data.root)
    list_once(data.root)
    name, sign = _recognised(data)
    listing = _list(name, data, boxes)
    count = listing.photos.count if isinstance(listing.photos, Stream) else None
    with Progress(f"read {data.split}", count, after=READ_IN_SILENCE) as bar:
        assembled = assemble(listing.photos, data.exif, data.max_pixels, bar.update)
    samples, remarks = without_box_outlines(assembled.samples, listing.annotations or listing.root)
    problems = [*listing.problems, *assembled.problems, *remarks]
    if not samples:
        why = f"the first problem is {problems[0].file}: {problems[0].what}" if problems else "it lists none"
        raise DataError(f"split {data.split!r} of {listing.root} ({name}) has no usable image: {why}")
    if data.masks is not None:
        samples = _with_masks(samples, data.root / data.masks, len(listing.classes))
    found = BoxDataset(
        root=listing.root,
        format=name,
        split=data.split,
        classes=listing.classes,
        samples=samples,
        category_ids=listing.category_ids,
        annotations=listing.annotations,
        turned=assembled.turned,
    )
    dataset = choose_classes(found, data, held)
    _check_number(dataset)
    problems += class_remarks(dataset)
    decisions = decisions_on(dataset, data, listing, sign)
    log.debug(
        f"{dataset.root}, split {dataset.split}: {name} ({sign}), {counted(len(dataset), 'photo')}, "
        f"{counted(len(dataset.classes), 'class')}, {counted(len(problems), 'problem')}"
    )
    return replace(dataset, problems=tuple(problems), decisions=decisions)


def _check_number(dataset: BoxDataset) -> None:
    if len(dataset.classes) >= IGNORE:
        raise DataError(
            f"{dataset.root} has {counted(len(dataset.classes), 'class')}, but a label mask of 8 bits "
            f"holds at most {IGNORE - 1} (255 means no label): choose some by data.classes, or merge some by "
            "data.merge"
        )


def _list(name: str, data: Data, boxes: bool) -> Listing:
    readers = READERS if boxes else READERS | PHOTO_READERS
    if name in readers:
        return readers[name](data)
    plugin = plugins.find("format", name)
    listing = getattr(plugin, "read", plugin)(data)
    if not isinstance(listing, Listing):
        raise ConfigError(
            f"format {name!r} gave a {type(listing).__name__}, expected a boxseg.formats.listing.Listing"
        )
    return listing


def detect(data: Data) -> str:
    """Name of the format of the folder `data.root`. Plug-ins are asked last.

    Raises:
        DataError: The format is not recognised.
        ConfigError: A plug-in cannot be imported.
    """
    return _detected(data)[0]


def _recognised(data: Data) -> tuple[str, str]:
    """The format of a data set, and how it is known."""
    return _detected(data) if data.format == "auto" else (data.format, "stated by data.format")


def _detected(data: Data) -> tuple[str, str]:
    if data.annotations is not None:
        return detect_file(data.root / data.annotations), f"by the content of {data.annotations}"
    for name, matches, sign in _DETECTORS:
        if matches(data.root):
            return name, f"by {sign}"
    for name in plugins.names("format"):
        if getattr(plugins.find("format", name), "matches", lambda _: False)(data.root):
            return name, "by the plug-in of that name"
    if found := unsupported(data.root):
        raise DataError(f"{data.root}: format not recognised: {found}")
    readers = (voc, yolo, coco, cvat, label_studio, labelme, csv_table)
    looked_for = "; ".join(reader.LOOKED_FOR for reader in readers)
    raise DataError(f"{data.root}: format not recognised, looked for {looked_for}; state it by data.format=")


def is_known(root: Path) -> bool:
    """Whether a folder holds a data set whose format is recognised."""
    try:
        return bool(detect(Data(root=root)))
    except DataError:
        return False


def detect_file(path: Path) -> str:
    """Name of the format of an annotation file.

    Raises:
        DataError: It looks like one of a format that is not read.
    """
    if path.suffix.lower() in DESCRIPTIONS:
        return "yolo"
    if path.suffix.lower() in (".xml", ".csv"):
        return "cvat" if path.suffix.lower() == ".xml" else "csv"
    if labelme.is_annotation(path):
        return "labelme"
    if label_studio.is_export(path):
        return "label-studio"
    if found := unsupported_json(path):
        raise DataError(f"format not recognised: {found}")
    return "coco"


def _check_root(root: Path) -> None:
    if root.is_dir():
        return
    if root.exists():
        raise DataError(f"{root} is a file, expected the folder of a data set, or a file {', '.join(FILES)}")
    if is_remote(root):
        raise DataError(
            f"{root}: nothing is there, neither an object nor a folder of objects: check the address"
        )
    parent = root.absolute().parent
    siblings = [path.name for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
    raise DataError(f"{root}: no such folder{did_you_mean(root.name, siblings)}")


def _with_masks(samples: Sequence[Sample], folder: Path, classes: int) -> Sequence[Sample]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of masks (data.masks, relative to data.root)")

    def masked(sample: Sample) -> Sample:
        path = folder / f"{sample.id}.png"
        return replace(sample, ground_truth=partial(read_mask, path, classes) if path.is_file() else None)

    found = held(map(masked, samples))
    if not any(truth_flags(found)):
        raise DataError(
            f"{folder} has no mask for any of {counted(len(samples), 'image')}, expected "
            f"{Path(f'{samples[0].id}.png').name} and so on"
        )
    return found
