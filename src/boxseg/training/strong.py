"""Photos with true masks: the data set's own, those of a folder, or those of an annotation file."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boxseg import formats
from boxseg.config import Data
from boxseg.config.data import DESCRIPTIONS
from boxseg.data.labels import GROUND_TRUTH
from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import DataError
from boxseg.formats.files import listed
from boxseg.formats.masks import read_mask
from boxseg.formats.problems import report_problems
from boxseg.formats.samples import held
from boxseg.jobs import SegmentJob
from boxseg.runs.label_source import mask_folder
from boxseg.wording import counted_of

log = logging.getLogger("boxseg")

MaskReader = Callable[[], NDArray[np.uint8]]


@dataclass(frozen=True)
class Renumbered:
    """A mask whose classes have other numbers in another data set."""

    read: MaskReader
    numbers: tuple[int, ...]  # the new number of each pixel value, 0..255

    def __call__(self) -> NDArray[np.uint8]:
        """The mask (H, W) with the new numbers."""
        return np.array(self.numbers, dtype=np.uint8)[self.read()]


def strong_photos(dataset: BoxDataset, job: SegmentJob) -> Sequence[Sample]:
    """Photos with their true masks, as `job.strong` says, as ground truth.

    Raises:
        DataError: There is none, or a class of the masks is not one of the data set.
    """
    if job.strong is None:
        return []
    split = job.strong_split or dataset.split
    photos = dataset if split == dataset.split else _other_split(dataset, job, split)
    truth = _truth(photos, job, dataset.classes)
    found = held(dataclasses.replace(s, ground_truth=truth[s.id]) for s in photos.samples if s.id in truth)
    if not found:
        raise DataError(f"strong={job.strong}: it has no mask for any image of split {split} in {dataset.root}")
    return found


def _other_split(dataset: BoxDataset, job: SegmentJob, split: str) -> BoxDataset:
    """A split that the true masks are of; if they are not its own, it only has to list the photos."""
    data, own = job.data.with_split(split), job.strong == GROUND_TRUTH
    there = formats.load(data if own else dataclasses.replace(data, masks=None), boxes=own)
    if there.classes not in ((), dataset.classes):
        raise DataError(
            f"split {split} of {dataset.root} has other classes than split {dataset.split}: "
            "both need the same list of classes"
        )
    return there


def _truth(photos: BoxDataset, job: SegmentJob, classes: tuple[str, ...]) -> dict[str, MaskReader]:
    """Readers of true masks by the IDs of photos."""
    if job.strong == GROUND_TRUTH:
        return {s.id: s.ground_truth for s in photos.samples if s.ground_truth is not None}
    place = Path(str(job.strong)).expanduser()
    folder = mask_folder(place)
    names = [sample.id for sample in photos.samples if folder.has(sample.id)]
    masks: dict[str, MaskReader] = {name: partial(read_mask, folder.file(name), len(classes)) for name in names}
    return masks or _annotated(photos, place, job.data, classes)


def _annotated(photos: BoxDataset, place: Path, data: Data, classes: tuple[str, ...]) -> dict[str, MaskReader]:
    """Readers of the masks in an annotation file, or in a data set in a folder of its own."""
    own = _data_of(place, data)
    if own is None:
        return {}
    there = formats.load(own)
    report_problems(there)
    strange = [name for name in there.classes if name not in classes]
    if strange:
        raise DataError(
            f"strong={place}: {', '.join(strange)} is no class of {photos.root} ({', '.join(classes)}); call "
            "classes by the same names in both"
        )
    table = list(range(256))
    for number, name in enumerate(there.classes, start=1):
        table[number] = classes.index(name) + 1
    numbers = tuple(table)
    by_image = {sample.image.resolve(): sample.id for sample in photos.samples}
    sizes = {sample.id: (sample.width, sample.height) for sample in photos.samples}
    found: dict[str, MaskReader] = {}
    for sample in there.samples:
        name = by_image.get(sample.image.resolve(), sample.id)
        if sample.ground_truth is not None and sizes.get(name) == (sample.width, sample.height):
            found[name] = Renumbered(sample.ground_truth, numbers)
    used = counted_of(len(found), len(there), "photo")
    log.info(f"segment: true masks of {used} in {place}, those that are among the data")
    return found


def _data_of(place: Path, data: Data) -> Data | None:
    """How to read true masks; None if nothing there can have any.

    An annotation file without photos of its own is about those of the data set.
    """
    if place.is_dir():
        files = [path for path in listed(place, "*") if path.suffix.lower() in (".json", ".xml")]
        if len(files) != 1:
            return Data(root=place) if formats.is_known(place) else None
        place = files[0]
    if not place.is_file():
        raise DataError(f"strong={place}: it has no mask for any image, there is no such file or folder")
    if place.suffix.lower() in DESCRIPTIONS:
        return Data(root=place)
    own = data.in_folder()
    name = formats.detect_file(place)
    # Of no split: all photos of the file count, of whatever subset they are.
    return Data(root=own.root, split="", format=name, annotations=place.absolute(), images=own.images)
