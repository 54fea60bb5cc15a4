"""Whole commands on data with objects, outlines and masks that cannot be read: labelled right, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import boxseg
from boxseg import formats
from boxseg.cli import execute
from boxseg.config import Crf, Data, Evaluate, TrainerOptions
from boxseg.errors import DataError
from boxseg.formats.masks import read_mask
from boxseg.inference.networks import Loaded
from boxseg.nn.deeplab import LargeFOV, Segmenter
from boxseg.scoring.network_scores import score_network
from small_networks import Edges

L_SHAPE = [[10, 5, 30, 5, 30, 25, 20, 25, 20, 15, 10, 15]]  # 300 pixels
BROKEN_CODE = {"size": [30, 40], "counts": "zzz"}
BY_BOX = {"label": {"method": "box", "crf": {"enabled": False}}}


def annotation(own_id: int, **changes: Any) -> dict[str, Any]:
    return {"id": own_id, "image_id": own_id, "category_id": 1, "bbox": [10, 5, 20, 20], **changes}


@pytest.fixture
def data(tmp_path: Path):
    """Writes a COCO set of two photos, a.png and b.png, of one class."""

    def write(*annotations: dict[str, Any]) -> Path:
        root = tmp_path / "data"
        (root / "train").mkdir(parents=True)
        for name in "ab":
            Image.new("RGB", (40, 30), (9, 99, 199)).save(root / "train" / f"{name}.png")
        images = [{"id": number, "file_name": f"{name}.png"} for number, name in enumerate("ab", start=1)]
        content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}
        (root / "train.json").write_text(json.dumps(content))
        return root

    return write


def label(root: Path, out: Path):
    return boxseg.label(data=root, out=out, **BY_BOX)


def test_the_region_of_an_object_of_unknown_class_is_255(data, tmp_path: Path) -> None:
    root = data(annotation(1, image_id=1), annotation(2, image_id=1, category_id=7, bbox=[25, 20, 10, 8]))
    label(root, tmp_path / "out")
    expected = np.zeros((30, 40), np.uint8)
    expected[20:28, 25:35] = 255
    expected[5:25, 10:30] = 1
    assert np.array_equal(read_mask(tmp_path / "out" / "labels" / "a.png"), expected)
    done = boxseg.background_masks(data=root, out=tmp_path / "background")
    assert np.array_equal(np.asarray(Image.open(done.folder / "a.png")), expected == 0)


def test_a_photo_with_an_object_of_unknown_place_gets_no_label(data, tmp_path: Path) -> None:
    label(data(annotation(1, bbox=None), annotation(2)), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out" / "labels").iterdir()] == ["b.png"]


def test_one_broken_outline_does_not_stop_scoring(data, tmp_path: Path, capsys) -> None:
    root = data(annotation(1, segmentation=BROKEN_CODE), annotation(2, segmentation=L_SHAPE))
    done = label(root, tmp_path / "out")
    assert (done.scores.images, list(done.scores.unreadable), done.instances.images) == (1, ["a"], 1)
    # 300 of the 400 pixels of the box, 100 of the 900 outside the outline.
    assert done.scores.labels["labels"].iou == {"background": 800 / 900, "cat": 300 / 400}
    assert any(note.startswith("Not scored: 1 image, the first because") for note in done.notes())
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert "a.png: segmentation cannot be read" in metrics["unreadable"]["a"]
    assert execute(["doctor", f"data={root}"]) == 1
    assert "damaged mask" in capsys.readouterr().out
    again = boxseg.evaluate(data=root, labels=tmp_path / "out")
    assert again.scores.images == 1


def test_a_network_is_scored_on_the_other_photos(data) -> None:
    root = data(annotation(1, segmentation=BROKEN_CODE), annotation(2, segmentation=L_SHAPE))
    dataset = formats.load(Data(root=root))
    network = Segmenter(Edges(), LargeFOV(8, stride=4, width=8, rate=1), 1).eval()
    loaded = Loaded(network=network, classes=("cat",), device=torch.device("cpu"), options={})
    options = Evaluate(tta=False, crf=Crf(enabled=False))
    scores = score_network(loaded, dataset, options, TrainerOptions(workers=0, accelerator="cpu"))
    assert (scores.images, list(scores.skipped)) == (1, ["a"])
    assert "a.png: segmentation cannot be read" in scores.skipped["a"]
    assert scores.before_crf.counts is not None
    assert scores.before_crf.counts.sum() == 1200


def test_labels_are_made_where_no_outline_can_be_read(data, tmp_path: Path) -> None:
    root = data(annotation(1, segmentation=BROKEN_CODE), annotation(2, segmentation=BROKEN_CODE))
    done = label(root, tmp_path / "out")
    assert (done.written, done.scores, done.instances) == (2, None, None)
    with pytest.raises(DataError, match="the ground truth of none of 2 images can be read; the first: "):
        boxseg.evaluate(data=root, labels=tmp_path / "out")


@pytest.mark.parametrize(
    "outline", [[10, 5, 30, 5, 30, 25], [[10, 5, 30, 5, 30] * 2 + [1]], {"size": [40, 30], "counts": [1200]}]
)
def test_outlines_of_a_wrong_form_cost_no_more_than_the_score(data, tmp_path: Path, outline) -> None:
    root = data(annotation(1, segmentation=outline), annotation(2, segmentation=L_SHAPE))
    done = label(root, tmp_path / "out")
    assert (done.written, done.scores.images, done.scores.unreadable) == (2, 1, {})


def test_a_split_without_a_box_is_refused(data, tmp_path: Path, capsys) -> None:
    root = data(annotation(1, category_id=5), annotation(2, category_id=6))
    for words in (
        ["label", "method=box", f"out={tmp_path}/o"],
        ["label", "method=box", f"out={tmp_path}/o", "dry_run=true"],
        ["classify", f"out={tmp_path}/o"],
        ["adapt", f"out={tmp_path}/o"],
        ["run", f"out={tmp_path}/o"],
        ["background-masks", f"out={tmp_path}/o"],
    ):
        assert execute([*words, f"data={root}"]) == 2, words
        line = capsys.readouterr().err
        assert "no image of split train in" in line, words
        assert "class unknown: category_id 5, annotation 1 of a.png" in line, words
    assert not (tmp_path / "o" / "labels").exists()


def test_labels_of_a_split_without_a_box_are_nothing_to_learn_from(data, tmp_path: Path, capsys) -> None:
    root = data(annotation(1, category_id=5))
    (tmp_path / "labels").mkdir()
    for name in "ab":
        Image.new("L", (40, 30)).save(tmp_path / "labels" / f"{name}.png")
    words = ["segment", f"labels={tmp_path}/labels", f"data={root}", f"out={tmp_path}/o"]
    assert execute(words) == 2
    assert "no image of split train in" in capsys.readouterr().err


def test_masks_of_0_and_255_are_named(data, tmp_path: Path) -> None:
    root = data(annotation(1, segmentation=L_SHAPE), annotation(2, segmentation=L_SHAPE))
    for folder, value in (("white", 255), ("right", 1)):
        (tmp_path / folder).mkdir()
        mask = np.zeros((30, 40), np.uint8)
        mask[5:15, 10:30] = mask[15:25, 20:30] = value
        for name in "ab":
            Image.fromarray(mask).save(tmp_path / folder / f"{name}.png")
    right = boxseg.evaluate(data=root, labels=tmp_path / "right")
    assert (right.scores.labels["labels"].miou, len(right.notes())) == (1, 1)
    white = boxseg.evaluate(data=root, labels=tmp_path / "white")
    assert "they hold only 0 (background) and 255 (no label)" in white.notes()[0]
    truth = boxseg.evaluate(data={"root": root, "masks": tmp_path / "white"}, labels=tmp_path / "right")
    assert truth.notes()[0].startswith("The ground truth holds no object, only 0 (background) and 255")
