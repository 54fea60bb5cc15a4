"""Label Studio: tasks with the boxes and masks of objects, to be corrected in its editor.

    OUT/SPLIT.json                             tasks
    OUT/labeling-config.xml                    the labeling interface of the project
    OUT/images/SPLIT/ID.jpg                    photos

The masks or polygons of an object are children of its box. `formats.label_studio` reads it back.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from boxseg.atomic import write_text
from boxseg.dataset import BoxDataset, Sample
from boxseg.formats.files import place_photo
from boxseg.formats.label_studio_brush import encode_brush
from boxseg.formats.writers.labelled import LabelObject, PhotoLabels, Writing, Written, write_photos
from boxseg.palette import picture_palette

# Tags of the labeling interface by the kind of their regions, with the names that regions refer to.
_TOOLS = {"rectangle": "box", "brush": "mask", "polygon": "polygon"}
_IMAGE = "image"


def write(dataset: BoxDataset, root: Path, writing: Writing) -> Written:
    """Write the labels of one split, the file of its tasks last."""
    place = quote(root.absolute().name, errors="surrogateescape")
    prefix = f"/data/local-files/?d={place}/" if writing.prefix is None else writing.prefix
    write_text(root / "labeling-config.xml", _interface(dataset.classes))
    own = replace(writing, prefix=prefix, spread=None)
    work = partial(_write, root=root, split=dataset.split, classes=dataset.classes, writing=own)
    tasks, written = write_photos(work, dataset, writing)
    text = ",\n".join(tasks)
    write_text(root / f"{dataset.split}.json", f"[\n{text}\n]\n")
    return written


def _write(photo: PhotoLabels, root: Path, split: str, classes: tuple[str, ...], writing: Writing) -> str:
    """Place a photo; returns its task, as JSON."""
    sample = photo.sample
    path = place_photo(sample, root / "images" / split, writing.photos)
    result = [
        region
        for number, item in enumerate(photo.objects, start=1)
        for region in _regions(item, str(number), sample, classes[item.label - 1], writing)
    ]
    own = {"model_version": "boxseg", "result": result} if writing.predictions else {"result": result}
    kind = "predictions" if writing.predictions else "annotations"
    address = _address(str(writing.prefix), path.relative_to(root).as_posix())
    task = {"data": {"image": address}, kind: [own]}
    return json.dumps(task, separators=(",", ":"), ensure_ascii=False)


def _address(prefix: str, path: str) -> str:
    """The address of a photo; in buckets (s3://, gs://) names stand as they are."""
    plain = "://" in prefix and not prefix.startswith("http")
    return prefix + (path if plain else quote(path, errors="surrogateescape"))


def _regions(
    item: LabelObject, number: str, sample: Sample, name: str, writing: Writing
) -> list[dict[str, Any]]:
    """The box of an object, and its mask or polygons."""
    size = np.array([sample.width, sample.height])
    (left, top), (right, bottom) = (item.box.reshape(2, 2) * 100 / size).tolist()
    sides = {"x": left, "y": top, "width": right - left, "height": bottom - top, "rotation": 0}
    values = [("rectangle", sides)]
    if writing.segmentation == "rle":
        mask = np.zeros((sample.height, sample.width), dtype=bool)
        mask[item.window] = item.mask
        values.append(("brush", {"format": "rle", "rle": encode_brush(mask)}))
    else:
        rings = item.rings(writing.simplify)
        values += [("polygon", {"points": (ring * 100 / size).tolist(), "closed": True}) for ring in rings]
    shared = {"original_width": sample.width, "original_height": sample.height, "image_rotation": 0}
    found = []
    for place, (tool, value) in enumerate(values):
        kind = f"{tool}labels"
        region = {"id": f"{number}-{place}", "type": kind, "from_name": _TOOLS[tool], "to_name": _IMAGE}
        parent = {"parentID": f"{number}-0"} if place else {}
        found.append({**region, **parent, **shared, "value": {**value, kind: [name]}})
    return found


def _interface(classes: tuple[str, ...]) -> str:
    """The labeling interface, in which boxes, masks and polygons can be drawn and changed."""
    view = ET.Element("View")
    ET.SubElement(view, "Image", name=_IMAGE, value="$image", zoom="true", zoomControl="true")
    for tool, name in _TOOLS.items():
        labels = ET.SubElement(view, f"{tool.capitalize()}Labels", name=name, toName=_IMAGE)
        for label, colour in zip(classes, picture_palette()[1:], strict=False):
            ET.SubElement(labels, "Label", value=label, background=f"#{bytes(colour).hex()}")
    ET.indent(view)
    return ET.tostring(view, encoding="unicode") + "\n"
