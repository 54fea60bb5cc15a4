"""The columns of samples: `formats.packing` fills them, `formats.samples` makes samples from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxseg.formats.columns import Texts, Whole

# Kinds of ground truth.
NO_TRUTH, OUTLINES, MASK_FILE, OTHER_TRUTH = range(4)
# In place of an annotation's id that an instance does not have.
NO_ID = -(1 << 63)
# In front of the ids of images.
NUMBER, TEXT = "#", "$"


@dataclass(kw_only=True, eq=False, slots=True)
class Columns:
    """What `Sample` says of n photos with N boxes; `TABLES` tells which columns belong together.

    Values of rows that hold several end at the `…_end` of their photo. Lists are values that many rows share.
    """

    ids: Texts
    names: Texts  # of the photos' files
    folder: Whole  # of `folders`
    width: Whole
    height: Whole
    as_stored: NDArray[np.bool_]
    image_ids: Texts
    box_end: Whole
    has_annotation_ids: NDArray[np.bool_]
    crowd_end: Whole
    truth_kind: Whole
    truth_choice: Whole  # of `choices`, from 1; 0 for ground truth of the data set's own classes
    truth_source: Whole  # of `sources`
    truth_end: Whole
    mask_place: Whole  # of `mask_places`
    mask_names: Texts
    has_instances: NDArray[np.bool_]
    instance_end: Whole
    has_ignored: NDArray[np.bool_]
    ignored_source: Whole  # of `sources`
    ignored_end: Whole
    corners: NDArray[np.float64]  # (4 N,)
    labels: Whole
    difficult: NDArray[np.bool_]
    annotation_ids: Whole
    crowd_corners: NDArray[np.float64]
    crowd_labels: Whole
    truth_region: Whole  # place in `regions`
    truth_label: Whole
    instance_region: Whole
    instance_label: Whole
    instance_crowd: NDArray[np.bool_]
    instance_area: NDArray[np.float64]  # NaN for none
    instance_id: Whole
    ignored_region: Whole
    regions: Texts
    folders: list[Path]
    mask_places: list[tuple[Path, int]]  # folder of masks and number of classes
    sources: list[str]
    choices: list[tuple[int, ...]]
    others: dict[int, dict[str, Any]] = field(default_factory=dict)  # fields that have no column, by photo
    other_regions: dict[int, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def nbytes(self) -> tuple[int, int, int]:
        """Bytes of photos, of their boxes and of outlines; without lists."""
        sizes = {name: sum(getattr(self, column).nbytes for column in table) for name, table in TABLES.items()}
        photos, boxes = sizes["photos"], sizes["boxes"] + sizes["crowds"]
        return photos, boxes, sum(sizes.values()) - photos - boxes


# Columns of equal lengths.
TABLES: Mapping[str, tuple[str, ...]] = {
    "photos": (
        *("ids", "names", "folder", "width", "height", "as_stored", "image_ids", "box_end"),
        *("has_annotation_ids", "crowd_end", "truth_kind", "truth_choice", "truth_source", "truth_end"),
        *("mask_place", "mask_names", "has_instances", "instance_end", "has_ignored", "ignored_source"),
        "ignored_end",
    ),
    "boxes": ("corners", "labels", "difficult", "annotation_ids"),
    "crowds": ("crowd_corners", "crowd_labels"),
    "truths": ("truth_region", "truth_label"),
    "instances": (*("instance_region", "instance_label", "instance_crowd", "instance_area", "instance_id"),),
    "ignored": ("ignored_region",),
    "regions": ("regions",),
}
