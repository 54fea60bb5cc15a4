"""`convert tighten=true`: the bounds of masks in place of boxes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import boxseg
from boxseg import formats
from boxseg.config import Data
from boxseg.errors import ConfigError, DataError
from boxseg.formats.box_masks import box_mask, read_box_masks, write_box_masks
from boxseg.formats.coco_results import decode_window
from label_results import piece_path

# Two outlines in one photo, the second in front of the first, in boxes that are too large.
OUTLINES = ([20, 10, 40, 30, 20, 50, 4, 30], [30, 10, 50, 30, 30, 44, 22, 30])
BOXES = ([0, 4, 48, 50], [18, 6, 36, 44])
BOUNDS = [[4, 10, 40, 50], [22, 10, 50, 44]]
BY_BOX = {"label": {"method": "box", "crf": {"enabled": False}}}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A COCO set of one photo with outlines, and one without."""
    root = tmp_path / "data"
    (root / "train").mkdir(parents=True)
    for name in "ab":
        Image.new("RGB", (60, 60), (9, 99, 199)).save(root / "train" / f"{name}.png")
    annotations = [
        {"id": n, "image_id": 1, "category_id": 1, "bbox": box, "segmentation": [outline]}
        for n, (box, outline) in enumerate(zip(BOXES, OUTLINES, strict=True), start=1)
    ]
    annotations.append({"id": 9, "image_id": 2, "category_id": 1, "bbox": [1, 1, 9, 9], "segmentation": []})
    images = [{"id": n, "file_name": f"{name}.png"} for n, name in enumerate("ab", start=1)]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}
    (root / "train.json").write_text(json.dumps(content))
    return root


@pytest.mark.parametrize("format", ["coco", "voc"])
def test_boxes_from_the_outlines_of_a_data_set(format: str, data: Path, tmp_path: Path) -> None:
    """Also of the cat behind the other: its bounds are those of its whole outline."""
    done = boxseg.convert(source=data, out=tmp_path / "new", format=format, which="ground-truth", tighten=True)
    assert (done.written.photos, done.written.objects, done.missing) == (1, 2, 1)
    found = formats.load(Data(root=tmp_path / "new"))
    # Pixels whose centres are in the outline: half a pixel less than its corners, and whole pixels.
    np.testing.assert_allclose(found.samples[0].boxes, BOUNDS, atol=1)


def test_without_it_outlines_are_written_with_their_boxes(data: Path, tmp_path: Path) -> None:
    boxseg.convert(source=data, out=tmp_path / "new", format="coco", which="ground-truth")
    sample = formats.load(Data(root=tmp_path / "new")).samples[0]
    assert sample.boxes.tolist() == [[x, y, x + width, y + height] for x, y, width, height in BOXES]
    own = formats.load(Data(root=data)).samples[0]
    np.testing.assert_array_equal(sample.ground_truth(), own.ground_truth())


@pytest.mark.parametrize("format", ["coco", "voc"])
def test_boxes_from_masks_made_by_label(format: str, data: Path, tmp_path: Path) -> None:
    boxseg.label(data=data, out=tmp_path / "out", **BY_BOX)
    sample = formats.load(Data(root=data)).samples[0]
    window = np.zeros((10, 12), dtype=bool)
    window[3:8, 2:9] = True
    masks = [box_mask(window, (20, 14 + n), sample, score=0.9, source="network") for n in range(2)]
    write_box_masks(piece_path(tmp_path / "out", sample), masks)
    boxseg.convert(source=tmp_path / "out", out=tmp_path / "new", format=format, tighten=True)
    found = formats.load(Data(root=tmp_path / "new"))
    assert found.samples[0].boxes.tolist() == [[22, 17 + n, 29, 22 + n] for n in range(2)]
    for entry, box in zip(
        read_box_masks(piece_path(tmp_path / "out", sample), sample), found.samples[0].boxes, strict=True
    ):
        mask, left, top = decode_window(entry["segmentation"])
        assert box.tolist() == [left, top, left + mask.shape[1], top + mask.shape[0]]


def test_formats_without_boxes_refuse(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tighten=true is for formats with boxes"):
        boxseg.convert(source=data, out=tmp_path / "new", format="yolo-seg", which="ground-truth", tighten=True)


def test_a_data_set_without_outlines_is_refused(data: Path, tmp_path: Path) -> None:
    content = json.loads((data / "train.json").read_text())
    content["annotations"] = content["annotations"][2:]
    (data / "train.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="which=ground-truth: no image of split train"):
        boxseg.convert(source=data, out=tmp_path / "new", format="coco", which="ground-truth")
