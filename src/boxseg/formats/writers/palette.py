"""Masks as palette PNG with names and colours: what CVAT reads as "Segmentation mask 1.1".

    OUT/labelmap.txt                           names and colours of the classes
    OUT/ImageSets/Segmentation/SPLIT.txt       one ID a line
    OUT/SegmentationClass/ID.png               classes
    OUT/SegmentationObject/ID.png              objects, numbered from 1

No photos: the task in CVAT has them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from boxseg.atomic import write_text
from boxseg.dataset import IGNORE, BoxDataset
from boxseg.formats.label_map import LABELMAP_TXT, write_label_map
from boxseg.formats.masks import write_mask
from boxseg.formats.writers.labelled import PhotoLabels, Writing, Written, labelled_photos


def write(dataset: BoxDataset, root: Path, writing: Writing) -> Written:
    """Write the labels of one split, and last the list of its IDs.

    Raises:
        DataError: A mask cannot be used, or a class name is not allowed in labelmap.txt.
    """
    written = Written()
    write_label_map(root / LABELMAP_TXT, dataset.classes, ignored=False)
    for photo in labelled_photos(dataset, writing):
        write_masks(photo, root)
        written += photo.counts
    finish(dataset, root, written)
    return written


def write_masks(photo: PhotoLabels, root: Path) -> None:
    """Write the masks of classes and of objects of a photo.

    Objects are numbered as their boxes, from 1, smaller ones on top; a photo of more than 254 has no such mask,
    as its pixels are bytes.
    """
    sample, labels = photo.sample, photo.labels
    write_mask(root / "SegmentationClass" / f"{sample.id}.png", labels)
    if len(sample.labels) >= IGNORE:
        return
    numbers = np.where(labels == IGNORE, IGNORE, 0).astype(np.uint8)
    for item in sorted(photo.objects, key=lambda item: -int(item.mask.sum())):
        left, top = item.corner
        height, width = item.mask.shape
        numbers[top : top + height, left : left + width][item.mask] = item.place + 1
    write_mask(root / "SegmentationObject" / f"{sample.id}.png", numbers)


def finish(dataset: BoxDataset, root: Path, written: Written) -> None:
    """Write the list of the split; name 255 where masks hold it."""
    if written.ignored:
        write_label_map(root / LABELMAP_TXT, dataset.classes, ignored=True)
    ids = "".join(f"{sample.id}\n" for sample in dataset.samples)
    write_text(root / "ImageSets" / "Segmentation" / f"{dataset.split}.txt", ids)
