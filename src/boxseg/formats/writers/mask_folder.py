"""The mask folder of Ultralytics' semantic segmentation: photos, and grey PNG of class numbers beside them.

OUT/data.yaml                              names with the background as 0, masks_dir, and the splits
OUT/images/SPLIT/ID.jpg                    photos
OUT/masks/SPLIT/ID.png                     8-bit grey: 0 background, 1..L, 255 ignored
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

from boxseg.dataset import BoxDataset
from boxseg.formats.files import place_photo
from boxseg.formats.masks import write_grey
from boxseg.formats.writers.labelled import PhotoLabels, Writing, Written, write_photos
from boxseg.formats.yolo import finish_description, start_description


def write(dataset: BoxDataset, root: Path, writing: Writing) -> Written:
    """Write the labels of one split, its entry in data.yaml last."""
    names = dict(enumerate(("background", *dataset.classes)))
    description = start_description(root, dataset.split, names)
    work = partial(_write, root=root, split=dataset.split, photos=writing.photos)
    _, written = write_photos(work, dataset, writing)
    finish_description(root, dataset.split, {**description, "masks_dir": "masks"})
    return written


def _write(photo: PhotoLabels, root: Path, split: str, photos: Literal["copy", "link", "none"]) -> None:
    place_photo(photo.sample, root / "images" / split, photos)
    # Grey, not a palette: readers that decode to grey would change the numbers.
    write_grey(root / "masks" / split / f"{photo.sample.id}.png", photo.labels)
