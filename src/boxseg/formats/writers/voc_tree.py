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

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from boxseg.atomic import write_text
from boxseg.dataset import IGNORE, BoxDataset
from boxseg.formats import voc_xml
from boxseg.formats.files import place_photo
from boxseg.formats.label_map import LABELMAP_TXT, write_label_map
from boxseg.formats.masks import write_mask
from boxseg.formats.writers.labelled import PhotoLabels, Writing, Written, write_photos


def write(dataset: BoxDataset, root: Path, writing: Writing, *, devkit: bool = True) -> Written:
    """Write the labels of one split, with photos and boxes if it is a devkit, and the list of its IDs last."""
    write_label_map(root / LABELMAP_TXT, dataset.classes, ignored=False)
    work = partial(_write, root=root, photos=writing.photos if devkit else None, classes=dataset.classes)
    _, written = write_photos(work, dataset, writing)
    if written.ignored:
        write_label_map(root / LABELMAP_TXT, dataset.classes, ignored=True)
    ids = "".join(f"{sample.id}\n" for sample in dataset.samples)
    write_text(root / "ImageSets" / "Segmentation" / f"{dataset.split}.txt", ids)
    return written


def _write(
    photo: PhotoLabels,
    root: Path,
    photos: Literal["copy", "link", "none"] | None,
    classes: tuple[str, ...],
) -> None:
    """Write the files of a photo; the photo and its boxes only in a devkit, where `photos` says how."""
    sample = photo.sample
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
