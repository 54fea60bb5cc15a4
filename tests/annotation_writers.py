"""Data sets written in the formats that boxseg reads, by hand and without its code: one split each."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from boxseg.dataset import BoxDataset, Sample


def write_voc(dataset: BoxDataset, root: Path) -> None:
    """JPEGImages, Annotations, grey masks in SegmentationClass, and the list in ImageSets/Main."""
    for sample in dataset.samples:
        photo = _copy_photo(sample, root / "JPEGImages")
        top = ET.Element("annotation")
        _texts(top, filename=photo.name)
        _texts(ET.SubElement(top, "size"), width=sample.width, height=sample.height)
        for (x1, y1, x2, y2), label, hard in zip(sample.boxes, sample.labels, sample.difficult, strict=True):
            node = ET.SubElement(top, "object")
            _texts(node, name=dataset.classes[label - 1], difficult=int(hard))
            corners = {"xmin": float(x1 + 1), "ymin": float(y1 + 1), "xmax": float(x2), "ymax": float(y2)}
            _texts(ET.SubElement(node, "bndbox"), **corners)
        xml = _path(root / "Annotations" / f"{sample.id}.xml")
        ET.ElementTree(top).write(xml, encoding="utf-8")
        if sample.ground_truth is not None:
            mask = _path(root / "SegmentationClass" / f"{sample.id}.png")
            Image.fromarray(sample.ground_truth()).save(mask)
    ids = [f"{sample.id}\n" for sample in dataset.samples]
    _path(root / "ImageSets" / "Main" / f"{dataset.split}.txt").write_text("".join(ids), encoding="utf-8")


def write_coco(dataset: BoxDataset, root: Path) -> None:
    """Photos in ROOT/SPLIT, boxes and crowds without segmentation in annotations/instances_SPLIT.json."""
    images, annotations = [], []
    for number, sample in enumerate(dataset.samples, start=1):
        folder = root / dataset.split
        name = _copy_photo(sample, folder).relative_to(folder).as_posix()
        images.append({"id": number, "file_name": name, "width": sample.width, "height": sample.height})
        boxes = [(box, int(label), 0) for box, label in zip(sample.boxes, sample.labels, strict=True)]
        for (x1, y1, x2, y2), label, crowd in [*boxes, *((box, 1, 1) for box in sample.crowds)]:
            box = [float(x1), float(y1), float(x2 - x1), float(y2 - y1)]
            entry = {"id": len(annotations) + 1, "image_id": number, "category_id": label, "bbox": box}
            annotations.append({**entry, "iscrowd": crowd, "segmentation": []})
    categories = [{"id": label, "name": name} for label, name in enumerate(dataset.classes, start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    _path(root / "annotations" / f"instances_{dataset.split}.json").write_text(json.dumps(content))


def write_yolo(dataset: BoxDataset, root: Path) -> None:
    """images/SPLIT, labels/SPLIT, and the split's entry in data.yaml."""
    for sample in dataset.samples:
        _copy_photo(sample, root / "images" / dataset.split)
        lines = [
            f"{label - 1} {(x1 + x2) / 2 / sample.width} {(y1 + y2) / 2 / sample.height} "
            f"{(x2 - x1) / sample.width} {(y2 - y1) / sample.height}\n"
            for (x1, y1, x2, y2), label in zip(sample.boxes.tolist(), sample.labels.tolist(), strict=True)
        ]
        _path(root / "labels" / dataset.split / f"{sample.id}.txt").write_text("".join(lines))
    path = root / "data.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    content |= {"names": list(dataset.classes), dataset.split: f"images/{dataset.split}"}
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")


def _copy_photo(sample: Sample, folder: Path) -> Path:
    return Path(shutil.copyfile(sample.image, _path(folder / f"{sample.id}{sample.image.suffix}")))


def _path(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _texts(parent: ET.Element, **texts: object) -> None:
    for name, text in texts.items():
        ET.SubElement(parent, name).text = str(text)


def cvat_mask(mask: NDArray[np.bool_]) -> dict[str, str]:
    """A mask as CVAT has it: runs of the tight rectangle around it, row by row, outside first."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    tight = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    runs, value = [0], False
    for pixel in tight.ravel().tolist():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    place = {"left": columns[0], "top": rows[0], "width": tight.shape[1], "height": tight.shape[0]}
    return {"rle": ", ".join(map(str, runs)), **{key: str(value) for key, value in place.items()}}
