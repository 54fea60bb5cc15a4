"""`boxseg.masks` and `boxseg.Masker`: masks of boxes in memory."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import boxseg
from boxseg.errors import CheckpointError, DataError
from boxseg.labelling import masker
from boxseg.nn import checkpoint

SCENE = np.full((120, 160, 3), 90, np.uint8)
SCENE[30:90, 40:120] = (200, 60, 40)
BOX = [40.0, 30.0, 120.0, 90.0]


@pytest.fixture(scope="module")
def maker() -> boxseg.Masker:
    return boxseg.Masker()


def test_the_examples_of_the_documentation_run() -> None:
    names = {"np": np, "Masker": boxseg.Masker, "masks": boxseg.masks}
    finder = doctest.DocTestFinder(recurse=False)
    for thing in (masker.Masker, masker.masks):
        text = thing.__doc__
        assert text is not None
        assert len(text.strip().splitlines()) <= 20
        examples = finder.find(thing, thing.__name__, globs=dict(names))
        assert sum(len(example.examples) for example in examples) >= 3
        for example in examples:
            assert doctest.DocTestRunner().run(example).failed == 0


def test_the_mask_of_a_plain_object_is_the_object(maker: boxseg.Masker) -> None:
    found = maker(SCENE, [BOX])
    truth = (SCENE == (200, 60, 40)).all(2)
    mask = found.masks[0]
    assert (mask & truth).sum() / (mask | truth).sum() > 0.9
    assert found.sources == ("network",)
    assert 0 < found.scores[0] <= 1
    assert (found.labels_map[truth] == 1).mean() > 0.9
    assert not found.labels_map[:20].any()


@pytest.mark.parametrize("kind", ["path", "pil", "tensor"])
def test_photos_and_boxes_of_any_kind_give_the_same(maker: boxseg.Masker, kind: str, tmp_path: Path) -> None:
    Image.fromarray(SCENE).save(tmp_path / "scene.png")
    image: Any = {
        "path": tmp_path / "scene.png",
        "pil": Image.fromarray(SCENE),
        "tensor": torch.from_numpy(SCENE).permute(2, 0, 1),
    }[kind]
    boxes = {"path": [tuple(BOX)], "pil": np.array([BOX], dtype=np.int32), "tensor": torch.tensor([BOX])}[kind]
    np.testing.assert_array_equal(maker(image, boxes).masks, maker(SCENE, [BOX]).masks)


def test_every_box_has_a_mask_inside_itself(maker: boxseg.Masker) -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, (150, 110), (40, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 40, (40, 2))], 1)
    odd = np.array([[0, 0, 160, 120], [5, 5, 6, 6], [159, 119, 160, 120], [-20, -20, 30, 30]])
    found = maker(SCENE, np.concatenate([boxes, odd]))
    assert found.masks.shape == (44, 120, 160)
    assert found.masks.any((1, 2)).all()
    for mask, (left, top, right, bottom) in zip(found.masks, found.windows, strict=True):
        mask[top:bottom, left:right] = False
        assert not mask.any()
    assert all(len(rings) >= 1 for rings in found.polygons())


def test_no_box_gives_no_mask(maker: boxseg.Masker) -> None:
    found = maker(SCENE, [])
    assert found.masks.shape == (0, 120, 160)
    assert found.polygons() == []
    assert not found.labels_map.any()
    assert found.overlay().size == (160, 120)


def test_names_become_classes_in_their_order(maker: boxseg.Masker) -> None:
    found = maker(SCENE, [BOX, [0, 0, 30, 20], BOX], ["dog", "cat", "dog"])
    assert found.classes == ("dog", "cat")
    assert found.labels.tolist() == [1, 2, 1]
    assert set(np.unique(found.labels_map)) <= {0, 1, 2}


def test_polygons_paint_the_masks_again(maker: boxseg.Masker) -> None:
    from boxseg.formats.coco_results import decode_window
    from boxseg.formats.regions import encode_region

    found = maker(SCENE, [BOX])
    code = encode_region([ring.ravel().tolist() for ring in found.polygons(0.0)[0]], 160, 120)
    mask, left, top = decode_window(code)
    painted = np.zeros((120, 160), dtype=bool)
    painted[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    np.testing.assert_array_equal(painted, found.masks[0])


@pytest.mark.parametrize(
    ("boxes", "labels", "message"),
    [
        ([[10, 10, 10, 30]], None, r"boxes\[0\]: box is empty or inverted"),
        ([BOX, [170, 10, 180, 30]], None, r"boxes\[1\]: box is outside the photo"),
        ([[float("nan"), 0, 1, 1]], None, r"boxes\[0\]: box is not a number"),
        ([10, 20, 30, 40], None, r"boxes of shape \(4,\), expected \(n, 4\)"),
        ([["a", 0, 1, 1]], None, "rows of four numbers"),
        ([BOX], [1, 2], "2 labels for 1 box"),
        ([BOX], [0], "label 0: expected whole numbers from 1 on"),
        ([BOX], [900100062808], "label 900100062808: classes are numbered from 1 to 254 at most"),
        ([BOX, BOX], ["dog", 2], "label 'dog'"),
    ],
)
def test_what_cannot_be_used_is_named(maker: boxseg.Masker, boxes: Any, labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        maker(SCENE, boxes, labels)


def test_a_checkpoint_of_another_kind_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    checkpoint.save(file, {"weight": torch.zeros(1)}, {"kind": "segmenter"})
    with pytest.raises(CheckpointError, match="holds a segmentation network; a mask network is needed"):
        boxseg.Masker(file)
    with pytest.raises(CheckpointError, match=r"no mask network at .*none\.safetensors"):
        boxseg.Masker(tmp_path / "none.safetensors")


def test_the_number_of_threads_changes_no_mask(maker: boxseg.Masker) -> None:
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(maker(SCENE, [BOX, [0, 0, 50, 50], [60, 20, 150, 110]]).masks)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(*found)


def test_a_photo_of_one_pixel_and_a_large_one(maker: boxseg.Masker) -> None:
    assert maker(np.zeros((1, 1, 3), np.uint8), [[0, 0, 1, 1]]).masks.all()
    large = np.zeros((4000, 6000, 3), np.uint8)
    large[1000:3000, 2000:4000] = 255
    part = maker(large, [[2000, 1000, 4000, 3000]]).parts[0]
    assert part.shape == (2000, 2000)
    assert part.mean() > 0.8


def test_masks_go_to_supervision() -> None:
    supervision = pytest.importorskip("supervision")
    image = np.full((60, 80, 3), 90, np.uint8)
    image[10:40, 5:35] = (200, 60, 40)
    boxes = [[5, 10, 35, 40], [40, 20, 70, 50]]
    found = boxseg.masks(image, boxes, labels=["dog", "cat"])
    made = found.to_supervision()
    assert isinstance(made, supervision.Detections)
    assert np.array_equal(made.xyxy, found.boxes)
    assert np.array_equal(made.mask, found.masks)
    assert made.confidence.tolist() == pytest.approx(found.scores.tolist())
    assert [found.classes[place] for place in made.class_id] == ["dog", "cat"]
    assert made.data["class_name"].tolist() == ["dog", "cat"]
    assert len(boxseg.masks(image, []).to_supervision()) == 0
