"""Small data sets in every format, of which a test spoils a file."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from boxseg.formats.label_studio_brush import encode_brush

WIDTH, HEIGHT = 48, 32
NAMES = ("a", "b", "c")
CLASSES = ("cat", "dog")
# x1 y1 x2 y2, pixels, of the cat and the dog of every photo.
BOXES = ((4, 6, 20, 28), (22, 3, 45, 30))


def photo(path: Path, seed: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT), **options: Any) -> None:
    """A photo of smooth noise, in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(path, **options)


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _xml(name: str) -> str:
    objects = "".join(
        f"<object><name>{label}</name><bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax>"
        f"<ymax>{y2}</ymax></bndbox></object>"
        for label, (x1, y1, x2, y2) in zip(CLASSES, BOXES, strict=True)
    )
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
    return f"<annotation><filename>{name}.jpg</filename>{size}{objects}</annotation>"


def voc(root: Path) -> None:
    """A devkit with masks."""
    for seed, name in enumerate(NAMES):
        photo(root / "JPEGImages" / f"{name}.jpg", seed)
        _text(root / "Annotations" / f"{name}.xml", _xml(name))
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        for label, (x1, y1, x2, y2) in enumerate(BOXES, start=1):
            mask[y1:y2, x1:x2] = label
        (root / "SegmentationClass").mkdir(exist_ok=True)
        Image.fromarray(mask).save(root / "SegmentationClass" / f"{name}.png")
    _text(root / "ImageSets" / "Segmentation" / "train.txt", "a\nb\nc\n")
    colours = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:128,0,0::\ndog:0,128,0::\n"
    _text(root / "labelmap.txt", colours)


def voc_loose(root: Path) -> None:
    """XML files beside their photos."""
    for seed, name in enumerate(NAMES):
        photo(root / f"{name}.jpg", seed)
        _text(root / f"{name}.xml", _xml(name))


def coco(root: Path) -> None:
    """Instances: polygons of the cats, run-length codes of the dogs."""
    images, annotations = [], []
    for number, name in enumerate(NAMES, start=1):
        photo(root / "train" / f"{name}.jpg", number)
        images.append({"id": number, "file_name": f"{name}.jpg", "width": WIDTH, "height": HEIGHT})
        (x1, y1, x2, y2), dog = BOXES
        polygon = [[x1, y1, x2, y1, x2 - 3, y2, x1, y2]]
        own = {"id": 2 * number, "image_id": number, "iscrowd": 0}
        box = [x1, y1, x2 - x1, y2 - y1]
        annotations.append({**own, "category_id": 1, "bbox": box, "segmentation": polygon, "area": 300})
        x1, y1, x2, y2 = dog
        inside = np.zeros((HEIGHT, WIDTH), bool)
        inside[y1 + 2 : y2, x1 : x2 - 4] = True
        inside[y1, x2 - 1] = True
        code = {"size": [HEIGHT, WIDTH], "counts": runs(inside.T.ravel())}
        box = [x1, y1, x2 - x1, y2 - y1]
        own = {**own, "id": 2 * number + 1}
        annotations.append({**own, "category_id": 2, "bbox": box, "segmentation": code, "area": 400})
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    _text(root / "annotations" / "instances_train.json", json.dumps(content))


def runs(pixels: np.ndarray) -> list[int]:
    """Lengths of runs, outside and inside alternating."""
    edges = np.flatnonzero(np.diff(pixels)) + 1
    lengths = np.diff(np.r_[0, edges, len(pixels)]).tolist()
    return [0, *lengths] if pixels[0] else lengths


def yolo(root: Path) -> None:
    """data.yaml, images and labels; the cats are boxes, the dogs polygons."""
    for seed, name in enumerate(NAMES):
        photo(root / "images" / "train" / f"{name}.jpg", seed)
        (x1, y1, x2, y2), dog = BOXES
        shares = ((x1 + x2) / 2 / WIDTH, (y1 + y2) / 2 / HEIGHT, (x2 - x1) / WIDTH, (y2 - y1) / HEIGHT)
        x1, y1, x2, y2 = dog[0] / WIDTH, dog[1] / HEIGHT, dog[2] / WIDTH, dog[3] / HEIGHT
        polygon = (x1, y1, x2, y1, x2, y2, (x1 + x2) / 2, y2, x1, y2)
        lines = [f"0 {' '.join(map(str, shares))}", f"1 {' '.join(map(str, polygon))}"]
        _text(root / "labels" / "train" / f"{name}.txt", "\n".join(lines) + "\n")
    _text(root / "data.yaml", "names: [cat, dog]\ntrain: images/train\n")


def yolo_list(root: Path) -> None:
    """The same with a list of photos."""
    yolo(root)
    _text(root / "train.txt", "".join(f"images/train/{name}.jpg\n" for name in NAMES))
    _text(root / "data.yaml", "names: [cat, dog]\ntrain: train.txt\n")


def darknet(root: Path) -> None:
    """The same with obj.data."""
    yolo_list(root)
    (root / "data.yaml").unlink()
    _text(root / "obj.names", "cat\ndog\n")
    _text(root / "obj.data", "classes = 2\ntrain = train.txt\nnames = obj.names\n")


