"""A VOC devkit folder with labels: photos, boxes, masks of classes and of objects, lists.

OUT/JPEGImages/ID.jpg                      photos
OUT/Annotations/ID.xml                     boxes
and everything of `writers.palette`
"""

from __future__ import annotations

from pathlib import Path

from boxseg.atomic import write_text
from boxseg.dataset import BoxDataset
from boxseg.formats import voc_xml
from boxseg.formats.files import place_photo
from boxseg.formats.label_map import LABELMAP_TXT, write_label_map
from boxseg.formats.writers import palette
from boxseg.formats.writers.labelled import Writing, Written, labelled_photos


def write(dataset: BoxDataset, root: Path, writing: Writing) -> Written:
    """Write the labels of one split, and last the list of its IDs.

    Raises:
        DataError: A mask cannot be used, a photo is neither JPEG nor PNG, or a class name is not allowed in
            labelmap.txt.
    """
    written = Written()
    write_label_map(root / LABELMAP_TXT, dataset.classes, ignored=False)
    for photo in labelled_photos(dataset, writing):
        sample = photo.sample
        image = place_photo(sample, root / "JPEGImages", voc_xml.SUFFIXES, writing.photos)
        xml = voc_xml.annotation_xml(sample, image, dataset.classes)
        write_text(root / "Annotations" / f"{sample.id}.xml", xml)
        palette.write_masks(photo, root)
        written += photo.counts
    palette.finish(dataset, root, written)
    return written
