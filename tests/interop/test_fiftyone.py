"""What FiftyOne's readers make of masks.json, labels/ and the formats that `convert` writes.

`Dataset.from_dir` hands what these readers give to its database, MongoDB; they work without it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.interop.conftest import Labelled

from random_masks import paint

# Imported, it does not talk to anybody: no usage statistics, no database before one is needed.
os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "true")
fiftyone = pytest.importorskip("fiftyone", reason="FiftyOne is not installed")

Found = dict[str, list[tuple[str, list[float], np.ndarray | None]]]


def read(importer: Any) -> Found:
    """Of each photo its objects: class, box in pixels, and mask in the photo."""
    found: Found = {}
    with importer:
        for path, _, label in importer:
            label = label["segmentations"] if isinstance(label, dict) else label
            size = Image.open(path).size
            found[Path(path).stem] = [shape_of(one, size) for one in objects_of(label)]
    return found


def objects_of(label: Any) -> Iterable[Any]:
    if label is None:
        return ()
    return label.detections if hasattr(label, "detections") else label.polylines


def shape_of(one: Any, size: tuple[int, int]) -> tuple[str, list[float], np.ndarray | None]:
    x, y, width, height = np.array(one.bounding_box) * (*size, *size)
    mask = None
    if one.mask is not None:
        mask = np.zeros(size[::-1], dtype=bool)
        left, top = round(x), round(y)
        mask[top : top + one.mask.shape[0], left : left + one.mask.shape[1]] = one.mask
    return one.label, [x, y, x + width, y + height], mask


def same(found: Found, expected: Labelled, *, masks: bool = True, first: int = 0) -> None:
    """Whether all came through; `first` is the number that the reader takes for the first pixel's edge."""
    assert set(found) == set(expected.objects)
    assert any(found.values())
    for name, objects in expected.objects.items():
        assert len(found[name]) == len(objects)
        for (label, box, mask), (theirs, their_box, their_mask) in zip(objects, found[name], strict=True):
            left, top, right, bottom = box
            assert theirs == label
            assert their_box == pytest.approx([left + first, top + first, right, bottom], abs=1e-6)
            assert (their_mask is not None) == masks
            if their_mask is not None:
                assert np.array_equal(their_mask, mask)


def test_masks_json_beside_the_photos(labelled: Callable[[str], Labelled]) -> None:
    from fiftyone.utils.coco import COCODetectionDatasetImporter

    of = labelled("train")
    paths = {"data_path": str(of.photos), "labels_path": str(of.folder / "masks.json")}
    same(read(COCODetectionDatasetImporter(**paths, label_types=["segmentations"])), of)


def test_coco(labelled: Callable[[str], Labelled], converted: Callable[[str], Path]) -> None:
    from fiftyone.utils.coco import COCODetectionDatasetImporter

    root = converted("coco")
    paths = {
        "data_path": str(root / "images" / "val"),
        "labels_path": str(root / "annotations" / "instances_val.json"),
    }
    found = read(COCODetectionDatasetImporter(**paths, label_types=["segmentations"]))
    same(found, labelled("val"))


def test_voc(labelled: Callable[[str], Labelled], converted: Callable[[str], Path]) -> None:
    from fiftyone.utils.voc import VOCDetectionDatasetImporter

    root, of = converted("voc"), labelled("val")
    paths = {"data_path": str(root / "JPEGImages"), "labels_path": str(root / "Annotations")}
    found = read(VOCDetectionDatasetImporter(**paths))
    assert set(found) == {*of.objects, *labelled("train").objects}, "VOC's folders hold all splits"
    # It takes VOC's numbers, which begin with 1, for edges: its boxes lack the first column and row.
    same({name: found[name] for name in of.objects}, of, masks=False, first=1)


def test_yolo_polygons(labelled: Callable[[str], Labelled], converted: Callable[[str], Path]) -> None:
    from fiftyone.utils.yolo import YOLOv5DatasetImporter

    of = labelled("val")
    importer = YOLOv5DatasetImporter(
        dataset_dir=str(converted("yolo-seg")), yaml_path="data.yaml", split="val", label_type="polylines"
    )
    with importer:
        found = {Path(path).stem: list(objects_of(label)) for path, _, label in importer}
    assert set(found) == set(of.objects)
    for name, objects in of.objects.items():
        assert [one.label for one in found[name]] == [label for label, _, _ in objects]
        for one, (_, _, mask) in zip(found[name], objects, strict=True):
            height, width = mask.shape
            xs, ys = np.array(one.points[0]).T * [[width], [height]]
            assert np.array_equal(paint([np.stack([xs, ys], 1).round(6)], mask.shape), mask)
            rows, columns = np.nonzero(mask)
            bounds = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert [xs.min(), ys.min(), xs.max(), ys.max()] == pytest.approx(bounds, abs=1e-3)


def masks_of(photos: Path, masks: Path) -> dict[str, np.ndarray]:
    from fiftyone.utils.data import ImageSegmentationDirectoryImporter

    paths = {"data_path": str(photos), "labels_path": str(masks)}
    with ImageSegmentationDirectoryImporter(**paths, load_masks=True) as importer:
        return {Path(path).stem: label.mask for path, _, label in importer if label is not None}


def test_grey_masks(labelled: Callable[[str], Labelled], converted: Callable[[str], Path]) -> None:
    of, root = labelled("val"), converted("masks")
    found = masks_of(root / "images" / "val", root / "masks" / "val")
    assert set(found) == set(of.objects)
    for name, mask in found.items():
        assert np.array_equal(mask, of.labels(name))


def test_masks_with_a_palette_become_colours(labelled: Callable[[str], Labelled]) -> None:
    """Why the page says to convert: if this fails, `labels/` can be given as it is."""
    of = labelled("val")
    for mask in masks_of(of.photos, of.folder / "labels").values():
        assert mask.ndim == 3
