"""Predictions beside slow references, pixel by pixel."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faster_coco_eval.core import mask as coco_mask
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from boxseg.errors import BoxsegError, ConfigError, MissingExtraError
from boxseg.inference.prediction import BasePredictor, Prediction
from boxseg.palette import picture_palette, voc_palette

CLASSES = ("cat", "dog", "Kuh")


def random_prediction(height: int, width: int, seed: int = 0) -> Prediction:
    rng = np.random.default_rng(seed)
    scores = rng.random((len(CLASSES) + 1, height, width)) ** 4
    return Prediction(
        image=rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        probabilities=(scores / scores.sum(0)).astype(np.float32),
        classes=CLASSES,
    )


sizes = st.integers(1, 7)


@given(height=sizes, width=sizes, seed=st.integers(0, 999))
@settings(max_examples=40)
def test_labels_confidence_and_shares_are_those_of_a_loop_over_pixels(
    height: int, width: int, seed: int
) -> None:
    prediction = random_prediction(height, width, seed)
    counts = dict.fromkeys(("background", *CLASSES), 0)
    for y in range(height):
        for x in range(width):
            pixel = [float(p) for p in prediction.probabilities[:, y, x]]
            best = pixel.index(max(pixel))
            assert prediction.labels[y, x] == best
            assert prediction.confidence[y, x] == np.float32(max(pixel))
            counts[("background", *CLASSES)[best]] += 1
    assert prediction.labels.dtype == np.uint8
    expected = {name: count / (height * width) for name, count in counts.items() if count}
    assert prediction.shares == pytest.approx(expected)
    assert list(prediction.shares.values()) == sorted(expected.values(), reverse=True)


@given(height=sizes, width=sizes, seed=st.integers(0, 999))
@settings(max_examples=40)
def test_coco_results_are_masks_boxes_and_mean_probabilities_of_each_class(
    height: int, width: int, seed: int
) -> None:
    prediction = random_prediction(height, width, seed)
    results = prediction.to_coco(image_id=7, category_ids=[18, 3, 90])
    there = {int(label) for label in prediction.labels.ravel() if label > 0}
    assert [result["category_id"] for result in results] == [{1: 18, 2: 3, 3: 90}[c] for c in sorted(there)]
    for label, result in zip(sorted(there), results, strict=True):
        pixels = [(y, x) for y in range(height) for x in range(width) if prediction.labels[y, x] == label]
        ys, xs = [y for y, _ in pixels], [x for _, x in pixels]
        assert result["image_id"] == 7
        assert result["area"] == len(pixels)
        assert result["bbox"] == [min(xs), min(ys), max(xs) - min(xs) + 1, max(ys) - min(ys) + 1]
        mean = sum(float(prediction.probabilities[label, y, x]) for y, x in pixels) / len(pixels)
        assert result["score"] == pytest.approx(mean)
        decoded = coco_mask.decode(result["segmentation"])
        assert {(y, x) for y, x in zip(*np.nonzero(decoded), strict=True)} == set(pixels)
        assert coco_mask.toBbox(result["segmentation"]).tolist() == result["bbox"]


def test_coco_results_number_classes_from_1_and_need_an_id_for_each() -> None:
    prediction = random_prediction(9, 9)
    assert [result["category_id"] for result in prediction.to_coco()] == [1, 2, 3]
    with pytest.raises(ValueError, match="2 category ids for 3 classes"):
        prediction.to_coco(category_ids=[1, 2])


def test_the_overlay_paints_classes_and_leaves_the_background() -> None:
    prediction = random_prediction(5, 6)
    picture = np.asarray(prediction.overlay(opacity=0.25))
    for y, x in np.ndindex(5, 6):
        label, colour = prediction.labels[y, x], prediction.image[y, x]
        mixed = colour if label == 0 else 0.75 * colour + 0.25 * picture_palette()[label]
        assert np.abs(picture[y, x] - mixed).max() <= 0.5
    assert prediction.overlay().mode == "RGB"


def test_files_are_what_they_are_said_to_be(tmp_path: Path) -> None:
    prediction = random_prediction(11, 13)
    prediction.save(tmp_path / "new" / "labels.png")
    with Image.open(tmp_path / "new" / "labels.png") as mask:
        assert mask.mode == "P"
        assert np.array_equal(np.asarray(mask), prediction.labels)
        assert mask.getpalette()[:12] == voc_palette(4).ravel().tolist()
    prediction.save_confidence(tmp_path / "confidence.png")
    with Image.open(tmp_path / "confidence.png") as grey:
        assert grey.mode == "L"
        assert np.abs(np.asarray(grey) / 255 - prediction.confidence).max() <= 0.5 / 255 + 1e-6
    with pytest.raises(ConfigError, match=r"saved as \.png, got mask\.jpg"):
        prediction.save("mask.jpg")


def test_notebooks_show_the_overlay_made_small_and_text_says_what_is_there() -> None:
    prediction = random_prediction(4, 1500)
    with Image.open(io.BytesIO(prediction._repr_png_())) as picture:
        assert (picture.format, max(picture.size)) == ("PNG", 1024)
    small = random_prediction(30, 20)
    with Image.open(io.BytesIO(small._repr_png_())) as picture:
        assert np.array_equal(np.asarray(picture), np.asarray(small.overlay()))
    assert repr(small).startswith("Prediction(20x30 pixels: ")
    assert all(name in repr(small) for name in CLASSES)


class Brightness(BasePredictor):
    """Says `cat` with the mean brightness of a photo; notes how many photos it was given at once."""

    def __init__(self, **options: Any) -> None:
        super().__init__(["cat"], **options)
        self.groups: list[int] = []

    def _probabilities(self, photos: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        self.groups.append(len(photos))
        return [np.stack([1 - p.mean(2) / 255, p.mean(2) / 255]).astype(np.float32) for p in photos]


def test_many_photos_come_in_order_and_are_read_as_they_are_needed() -> None:
    read: list[int] = []

    def photos() -> Any:
        for number in range(7):
            read.append(number)
            yield np.full((2 + number, 3), 10 * number, dtype=np.uint8)

    model = Brightness()
    results = model.predict_many(photos(), batch=3)
    first = next(results)
    assert (first.image.shape, first.classes, read) == ((2, 3, 3), ("cat",), [0, 1, 2])
    assert [result.image[0, 0, 0] for result in results] == [10, 20, 30, 40, 50, 60]
    assert model.groups == [3, 3, 1]
    assert list(model.predict_many([])) == []


def test_photos_longer_than_a_tile_are_seen_in_windows_and_come_in_order() -> None:
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((20, 30), (150, 333), (1, 200))]
    model = Brightness(tile=64)
    for photo, found in zip(photos, model.predict_many(photos), strict=True):
        assert np.array_equal(found.image, photo)
        np.testing.assert_allclose(found.probabilities[1], photo.mean(2) / 255, atol=1e-5)
    assert set(model.groups) == {1}
    assert len(model.groups) == 1 + 3 * 9 + 5
    for options in ({"most": 20 * 30}, {"tile": 0, "most": 1}):
        model = Brightness(**options)
        assert [p.labels.shape for p in model.predict_many(photos)] == [p.shape[:2] for p in photos]
    assert model.groups == [3]
    for tile in (63, -1, "all", 64.0):
        with pytest.raises(ConfigError, match="expected at least 64 pixels, 0 for no windows, or 'auto'"):
            Brightness(tile=tile)


@pytest.mark.parametrize("images", ["photo.jpg", Path("photo.jpg"), Image.new("RGB", (2, 2))])
def test_one_photo_in_place_of_many_is_an_error(images: Any) -> None:
    with pytest.raises(BoxsegError, match="takes a list of photos"):
        list(Brightness().predict_many(images))


def test_the_mask_of_a_class_is_found_by_its_name() -> None:
    prediction = random_prediction(5, 6)
    for value, name in enumerate(("background", *CLASSES)):
        assert np.array_equal(prediction[name], prediction.labels == value)
        assert prediction[name].dtype == bool
    with pytest.raises(KeyError, match="no class 'kat', did you mean 'cat'"):
        prediction["kat"]


def test_polygons_fill_the_masks_again() -> None:
    """A pixel is inside where a ray from its centre crosses an odd number of sides."""
    labels = np.zeros((12, 14), dtype=np.uint8)
    labels[1:9, 2:9] = 1
    labels[3:5, 4:6] = 2  # a hole of the cat
    labels[10:12, 10:14] = 1
    probabilities = np.stack([labels == value for value in range(4)]).astype(np.float32)
    prediction = Prediction(image=np.zeros((12, 14, 3), np.uint8), probabilities=probabilities, classes=CLASSES)
    outlines = prediction.polygons(simplify=0)
    assert list(outlines) == ["cat", "dog"]
    assert [len(rings) for rings in outlines.values()] == [2, 1]
    for name, rings in outlines.items():
        sides = [side for ring in rings for side in zip(ring, np.roll(ring, -1, axis=0), strict=True)]
        for y, x in np.ndindex(12, 14):
            crossed = [
                a[0] > x + 0.5 for a, b in sides if a[0] == b[0] and (a[1] > y + 0.5) != (b[1] > y + 0.5)
            ]
            assert sum(crossed) % 2 == prediction[name][y, x]


@given(height=sizes, width=sizes, seed=st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_detections_of_supervision_are_the_coco_results(height: int, width: int, seed: int) -> None:
    supervision = pytest.importorskip("supervision")
    prediction = random_prediction(height, width, seed)
    made, expected = prediction.to_supervision(), prediction.to_coco()
    assert isinstance(made, supervision.Detections)
    assert len(made) == len(expected)
    assert made.mask.shape == (len(expected), height, width)
    for place, result in enumerate(expected):
        x, y, across, down = result["bbox"]
        assert made.xyxy[place].tolist() == [x, y, x + across, y + down]
        assert np.array_equal(made.mask[place], coco_mask.decode(result["segmentation"]))
        assert made.confidence[place] == pytest.approx(result["score"], rel=1e-5)
        assert made.class_id[place] == result["category_id"] - 1
        assert made.data["class_name"][place] == CLASSES[result["category_id"] - 1]
    assert made.area.tolist() == [result["area"] for result in expected]


def test_supervision_draws_a_prediction_and_takes_an_empty_one() -> None:
    supervision = pytest.importorskip("supervision")
    prediction = random_prediction(20, 30)
    drawn = supervision.MaskAnnotator().annotate(prediction.image.copy(), prediction.to_supervision())
    assert (drawn != prediction.image).any()
    empty = Prediction(
        image=np.zeros((4, 5, 3), np.uint8),
        probabilities=np.stack([np.ones((4, 5)), np.zeros((4, 5))]).astype(np.float32),
        classes=("cat",),
    )
    assert len(empty.to_supervision()) == 0
    assert empty.polygons() == {}


def test_without_supervision_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'boxseg\[supervision\]'"):
        random_prediction(4, 5).to_supervision()
