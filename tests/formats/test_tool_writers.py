"""Labels written for CVAT and Label Studio, and read back."""

from __future__ import annotations

import json
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from faster_coco_eval.core.mask import decode
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from boxseg import formats
from boxseg.config import Data
from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import DataError
from boxseg.formats.label_studio_brush import decode_brush
from boxseg.formats.regions import encode_region
from boxseg.formats.writers import WRITERS, Writing
from drawn_labels import (
    CLASSES,
    Labels,
    dataset_of,
    objects,
    photos,
    window,
    written,
)
from slow_regions import filled


@pytest.mark.parametrize("codes", ["rle", "polygons"])
@pytest.mark.parametrize("name", ["cvat", "label-studio"])
@written
@given(st.data())
def test_annotation_tools_and_back(name: str, codes: str, data: st.DataObject) -> None:
    """Every object keeps its box and its own mask, however objects overlap; polygons fill holes."""
    with tempfile.TemporaryDirectory() as folder:
        samples = [data.draw(photos(number, Path(folder) / "photos")) for number in range(2)]
        how, root = data.draw(st.sampled_from(["boxes", "regions"])), Path(folder) / "out"
        done = WRITERS[name](dataset_of(samples, root), root, Writing(objects=how, segmentation=codes))
        after = formats.load(Data(root=root, images=Path("images") / "train"))
        kinds = {problem.kind for problem in after.problems}
        assert (after.format, kinds <= {"outlines that are only boxes"}) == (name, True)
        assert done.objects == sum(len(sample.labels) for sample in after.samples)
        for sample in samples:
            place = root / "images" / "train" / f"{sample.id}.png"
            read = next(one for one in after.samples if one.image == place)
            assert (read.width, read.height) == (sample.width, sample.height)
            expected = objects(sample, how)
            assert [after.classes[label - 1] for label in read.labels] == [CLASSES[o - 1] for o, _ in expected]
            for instance, (_, mask) in zip(read.instances or (), expected, strict=bool(read.instances)):
                region = decode(encode_region(instance.region, sample.width, sample.height)).astype(bool)
                assert np.array_equal(region, mask if codes == "rle" else filled(mask))
            assert read.instances is not None or not done.objects or kinds
            if how == "boxes":
                kept = [box for box, label in zip(sample.boxes.tolist(), sample.labels, strict=True)
                        if (sample.ground_truth()[window(box)] == label).any()]  # fmt: skip
                assert np.allclose(read.boxes, np.reshape(kept, (-1, 4)), atol=1e-9)


def one_photo(root: Path) -> BoxDataset:
    """A photo with a hollow square of class 3, 20 by 20 pixels, in a box of 30 by 30."""
    mask = np.zeros((50, 60), np.uint8)
    mask[20:40, 10:30] = 3
    mask[25:35, 15:25] = 0
    path = root / "sub" / "a photo.png"
    path.parent.mkdir(parents=True)
    Image.new("RGB", (60, 50)).save(path)
    box = np.array([[5.0, 15.5, 35, 45]])
    labels, difficult = np.array([3]), np.zeros(1, dtype=bool)
    size = {"width": 60, "height": 50}
    own = {"boxes": box, "labels": labels, "difficult": difficult, "ground_truth": Labels(mask)}
    return dataset_of([Sample(id="sub/a photo", image=path, **size, **own)], root)


def test_what_cvat_is_told(tmp_path: Path) -> None:
    WRITERS["cvat"](one_photo(tmp_path / "photos"), tmp_path / "o", Writing())
    top = ET.parse(tmp_path / "o" / "train.xml").getroot()
    assert [label.findtext("name") for label in top.findall("meta/task/labels/label")] == list(CLASSES)
    pasted = json.loads((tmp_path / "o" / "labels.txt").read_text())
    assert [label["name"] for label in pasted] == list(CLASSES)
    (image,) = top.findall("image")
    assert (image.get("name"), image.get("width"), image.get("height")) == ("sub/a photo.png", "60", "50")
    box, mask = image
    assert [float(box.get(key)) for key in ("xtl", "ytl", "xbr", "ybr")] == [5, 15.5, 35, 45]
    assert [int(mask.get(key)) for key in ("left", "top", "width", "height")] == [10, 20, 20, 20]
    assert mask.get("rle") == ", ".join(map(str, [0, 105, *[10, 10] * 9, 10, 105]))
    assert [(one.get("label"), one.get("group_id")) for one in image] == [("Größe", "1")] * 2
    polygons = Writing(segmentation="polygons", photos="none")
    WRITERS["cvat"](one_photo(tmp_path / "more"), tmp_path / "p", polygons)
    (points,) = (one.get("points") for one in ET.parse(tmp_path / "p" / "train.xml").iter("polygon"))
    assert points == "10,20;30,20;30,40;10,40"
    assert not (tmp_path / "p" / "images").exists()


def test_label_studio_finds_photos_in_a_folder_of_any_name(tmp_path: Path) -> None:
    WRITERS["label-studio"](one_photo(tmp_path / "photos"), tmp_path / "cats & dogs #1", Writing())
    (task,) = json.loads((tmp_path / "cats & dogs #1" / "train.json").read_text())
    query = parse_qs(urlsplit(task["data"]["image"]).query)
    assert query == {"d": ["cats & dogs #1/images/train/sub/a photo.png"]}


@pytest.mark.parametrize(
    ("prefix", "address"),
    [
        (None, "/data/local-files/?d=o/images/train/sub/a%20photo.png"),
        ("https://example.com/x/", "https://example.com/x/images/train/sub/a%20photo.png"),
        ("s3://bucket/", "s3://bucket/images/train/sub/a photo.png"),
        ("", "images/train/sub/a%20photo.png"),
    ],
)
def test_what_label_studio_is_told(tmp_path: Path, prefix: str | None, address: str) -> None:
    dataset = one_photo(tmp_path / "photos")
    WRITERS["label-studio"](dataset, tmp_path / "o", Writing(prefix=prefix))
    (task,) = json.loads((tmp_path / "o" / "train.json").read_text())
    assert task["data"] == {"image": address}
    box, mask = task["annotations"][0]["result"]
    tags = {one.get("name"): one for one in ET.parse(tmp_path / "o" / "labeling-config.xml").getroot()}
    for region in (box, mask):
        assert (region["original_width"], region["original_height"]) == (60, 50)
        assert tags[region["from_name"]].tag.lower() == region["type"]
        assert region["value"][region["type"]] == ["Größe"]
        assert region["to_name"] in tags
    assert [one.get("value") for one in tags["mask"]] == list(CLASSES)
    assert (box["type"], mask["type"], mask["parentID"]) == ("rectanglelabels", "brushlabels", box["id"])
    sides = [box["value"][key] for key in ("x", "y", "width", "height")]
    assert np.allclose(sides, [5 / 0.6, 31, 50, 59])
    assert np.array_equal(decode_brush(mask["value"]["rle"], 60, 50), dataset.samples[0].ground_truth() > 0)
    assert formats.load(Data(root=tmp_path / "o")).samples[0].id == "a photo"


def test_predictions_of_label_studio_are_no_annotations(tmp_path: Path) -> None:
    WRITERS["label-studio"](one_photo(tmp_path / "photos"), tmp_path / "o", Writing(predictions=True))
    (task,) = json.loads((tmp_path / "o" / "train.json").read_text())
    assert task.keys() == {"data", "predictions"}
    assert task["predictions"][0]["model_version"] == "boxseg"
    with pytest.raises(DataError, match="task not annotated"):
        formats.load(Data(root=tmp_path / "o"))
