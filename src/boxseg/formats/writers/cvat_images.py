"""CVAT for images 1.1: the boxes and masks of objects, to be corrected in CVAT.

    OUT/SPLIT.xml                              labels and objects
    OUT/labels.txt                             the labels, to paste into the tab Raw of a new task
    OUT/images/SPLIT/ID.jpg                    photos

The box of an object and its masks or polygons are one group. `formats.cvat` reads it back.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boxseg.atomic import write_text
from boxseg.dataset import BoxDataset
from boxseg.formats.boxes import mask_bounds
from boxseg.formats.files import place_photo
from boxseg.formats.writers.labelled import LabelObject, PhotoLabels, Writing, Written, write_photos
from boxseg.palette import picture_palette


def write(dataset: BoxDataset, root: Path, writing: Writing) -> Written:
    """Write the labels of one split, the annotation file last."""
    folder = root / "images" / dataset.split
    top = ET.Element("annotations")
    _add(top, version="1.1")
    task = ET.SubElement(ET.SubElement(top, "meta"), "task")
    _add(task, name=dataset.split, size=len(dataset), mode="annotation")
    labels = ET.SubElement(task, "labels")
    colours = [f"#{bytes(colour).hex()}" for colour in picture_palette()[1:]]
    described = [
        {"name": name, "color": colour, "type": "any", "attributes": []}
        for name, colour in zip(dataset.classes, colours, strict=False)
    ]
    write_text(root / "labels.txt", json.dumps(described, indent=1, ensure_ascii=False) + "\n")
    for label in described:
        _add(ET.SubElement(labels, "label"), **{**label, "attributes": ""})
    work = partial(_write, folder=folder, classes=dataset.classes, writing=replace(writing, spread=None))
    parts, written = write_photos(work, dataset, writing)
    for number, (own, shapes) in enumerate(parts):
        image = ET.SubElement(top, "image", {"id": str(number), **own})
        for tag, shape in shapes:
            ET.SubElement(image, tag, shape)
    ET.indent(top)
    text = ET.tostring(top, encoding="unicode")
    write_text(root / f"{dataset.split}.xml", f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n')
    return written


def _write(
    photo: PhotoLabels, folder: Path, classes: tuple[str, ...], writing: Writing
) -> tuple[dict[str, str], list[tuple[str, dict[str, str]]]]:
    """Place a photo; returns the attributes of its element, and tags and attributes of its objects' shapes."""
    sample = photo.sample
    name = place_photo(sample, folder, writing.photos).relative_to(folder).as_posix()
    shapes = []
    for group, item in enumerate(photo.objects, start=1):
        shared = {"label": classes[item.label - 1], "source": "auto", "occluded": "0"}
        for tag, own in _shapes(item, writing):
            shapes.append((tag, {**shared, **own, "z_order": "0", "group_id": str(group)}))
    return {"name": name, "width": str(sample.width), "height": str(sample.height)}, shapes


def _shapes(item: LabelObject, writing: Writing) -> list[tuple[str, dict[str, str]]]:
    """Tags and attributes of the box of an object, and of its mask or polygons."""
    corners = zip(("xtl", "ytl", "xbr", "ybr"), map(_number, item.box), strict=True)
    box = ("box", dict(corners))
    if writing.segmentation == "rle":
        return [box, ("mask", _mask(item))]
    rings = item.rings(writing.simplify)
    points = [";".join(f"{x},{y}" for x, y in ring.tolist()) for ring in rings]
    return [box, *(("polygon", {"points": text}) for text in points)]


def _mask(item: LabelObject) -> dict[str, str]:
    """Runs of the rectangle around the pixels, row by row, outside and inside alternating."""
    left, top, right, bottom = mask_bounds(item.mask)
    runs = _runs(item.mask[top:bottom, left:right].ravel())
    place = {"left": item.corner[0] + left, "top": item.corner[1] + top}
    size = {"width": right - left, "height": bottom - top}
    return {"rle": ", ".join(map(str, runs)), **{key: str(value) for key, value in (place | size).items()}}


def _runs(pixels: NDArray[np.bool_]) -> list[int]:
    edges = np.flatnonzero(np.diff(pixels)) + 1
    runs: list[int] = np.diff(np.r_[0, edges, len(pixels)]).tolist()
    return [0, *runs] if pixels[0] else runs


def _add(parent: ET.Element, **texts: object) -> None:
    for name, text in texts.items():
        ET.SubElement(parent, name).text = str(text)


def _number(value: float) -> str:
    """The shortest decimal that reads back as the same number."""
    return repr(float(value))