def cvat(root: Path) -> None:
    """Boxes of the cats, masks of the dogs, a polygon."""
    images = []
    for number, name in enumerate(NAMES):
        photo(root / "images" / f"{name}.jpg", number)
        (x1, y1, x2, y2), dog = BOXES
        box = f'<box label="cat" xtl="{x1}" ytl="{y1}" xbr="{x2}" ybr="{y2}"/>'
        polygon = f'<polygon label="cat" points="{x1},{y1};{x2},{y1};{x2 - 4},{y2}"/>'
        x1, y1, x2, y2 = dog
        width, height = x2 - x1, y2 - y1
        place = f'left="{x1}" top="{y1}" width="{width}" height="{height}"'
        mask = f'<mask label="dog" rle="3, {width * height - 3}" {place}/>'
        size = f'width="{WIDTH}" height="{HEIGHT}"'
        images.append(f'<image id="{number}" name="{name}.jpg" {size}>{box}{polygon}{mask}</image>')
    labels = "".join(f"<label><name>{name}</name></label>" for name in CLASSES)
    meta = f"<meta><task><labels>{labels}</labels></task></meta>"
    _text(root / "annotations.xml", f"<annotations>{meta}{''.join(images)}</annotations>")


def label_studio(root: Path) -> None:
    """An export of rectangles, a polygon and a brushed mask."""
    sizes = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[20:30, 25:40] = True
    brush = encode_brush(mask)
    tasks = []
    for number, name in enumerate(NAMES):
        photo(root / f"{name}.jpg", number)
        x1, y1, x2, _ = BOXES[0]
        left, top, width, height = (100 * x1 / WIDTH, 100 * y1 / HEIGHT, 100 * (x2 - x1) / WIDTH, 60)
        sides = {"x": left, "y": top, "width": width, "height": height, "rotation": 0}
        values = {
            "rectanglelabels": {**sides, "rectanglelabels": ["cat"]},
            "polygonlabels": {"points": [[50, 10], [90, 10], [80, 90]], "polygonlabels": ["dog"]},
            "brushlabels": {"format": "rle", "rle": brush, "brushlabels": ["dog"]},
        }
        result = [
            {"id": f"{number}-{kind}", "type": kind, "value": value, **sizes} for kind, value in values.items()
        ]
        made = {"id": number, "result": result, "was_cancelled": False, "updated_at": "2024-01-01"}
        tasks.append({"id": number, "annotations": [made], "data": {"image": f"/data/upload/1/{name}.jpg"}})
    _text(root / "export.json", json.dumps(tasks))


def labelme(root: Path) -> None:
    """Files beside their photos, with a rectangle, a polygon and a mask."""
    content = io.BytesIO()
    Image.fromarray(np.full((5, 6), 255, np.uint8)).save(content, format="PNG")
    mask = base64.b64encode(content.getvalue()).decode()
    for number, name in enumerate(NAMES):
        photo(root / f"{name}.jpg", number)
        (x1, y1, x2, y2), dog = BOXES
        shapes: list[dict[str, Any]] = [
            {"label": "cat", "shape_type": "rectangle", "points": [[x1, y1], [x2, y2]]},
            {
                "label": "dog",
                "shape_type": "polygon",
                "points": [list(dog[:2]), list(dog[2:]), [dog[0], dog[3]]],
            },
            {"label": "dog", "shape_type": "mask", "points": [[1, 1], [7, 6]], "mask": mask, "group_id": 3},
        ]
        file = {"imagePath": f"{name}.jpg", "imageWidth": WIDTH, "imageHeight": HEIGHT, "shapes": shapes}
        _text(root / f"{name}.json", json.dumps(file))


def csv_table(root: Path) -> None:
    """A table of the boxes of all photos."""
    rows = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
    for number, name in enumerate(NAMES):
        photo(root / "images" / f"{name}.jpg", number)
        for label, corners in zip(("cat", "dog"), BOXES, strict=True):
            rows.append(f"{name}.jpg,{WIDTH},{HEIGHT},{label},{','.join(map(str, corners))}")
    _text(root / "boxes.csv", "\n".join(rows))


MAKERS: dict[str, Callable[[Path], None]] = {
    "voc": voc,
    "voc_loose": voc_loose,
    "coco": coco,
    "yolo": yolo,
    "yolo_list": yolo_list,
    "darknet": darknet,
    "cvat": cvat,
    "label_studio": label_studio,
    "labelme": labelme,
    "csv": csv_table,
}
# The files that say what is in them, of the photo `a` or of all.
ANNOTATIONS = {
    "voc": ("Annotations/a.xml", "ImageSets/Segmentation/train.txt", "labelmap.txt", "SegmentationClass/a.png"),
    "voc_loose": ("a.xml",),
    "coco": ("annotations/instances_train.json",),
    "yolo": ("data.yaml", "labels/train/a.txt"),
    "yolo_list": ("data.yaml", "train.txt"),
    "darknet": ("obj.data", "obj.names", "train.txt"),
    "cvat": ("annotations.xml",),
    "label_studio": ("export.json",),
    "labelme": ("a.json",),
    "csv": ("boxes.csv",),
}
