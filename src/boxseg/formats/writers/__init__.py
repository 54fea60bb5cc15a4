"""Labels in the formats of other programs: one format, one file.

Each `write` writes one split of a data set whose ground truth is the labels. The file that lists the split
comes last, so a listed split is complete. A DataError says what cannot be written.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from boxseg.config import LabelFormat
from boxseg.dataset import BoxDataset
from boxseg.formats.writers import (
    coco_instances,
    cvat_images,
    geotiff_masks,
    label_studio_tasks,
    mask_folder,
    voc_tree,
    yolo_polygons,
)
from boxseg.formats.writers.labelled import Spread, Writing, Written

__all__ = ["OVERLAPPING", "SPLIT_FOLDERS", "WRITERS", "Spread", "Writing", "Written"]

Writer = Callable[[BoxDataset, Path, Writing], Written]

WRITERS: dict[LabelFormat, Writer] = {
    "palette": partial(voc_tree.write, devkit=False),
    "voc": voc_tree.write,
    "masks": mask_folder.write,
    "geotiff": geotiff_masks.write,
    "coco": coco_instances.write,
    "yolo-seg": yolo_polygons.write,
    "cvat": cvat_images.write,
    "label-studio": label_studio_tasks.write,
}

# Formats in which a pixel may belong to several objects.
OVERLAPPING: frozenset[LabelFormat] = frozenset({"coco", "yolo-seg", "cvat", "label-studio"})

# Folders that hold only one split: every file in them belongs to it, listed or not.
SPLIT_FOLDERS: dict[LabelFormat, tuple[str, ...]] = {
    "palette": (),
    "voc": (),
    "masks": ("images/{}", "masks/{}"),
    "geotiff": ("images/{}", "masks/{}"),
    "coco": ("images/{}",),
    "yolo-seg": ("images/{}", "labels/{}"),
    "cvat": ("images/{}",),
    "label-studio": ("images/{}",),
}
