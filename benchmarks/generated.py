"""Data sets of any size; their photos are links to a few files, so only lists and annotations are large."""

from __future__ import annotations

import json
import math
import os
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from boxseg.dataset import VOC_CLASSES

WIDTH, HEIGHT = 500, 375
OBJECTS = 3
CORNERS = 20  # of each outline
LINKS = 30_000  # to one file; file systems allow few more

OBJECT = (
    "<object><name>{}</name><difficult>0</difficult>"
    "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)
ANNOTATION = "<annotation><size><width>{}</width><height>{}</height></size>{}</annotation>\n"


def write_voc(root: Path, count: int) -> None:
    """A VOC data set of `count` images, without masks, split `train`."""
    for name in ("JPEGImages", "Annotations", "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True)
    _link_photos(root / "JPEGImages", count)
    for number in range(count):
        objects = [OBJECT.format(VOC_CLASSES[label], *corners) for label, corners in _objects(number)]
        text = ANNOTATION.format(WIDTH, HEIGHT, "".join(objects))
        (root / f"Annotations/{number:06}.xml").write_text(text)
    (root / "ImageSets/Segmentation/train.txt").write_text("".join(f"{n:06}\n" for n in range(count)))


def write_coco(root: Path, count: int) -> None:
    """A COCO data set of `count` images, every object with an outline, split `train`."""
    (root / "annotations").mkdir(parents=True)
    (root / "train").mkdir()
    _link_photos(root / "train", count)
    # Text by text: as objects, a million photos would take ten gigabytes, and minutes to write.
    images = (
        f'{{"id": {n}, "file_name": "{n:06}.jpg", "width": {WIDTH}, "height": {HEIGHT}}}' for n in range(count)
    )
    annotations = (
        f'{{"id": {OBJECTS * number + place}, "image_id": {number}, "category_id": {label}, {_drawn(corners)}'
        for number in range(count)
        for place, (label, corners) in enumerate(_objects(number))
    )
    categories = (json.dumps({"id": label, "name": name}) for label, name in enumerate(VOC_CLASSES))
    lists = {"images": images, "annotations": annotations, "categories": categories}
    with (root / "annotations/instances_train.json").open("w") as file:
        for key, items in lists.items():
            file.write(f"{'{' if key == 'images' else ', '}{json.dumps(key)}: [")
            for place, item in enumerate(items):
                file.write(f", {item}" if place else item)
            file.write("]")
        file.write("}")


@cache
def _drawn(corners: tuple[int, int, int, int]) -> str:
    """What an annotation says of an object at a place, to its end."""
    x1, y1, x2, y2 = corners
    width, height = x2 - x1, y2 - y1
    said = {"bbox": [x1, y1, width, height], "area": width * height, "iscrowd": 0}
    return json.dumps({**said, "segmentation": [_outline(x1, y1, x2, y2)]})[1:]


def _objects(number: int) -> list[tuple[int, tuple[int, int, int, int]]]:
    """Classes 0..19 and corners of the objects of an image."""
    places = [(7 * number + 131 * k) % 250 for k in range(OBJECTS)]
    return [((number + k) % 20, (1 + x, 1 + x // 2, 201 + x, 201 + x // 2)) for k, x in enumerate(places)]


def _outline(x1: int, y1: int, x2: int, y2: int) -> list[float]:
    """An ellipse, as x and y of its corners in turn."""
    turns = [2 * math.pi * corner / CORNERS for corner in range(CORNERS)]
    points = [((x1 + x2 + (x2 - x1) * math.cos(t)) / 2, (y1 + y2 + (y2 - y1) * math.sin(t)) / 2) for t in turns]
    return [round(value, 2) for point in points for value in point]


def _link_photos(folder: Path, count: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT // 5, WIDTH // 5, 3), np.uint8)
    photo = Image.fromarray(noise).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    for number in range(count):
        path = folder / f"{number:06}.jpg"
        if number % LINKS:
            os.link(folder / f"{number // LINKS * LINKS:06}.jpg", path)
        else:
            photo.save(path)
