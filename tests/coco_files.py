"""COCO files of two photos for the tests."""

from __future__ import annotations

from boxseg.dataset import BoxDataset

SQUARE = [[12.0, 12.0, 18.0, 12.0, 18.0, 18.0, 12.0, 18.0]]  # smaller than the box


def annotation(number: int, **changes) -> dict:
    default = {"id": number, "image_id": 1, "category_id": 7, "bbox": [10, 10, 10, 10], "iscrowd": 0}
    return {**default, "segmentation": SQUARE, **changes}


def kinds(dataset: BoxDataset) -> list[tuple[str, str]]:
    return [(problem.kind, problem.action) for problem in dataset.problems]
