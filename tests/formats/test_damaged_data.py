"""Files that somebody's editor, disk or download has changed: read, listed or refused, never a crash."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from annotation_writers import write_coco, write_yolo
from boxseg import formats
from boxseg.config import Data
from boxseg.data.toy import write_toy
from boxseg.errors import DataError

SCRAPS = [b"", b"NaN", b"null", b"-1", b"1e999", b"[]", b"{}", b'""', b"\x00", b"\xff\xfe", b"<", b"&", b"../"]
SCRAPS += [b"9" * 30, b"x" * 300, b" ", b"\n", b":", b"- ", b"true"]
CHANGES = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from([0, 1, 3, 20]), st.sampled_from(SCRAPS) | st.binary(max_size=3)),
    min_size=1,
    max_size=4,
)
FILES = {
    "voc": ["Annotations/train_0000.xml", "ImageSets/Segmentation/train.txt", "JPEGImages/train_0001.jpg"],
    "coco": ["annotations/instances_train.json"],
    "yolo": ["data.yaml", "labels/train/train_0000.txt"],
    "cvat": ["annotations.xml"],
    "label-studio": ["export.json"],
}
CVAT = """<annotations><meta><task><labels><label><name>a</name></label></labels></task></meta>
<image id="0" name="train_0000.jpg" width="48" height="48">
<box label="a" occluded="0" xtl="1.00" ytl="2.00" xbr="30.50" ybr="40.00" rotation="10.0"></box>
<polygon label="a" points="1.00,2.00;30.00,2.00;30.00,39.00"></polygon>
<mask label="a" rle="0, 5, 3, 4" left="40" top="30" width="4" height="3"></mask></image></annotations>"""
# 48 x 48 pixels of four channels in three runs: 4,000 of 0, 200 of 255, the rest 0.
BRUSH = [0, 0, 36, 0, 57, 27, 255, 15, 159, 0, 216, 255, 252, 78, 92, 0]


def label_studio_export() -> str:
    size = {"original_width": 48, "original_height": 48}
    rectangle = {"x": 10.5, "y": 5, "width": 40, "height": 50, "rotation": 3, "rectanglelabels": ["a"]}
    polygon = {"points": [[10, 5], [50, 5], [50, 55]], "polygonlabels": ["a"]}
    brush = {"format": "rle", "rle": BRUSH, "brushlabels": ["b"]}
    results = [
        {"id": "r", "type": kind, "value": value, **size}
        for kind, value in (("rectanglelabels", rectangle), ("polygonlabels", polygon), ("brushlabels", brush))
    ]
    task = {"id": 1, "annotations": [{"result": results, "was_cancelled": False}]}
    return json.dumps([{**task, "data": {"image": "/data/upload/1/3fa85f64-train_0000.jpg"}}])


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {name: tmp_path_factory.mktemp(name) for name in FILES}
    write_toy(found["voc"], train=2, val=0, size=48)
    dataset = formats.load(Data(root=found["voc"]))
    write_coco(dataset, found["coco"])
    write_yolo(dataset, found["yolo"])
    for name in ("cvat", "label-studio"):
        Image.new("RGB", (48, 48)).save(found[name] / "train_0000.jpg")
    (found["cvat"] / FILES["cvat"][0]).write_text(CVAT)
    (found["label-studio"] / FILES["label-studio"][0]).write_text(label_studio_export())
    assert all(len(formats.load(Data(root=root))) for root in found.values())  # as they are, all can be read
    return found


@pytest.mark.parametrize(("name", "file"), [(name, file) for name, files in FILES.items() for file in files])
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=40)
@given(CHANGES)
def test_damage_is_read_listed_or_refused(roots: dict[str, Path], name: str, file: str, changes) -> None:
    path = roots[name] / file
    whole = path.read_bytes()
    damaged = bytearray(whole)
    for place, length, scrap in changes:
        start = int(place * len(damaged))
        damaged[start : start + length] = scrap
    path.write_bytes(bytes(damaged))
    try:
        with suppress(DataError):
            dataset = formats.load(Data(root=roots[name]))
            formats.inspect(dataset)
            for sample in dataset.samples:
                assert (sample.boxes[:, 2:] > sample.boxes[:, :2]).all()
                assert sample.boxes.shape == (len(sample.labels), 4)
                assert all(1 <= label <= len(dataset.classes) for label in sample.labels)
    finally:
        path.write_bytes(whole)
