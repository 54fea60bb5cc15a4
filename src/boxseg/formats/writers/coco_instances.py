"""COCO instances with segmentations.

OUT/annotations/instances_SPLIT.json       images, objects and categories
OUT/images/SPLIT/ID.jpg                    photos
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from boxseg.atomic import write_text
from boxseg.dataset import BoxDataset, Sample
from boxseg.formats import run_lengths
from boxseg.formats.coco_results import encode_window, image_numbers
from boxseg.formats.files import place_photo
from boxseg.formats.regions import encode_region
from boxseg.formats.writers.labelled import LabelObject, PhotoLabels, Writing, Written, write_photos


def write(dataset: BoxDataset, root: Path, writing: Writing) -> Written:
    """Write the labels of one split, the annotation file last.

    Images and categories keep the numbers they have in COCO data; elsewhere they are numbered from 1.
    """
    folder = root / "images" / dataset.split
    ids = dataset.category_ids or tuple(range(1, len(dataset.classes) + 1))
    numbers = image_numbers(dataset)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    work = partial(_write, folder=folder, ids=ids, writing=replace(writing, spread=None))
    parts, written = write_photos(work, dataset, writing)
    for sample, (image, objects) in zip(dataset.samples, parts, strict=True):
        number = numbers[sample.id]
        images.append({"id": number, **image})
        for item in objects:
            annotations.append({"id": len(annotations) + 1, "image_id": number, **item})
    categories = [
        {"id": number, "name": name, "supercategory": ""}
        for number, name in zip(ids, dataset.classes, strict=True)
    ]
    content = {"info": {"description": "labels made by boxseg"}, "licenses": [], "images": images}
    content |= {"annotations": annotations, "categories": categories}
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    write_text(root / "annotations" / f"instances_{dataset.split}.json", text + "\n")
    return written


def _write(
    photo: PhotoLabels, folder: Path, ids: tuple[int | str, ...], writing: Writing
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Place a photo; returns the entries of the photo and of its objects, without their numbers."""
    sample = photo.sample
    name = place_photo(sample, folder, writing.photos).relative_to(folder).as_posix()
    objects = [{"category_id": ids[item.label - 1], **_object(item, sample, writing)} for item in photo.objects]
    return {"file_name": name, "width": sample.width, "height": sample.height}, objects


def _object(item: LabelObject, sample: Sample, writing: Writing) -> dict[str, Any]:
    x1, y1, x2, y2 = map(float, item.box)
    segmentation: Any = encode_window(item.mask, *item.corner, (sample.height, sample.width))
    area = int(item.mask.sum())
    if writing.segmentation == "polygons":
        segmentation = [ring.ravel().tolist() for ring in item.rings(writing.simplify)]
        area = run_lengths.area(encode_region(segmentation, sample.width, sample.height))
    box = [x1, y1, x2 - x1, y2 - y1]
    return {"bbox": box, "area": area, "iscrowd": 0, "segmentation": segmentation, **item.origin}
