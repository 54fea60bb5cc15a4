"""The mask folder of Ultralytics' semantic segmentation: photos, and grey PNG of class numbers beside them.

OUT/data.yaml                              names with the background as 0, masks_dir, and the splits
OUT/images/SPLIT/ID.jpg                    photos
OUT/masks/SPLIT/ID.png                     8-bit grey: 0 background, 1..L, 255 ignored
"""

from __future__ import annotations

from pathlib import Path

from boxseg.dataset import BoxDataset
from boxseg.formats.files import place_photo
from boxseg.formats.masks import write_grey
from boxseg.formats.writers.labelled import Writing, Written, labelled_photos
from boxseg.formats.yolo import finish_description, start_description


def write(dataset: BoxDataset, root: Path, writing: Writing) -> Written:
    """Write the labels of one split, its entry in data.yaml last."""
    written = Written()
    names = dict(enumerate(("background", *dataset.classes)))
    description = start_description(root, dataset.split, names)
    for photo in labelled_photos(dataset, writing):
        sample = photo.sample
        place_photo(sample, root / "images" / dataset.split, writing.photos)
        # Grey, not a palette: readers that decode to grey would change the numbers.
        write_grey(root / "masks" / dataset.split / f"{sample.id}.png", photo.labels)
        written += photo.counts
    finish_description(root, dataset.split, {**description, "masks_dir": "masks"})
    return written
