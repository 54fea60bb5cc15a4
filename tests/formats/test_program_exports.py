"""Exports as programs leave them, one for each row of the table in docs/data.md."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from boxseg import formats
from boxseg.config import Data

WIDTH, HEIGHT = 40, 30
FOX, HEN = (10, 5, 30, 25), (2, 2, 8, 9)
OBJECTS = (("fox", FOX), ("hen", HEN))
OUTLINES = ([10, 5, 30, 5, 30, 25, 20, 25, 20, 15, 10, 15], [2, 2, 8, 2, 8, 9])


def photo(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT), (9, 99, 199)).save(path)


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def coco(name: str, *, outlines: bool, first: int = 1, **more: Any) -> str:
    annotations = [
        {
            "id": place + first,
            "image_id": first,
            "category_id": place + first,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "segmentation": [OUTLINES[place]] if outlines else [],
            "iscrowd": 0,
        }
        for place, (_, (x1, y1, x2, y2)) in enumerate(OBJECTS)
    ]
    categories = [{"id": place + first, "name": label} for place, (label, _) in enumerate(OBJECTS)]
    image = {"id": first, "width": WIDTH, "height": HEIGHT, "file_name": name}
    return json.dumps({"images": [image], "annotations": annotations, "categories": categories, **more})


def voc(name: str, folder: str = "") -> str:
    top = ET.Element("annotation")
    ET.SubElement(top, "folder").text = folder
    ET.SubElement(top, "filename").text = name
    size = ET.SubElement(top, "size")
    for key, value in (("width", WIDTH), ("height", HEIGHT), ("depth", 3)):
        ET.SubElement(size, key).text = str(value)
    for label, (x1, y1, x2, y2) in OBJECTS:
        node = ET.SubElement(top, "object")
        ET.SubElement(node, "name").text = label
        box = ET.SubElement(node, "bndbox")
        for key, value in (("xmin", x1 + 1), ("ymin", y1 + 1), ("xmax", x2), ("ymax", y2)):
            ET.SubElement(box, key).text = str(value)
    return ET.tostring(top, encoding="unicode")


def rows() -> str:
    lines = []
    for number, (_, (x1, y1, x2, y2)) in enumerate(OBJECTS):
        numbers = ((x1 + x2) / 2 / WIDTH, (y1 + y2) / 2 / HEIGHT, (x2 - x1) / WIDTH, (y2 - y1) / HEIGHT)
        lines.append(" ".join([str(number), *(f"{value:.6f}" for value in numbers)]))
    return "\n".join(lines) + "\n"


def table(name: str) -> str:
    boxes = [f"{name},{WIDTH},{HEIGHT},{label},{','.join(map(str, corners))}" for label, corners in OBJECTS]
    return "\n".join(["filename,width,height,class,xmin,ymin,xmax,ymax", *boxes])


def polygons() -> str:
    lines = []
    for number, outline in enumerate(OUTLINES):
        shares = np.reshape(outline, (-1, 2)) / (WIDTH, HEIGHT)
        lines.append(" ".join([str(number), *(f"{value:.6f}" for value in shares.ravel())]))
    return "\n".join(lines) + "\n"


def cvat(name: str) -> str:
    box = '<box label="{}" source="manual" occluded="0" xtl="{}" ytl="{}" xbr="{}" ybr="{}" z_order="0"></box>'
    shapes = "".join(box.format(label, *corners) for label, corners in OBJECTS)
    labels = "".join(f"<label><name>{label}</name></label>" for label, _ in OBJECTS)
    return (
        f"<annotations><version>1.1</version><meta><task><labels>{labels}</labels></task></meta>"
        f'<image id="0" name="{name}" width="{WIDTH}" height="{HEIGHT}">{shapes}</image></annotations>'
    )


def cvat_images(root: Path) -> None:
    photo(root / "images" / "a.jpg")
    text(root / "annotations.xml", cvat("a.jpg"))


def cvat_coco(root: Path) -> None:
    photo(root / "images" / "default" / "a.jpg")
    text(root / "annotations" / "instances_default.json", coco("a.jpg", outlines=True))


def cvat_yolo(root: Path) -> None:
    photo(root / "obj_train_data" / "a.jpg")
    text(root / "obj_train_data" / "a.txt", rows())
    text(root / "obj.names", "fox\nhen\n")
    text(root / "train.txt", "data/obj_train_data/a.jpg\n")
    text(root / "obj.data", "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n")


def cvat_ultralytics(root: Path) -> None:
    photo(root / "images" / "train" / "a.jpg")
    text(root / "labels" / "train" / "a.txt", polygons())
    text(root / "train.txt", "data/images/train/a.jpg\n")
    text(root / "data.yaml", "names:\n  0: fox\n  1: hen\npath: .\ntrain: train.txt\n")


def cvat_voc(root: Path) -> None:
    photo(root / "JPEGImages" / "a.jpg")
    text(root / "Annotations" / "a.xml", voc("a.jpg"))
    text(root / "ImageSets" / "Main" / "default.txt", "a\n")
    text(
        root / "labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\nfox:1,2,3::\nhen:4,5,6::\n"
    )


def label_studio(root: Path) -> None:
    photo(root / "photos" / "a.jpg")
    sizes = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    results = []
    for label, (x1, y1, x2, y2) in OBJECTS:
        sides = {
            "x": x1 / 0.4,
            "y": y1 / 0.3,
            "width": (x2 - x1) / 0.4,
            "height": (y2 - y1) / 0.3,
            "rotation": 0,
        }
        value = {**sides, "rectanglelabels": [label]}
        results.append({"id": label, "type": "rectanglelabels", **sizes, "value": value})
    task = {"id": 1, "data": {"image": "/data/upload/1/3fa85f64-a.jpg"}, "annotations": [{"result": results}]}
    text(root / "project-1-at-2026-01-01.json", json.dumps([task]))


def label_studio_coco(root: Path) -> None:
    photo(root / "images" / "3fa85f64-a.jpg")
    text(root / "result.json", coco("images/3fa85f64-a.jpg", outlines=False, first=0, info={}))


def label_studio_yolo(root: Path) -> None:
    photo(root / "images" / "3fa85f64-a.jpg")
    text(root / "labels" / "3fa85f64-a.txt", rows())
    text(root / "classes.txt", "fox\nhen\n")
    notes = {"categories": [{"id": 0, "name": "fox"}, {"id": 1, "name": "hen"}], "info": {}}
    text(root / "notes.json", json.dumps(notes))


def label_studio_voc(root: Path) -> None:
    photo(root / "images" / "3fa85f64-a.jpg")
    text(root / "Annotations" / "3fa85f64-a.xml", voc("3fa85f64-a"))


def roboflow_coco(root: Path) -> None:
    photo(root / "train" / "a_jpg.rf.0123.jpg")
    text(root / "train" / "_annotations.coco.json", coco("a_jpg.rf.0123.jpg", outlines=True))


def roboflow_voc(root: Path) -> None:
    photo(root / "train" / "a_jpg.rf.0123.jpg")
    text(root / "train" / "a_jpg.rf.0123.xml", voc("a_jpg.rf.0123.jpg"))


def roboflow_yolo(root: Path) -> None:
    photo(root / "train" / "images" / "a_jpg.rf.0123.jpg")
    text(root / "train" / "labels" / "a_jpg.rf.0123.txt", rows())
    text(root / "data.yaml", "train: ../train/images\nval: ../valid/images\n\nnc: 2\nnames: ['fox', 'hen']\n")


def roboflow_darknet(root: Path) -> None:
    photo(root / "train" / "a_jpg.rf.0123.jpg")
    text(root / "train" / "a_jpg.rf.0123.txt", rows())
    text(root / "train" / "_darknet.labels", "fox\nhen\n")


def roboflow_tensorflow(root: Path) -> None:
    photo(root / "train" / "a_jpg.rf.0123.jpg")
    text(root / "train" / "_annotations.csv", table("a_jpg.rf.0123.jpg"))


def label_img_voc(root: Path) -> None:
    photo(root / "a.jpg")
    text(root / "a.xml", voc("a.jpg", folder="photos"))


def label_img_yolo(root: Path) -> None:
    photo(root / "a.jpg")
    text(root / "a.txt", rows())
    text(root / "classes.txt", "fox\nhen\n")


def labelme(root: Path) -> None:
    photo(root / "a.jpg")
    shapes = [
        {"label": label, "points": np.reshape(outline, (-1, 2)).tolist(), "shape_type": "polygon"}
        for (label, _), outline in zip(OBJECTS, OUTLINES, strict=True)
    ]
    sizes = {"imageWidth": WIDTH, "imageHeight": HEIGHT}
    text(root / "a.json", json.dumps({"version": "5.4", "shapes": shapes, "imagePath": "a.jpg", **sizes}))


def vott_voc(root: Path) -> None:
    """Without ImageSets/, whose lists are of single classes."""
    photo(root / "JPEGImages" / "a.jpg")
    text(root / "Annotations" / "a.xml", voc("a.jpg", folder="Annotation"))


def ultralytics(root: Path) -> None:
    photo(root / "images" / "train" / "a.jpg")
    text(root / "labels" / "train" / "a.txt", polygons())
    text(
        root / "data.yaml",
        "path: /datasets/mine\ntrain: images/train\nval: images/val\nnames: {0: fox, 1: hen}\n",
    )


def darknet(root: Path) -> None:
    photo(root / "img" / "a.jpg")
    text(root / "img" / "a.txt", rows())
    text(root / "obj.names", "fox\nhen\n")
    text(root / "train.txt", "build/darknet/x64/data/img/a.jpg\n")
    text(
        root / "obj.data",
        "classes = 2\ntrain = data/train.txt\nvalid = data/test.txt\nnames = data/obj.names\n",
    )


def fiftyone_coco(root: Path) -> None:
    photo(root / "data" / "a.jpg")
    text(root / "labels.json", coco("a.jpg", outlines=True))


def fiftyone_yolo(root: Path) -> None:
    photo(root / "images" / "train" / "a.jpg")
    text(root / "labels" / "train" / "a.txt", rows())
    text(root / "dataset.yaml", "names:\n  0: fox\n  1: hen\npath: /home/me/export\ntrain: ./images/train/\n")


def fiftyone_voc(root: Path) -> None:
    photo(root / "data" / "a.jpg")
    text(root / "labels" / "a.xml", voc("a.jpg"))


def fiftyone_cvat(root: Path) -> None:
    photo(root / "data" / "a.jpg")
    text(root / "labels.xml", cvat("a.jpg"))


def make_sense_coco(root: Path) -> None:
    photo(root / "a.jpg")
    text(root / "labels_my-project-name_2026-01-01-10-00-00.json", coco("a.jpg", outlines=True, info={}))


def make_sense_voc(root: Path) -> None:
    photo(root / "a.jpg")
    text(root / "a.xml", voc("a.jpg", folder="my-project-name"))


def make_sense_csv(root: Path) -> None:
    photo(root / "a.jpg")
    columns = "label_name,bbox_x,bbox_y,bbox_width,bbox_height,image_name,image_width,image_height"
    boxes = (
        f"{label},{x1},{y1},{x2 - x1},{y2 - y1},a.jpg,{WIDTH},{HEIGHT}" for label, (x1, y1, x2, y2) in OBJECTS
    )
    text(root / "labels_my-project-name_2026-01-01-10-00-00.csv", "\n".join([columns, *boxes]))


def open_images(root: Path) -> None:
    photo(root / "train" / "a.jpg")
    columns = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf"
    boxes = (
        f"a,xclick,{label},1,{x1 / WIDTH:.6f},{x2 / WIDTH:.6f},{y1 / HEIGHT:.6f},{y2 / HEIGHT:.6f},0,0,0"
        for label, (x1, y1, x2, y2) in OBJECTS
    )
    text(root / "train-annotations-bbox.csv", "\n".join([columns, *boxes]))


def via_coco(root: Path) -> None:
    """Its polygons are lists of numbers, where COCO has lists of such lists: they are listed, and not used."""
    photo(root / "a.jpg")
    content = json.loads(coco("a.jpg", outlines=True))
    for entry in content["annotations"]:
        entry |= {"image_id": str(entry["image_id"]), "segmentation": entry["segmentation"][0]}
    text(root / "via_export_coco.json", json.dumps(content))


def script_coco(root: Path) -> None:
    photo(root / "photos" / "a.jpg")
    content = json.loads(coco("a.jpg", outlines=True))
    for entry in content["annotations"]:
        entry["iscrowd"] = 1
    text(root / "annotations.json", json.dumps(content))


# Who writes it, and whether it has outlines: "outlines", or "boxes".
EXPORTS: dict[Callable[[Path], None], str] = {
    cvat_images: "boxes",
    cvat_coco: "outlines",
    cvat_yolo: "boxes",
    cvat_ultralytics: "outlines",
    cvat_voc: "boxes",
    label_studio: "boxes",
    label_studio_coco: "boxes",
    label_studio_yolo: "boxes",
    label_studio_voc: "boxes",
    roboflow_coco: "outlines",
    roboflow_voc: "boxes",
    roboflow_yolo: "boxes",
    roboflow_darknet: "boxes",
    roboflow_tensorflow: "boxes",
    label_img_voc: "boxes",
    label_img_yolo: "boxes",
    labelme: "outlines",
    vott_voc: "boxes",
    ultralytics: "outlines",
    darknet: "boxes",
    fiftyone_coco: "outlines",
    fiftyone_yolo: "boxes",
    fiftyone_voc: "boxes",
    fiftyone_cvat: "boxes",
    make_sense_coco: "outlines",
    make_sense_voc: "boxes",
    make_sense_csv: "boxes",
    open_images: "boxes",
    via_coco: "boxes",
    script_coco: "outlines",
}


@pytest.mark.parametrize("write", EXPORTS, ids=lambda write: write.__name__)
def test_every_object_is_read(write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path / "export")
    dataset = formats.load(Data(root=tmp_path / "export", split="default" if write is cvat_coco else "train"))
    assert dataset.classes == ("fox", "hen")
    (sample,) = dataset.samples
    assert sample.labels.tolist() == [1, 2]
    assert np.allclose(sample.boxes, [FOX, HEN], atol=1e-3)
    assert (sample.ground_truth is not None) == (EXPORTS[write] == "outlines")
    if sample.ground_truth is not None:
        truth = sample.ground_truth()
        assert (int((truth == 1).sum()), truth[24, 11], truth[6, 11]) == (300, 0, 1)
