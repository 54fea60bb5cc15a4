"""Masks as palette PNG with names and colours, alone or in a VOC devkit folder.

    OUT/labelmap.txt                           names and colours of the classes
    OUT/ImageSets/Segmentation/SPLIT.txt       one ID per line
    OUT/SegmentationClass/ID.png               classes
    OUT/SegmentationObject/ID.png              objects, numbered from 1

CVAT reads this as "Segmentation mask 1.1"; the task in CVAT has the photos. A devkit has also

    OUT/JPEGImages/ID.jpg                      photos
    OUT/Annotations/ID.xml                     boxes
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from boxseg.atomic import write_text
from boxseg.dataset import IGNORE, BoxDataset, Sample
from boxseg.documents import read_lines
from boxseg.errors import DataError
from boxseg.formats import voc_xml
from boxseg.formats.files import content_digest, is_file, place_photo
from boxseg.formats.images import SUFFIXES
from boxseg.formats.label_map import LABELMAP_TXT, names_ignored, write_label_map
from boxseg.formats.masks import read_mask, write_mask
from boxseg.formats.writers.labelled import PhotoLabels, Writing, Written, write_photos


def write(dataset: BoxDataset, root: Path, writing: Writing, *, devkit: bool = True) -> Written:
    """Write the labels of one split, with photos and boxes if it is a devkit, and the list of its IDs last."""
    own = root / "ImageSets" / "Segmentation" / f"{dataset.split}.txt"
    others = [path for path in sorted(own.parent.glob("*.txt")) if path != own]
    # Masks of other splits may hold 255, which has its name already.
    ignored = bool(others) and names_ignored(root / LABELMAP_TXT)
    write_label_map(root / LABELMAP_TXT, dataset.classes, ignored=ignored)
    shared = _shared(dataset, others)
    photos = writing.photos if devkit else None
    work = partial(_write, root=root, photos=photos, classes=dataset.classes, shared=shared)
    _, written = write_photos(work, dataset, writing)
    if written.ignored:
        write_label_map(root / LABELMAP_TXT, dataset.classes, ignored=True)
    write_text(own, "".join(f"{sample.id}\n" for sample in dataset.samples))
    return written


def _shared(dataset: BoxDataset, lists: Sequence[Path]) -> dict[str, str]:
    """Photos that other splits of the folder have, too, with the name of one of these."""
    own = {sample.id for sample in dataset.samples}
    return {name: path.stem for path in lists for name in read_lines(path) if name in own}


def _check_same(sample: Sample, mask: NDArray[np.uint8], root: Path, split: str, *, devkit: bool) -> None:
    """Check that a photo of another split is this one: a photo of the same name would replace it.

    Raises:
        DataError: It is another; or in a folder without photos, its mask is.
    """
    places = [root / "JPEGImages" / f"{sample.id}{suffix}" for suffix in (sample.image.suffix, *SUFFIXES)]
    there = next(filter(is_file, places), None)
    if devkit and there is not None:
        same = content_digest(there) == content_digest(sample.image)
    else:
        path = root / "SegmentationClass" / f"{sample.id}.png"
        same = not is_file(path) or np.array_equal(read_mask(path), mask)
    if not same:
        raise DataError(
            f"{sample.image}: split {split!r} in {root} has another photo called {sample.id}, which would be "
            "replaced: write this split to another folder"
        )


def _write(
    photo: PhotoLabels,
    root: Path,
    photos: Literal["copy", "link", "none"] | None,
    classes: tuple[str, ...],
    shared: Mapping[str, str],
) -> None:
    """Write the files of a photo; the photo and its boxes only in a devkit, where `photos` says how."""
    sample = photo.sample
    if sample.id in shared:
        _check_same(sample, photo.labels, root, shared[sample.id], devkit=photos is not None)
    if photos is not None:
        image = place_photo(sample, root / "JPEGImages", photos)
        xml = voc_xml.annotation_xml(sample, image, classes)
        write_text(root / "Annotations" / f"{sample.id}.xml", xml, sync=False)
    write_mask(root / "SegmentationClass" / f"{sample.id}.png", photo.labels)
    if len(sample.labels) < IGNORE:  # object numbers must fit a byte
        write_mask(root / "SegmentationObject" / f"{sample.id}.png", _object_numbers(photo))


def _object_numbers(photo: PhotoLabels) -> NDArray[np.uint8]:
    """The mask of objects, numbered from 1 in the order of their boxes, smaller ones on top."""
    numbers = np.where(photo.labels == IGNORE, IGNORE, 0).astype(np.uint8)
    for item in sorted(photo.objects, key=lambda item: -int(item.mask.sum())):
        numbers[item.window][item.mask] = item.place + 1
    return numbers
