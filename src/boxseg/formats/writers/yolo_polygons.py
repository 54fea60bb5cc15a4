"""YOLO segmentation: one polygon per line.

    OUT/data.yaml                              names and the splits
    OUT/images/SPLIT/ID.jpg                    photos
    OUT/labels/SPLIT/ID.txt                    class x0 y0 x1 y1 … as shares of the photo

A line holds only one polygon, so holes are filled and parts are joined by the shortest bridges.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from boxseg.atomic import write_text
from boxseg.dataset import BoxDataset, Sample
from boxseg.formats.bridges import join_rings
from boxseg.formats.contours import outlines
from boxseg.formats.files import place_photo
from boxseg.formats.simplify import simplify_rings
from boxseg.formats.writers.labelled import LabelObject, PhotoLabels, Writing, Written, write_photos
from boxseg.formats.yolo import finish_description, start_description


def write(dataset: BoxDataset, root: Path, writing: Writing) -> Written:
    """Write the labels of one split, its entry in data.yaml last."""
    description = start_description(root, dataset.split, dict(enumerate(dataset.classes)))
    work = partial(_write, root=root, split=dataset.split, writing=replace(writing, spread=None))
    _, written = write_photos(work, dataset, writing)
    finish_description(root, dataset.split, description)
    return written


def _write(photo: PhotoLabels, root: Path, split: str, writing: Writing) -> None:
    place_photo(photo.sample, root / "images" / split, writing.photos)
    lines = "".join(_line(item, photo.sample, writing.simplify) for item in photo.objects)
    write_text(root / "labels" / split / f"{photo.sample.id}.txt", lines, sync=False)


def _line(item: LabelObject, sample: Sample, tolerance: float) -> str:
    ring = join_rings(simplify_rings(outlines(item.mask), tolerance)) + np.array(item.corner)
    shares = (ring / (sample.width, sample.height)).ravel().tolist()
    # Eight digits are a thousandth of a pixel in photos of 100,000.
    return f"{item.label - 1} {' '.join(map('{:.8g}'.format, shares))}\n"
