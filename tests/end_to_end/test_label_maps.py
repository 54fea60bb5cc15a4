"""The confidence of labels and the reliable region."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import boxseg
from boxseg.cli import execute
from boxseg.labelling.confidence_maps import confidence
from boxseg.nn.pseudo import box_masks, finish_crf


@settings(max_examples=50)
@given(st.data())
def test_the_confidence_is_the_probability_of_the_label(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    count = data.draw(st.integers(0, 3))
    labels = torch.tensor(
        data.draw(st.lists(st.integers(1, 250), min_size=count, max_size=count)), dtype=torch.int64
    )
    crowd = torch.tensor(np.random.default_rng(count).random((height, width)) < 0.2)
    boxes = box_masks(
        torch.tensor([[0.0, 0, width, height]] * count).reshape(-1, 4), labels, (height, width), crowd
    )
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    probabilities = torch.rand(len(boxes.classes) + 1, height, width, generator=generator).softmax(0)
    y_crf = finish_crf(probabilities, boxes)
    found = confidence(y_crf, probabilities, boxes)
    for row, column in np.ndindex(height, width):
        label = int(y_crf[row, column])
        places = [0, *boxes.classes.tolist()]
        expected = 0.0 if label == 255 else float(probabilities[places.index(label), row, column])
        assert abs(float(found[row, column]) - expected) < 1e-6


def test_maps_are_written_beside_the_labels(toy: Path, miniature: tuple[str, ...], tmp_path: Path) -> None:
    data = {"root": toy, "limit": 2}
    words = ["classify", *(w for w in miniature if w.startswith("classify")), "model.weights=none", "workers=0"]
    assert execute([*words, f"data={toy}", "limit=2", f"out={tmp_path}/c"]) == 0
    options = {"checkpoint": tmp_path / "c", "data": data, "out": tmp_path / "l", "iterations": 2}
    assert boxseg.label(**options).written == 2
    before = {path: path.read_bytes() for path in (tmp_path / "l").rglob("*.png")}
    assert len(before) == 2 * len(("labels", "y_crf", "y_ret", "confidence", "reliable"))
    next((tmp_path / "l" / "confidence").iterdir()).unlink()
    assert boxseg.label(**options).written == 1
    assert {path: path.read_bytes() for path in before} == before
    assert boxseg.label(**options).written == 0
    done = boxseg.label(**options, formats=["coco", "yolo-seg"])
    named = [line.partition(":")[0] for line in done.exported if not line.startswith(" ")]
    assert (done.written, named) == (0, ["coco", "yolo-seg"])
    assert len(boxseg.doctor(data=tmp_path / "l" / "coco").dataset) == 2
    assert (tmp_path / "l" / "yolo-seg" / "data.yaml").is_file()
    for path in sorted((tmp_path / "l" / "y_crf").iterdir()):
        y_crf, y_ret = (
            np.asarray(Image.open(path.parents[1] / name / path.name)) for name in ("y_crf", "y_ret")
        )
        with Image.open(tmp_path / "l" / "confidence" / path.name) as image:
            assert (image.mode, image.size) == ("L", y_crf.shape[::-1])
            levels = np.asarray(image)
        # The most probable class that a pixel may take; outside all boxes the CRF leaves little doubt.
        assert levels.min() > 0
        reliable = np.asarray(Image.open(tmp_path / "l" / "reliable" / path.name))
        assert np.array_equal(reliable, np.where((y_crf == y_ret) & (y_crf != 255), 255, 0))
        assert (tmp_path / "l" / "labels" / path.name).read_bytes() == path.read_bytes()
