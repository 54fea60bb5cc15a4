from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from boxseg.errors import DataError
from boxseg.scoring.confusion import ConfusionMatrix, Scores

CLASSES = ("cat", "dog", "cow")
Labels = NDArray[np.uint8]

label_map = arrays(np.uint8, (5, 6), elements=st.sampled_from([0, 1, 2, 3, 255]))
region = arrays(np.bool_, (5, 6))


def by_sets(images: list[tuple[Labels, Labels, NDArray[np.bool_]]]) -> Scores:
    """Each class on its own, as sets of pixels of all images."""
    names = ("background", *CLASSES)
    predicted: dict[int, set[tuple[int, int, int]]] = {c: set() for c in range(4)}
    true: dict[int, set[tuple[int, int, int]]] = {c: set() for c in range(4)}
    scored = 0
    for n, (prediction, truth, where) in enumerate(images):
        for y in range(truth.shape[0]):
            for x in range(truth.shape[1]):
                if truth[y, x] == 255 or not where[y, x]:
                    continue
                scored += 1
                true[int(truth[y, x])].add((n, y, x))
                if prediction[y, x] != 255:
                    predicted[int(prediction[y, x])].add((n, y, x))
    iou = {
        name: len(true[c] & predicted[c]) / len(true[c] | predicted[c]) if true[c] | predicted[c] else None
        for c, name in enumerate(names)
    }
    present = [value for value in iou.values() if value is not None]
    accuracies = [len(true[c] & predicted[c]) / len(true[c]) for c in range(4) if true[c]]
    right = sum(len(true[c] & predicted[c]) for c in range(4))
    return Scores(
        miou=sum(present) / len(present) if present else math.nan,
        mean_accuracy=sum(accuracies) / len(accuracies) if accuracies else math.nan,
        pixel_accuracy=right / scored if scored else math.nan,
        iou=iou,
    )


@settings(max_examples=150)
@given(st.lists(st.tuples(label_map, label_map, region), max_size=3))
def test_scores_are_those_of_sets_of_pixels(images: list[tuple[Labels, Labels, NDArray[np.bool_]]]) -> None:
    matrix = ConfusionMatrix(CLASSES)
    for prediction, truth, where in images:
        matrix.update(prediction, truth, where)
    expected, actual = by_sets(images), matrix.scores()
    assert actual.iou == pytest.approx(expected.iou, abs=1e-12)
    for name in ("miou", "mean_accuracy", "pixel_accuracy"):
        assert getattr(actual, name) == pytest.approx(getattr(expected, name), abs=1e-12, nan_ok=True)


@settings(max_examples=30)
@given(label_map, label_map, label_map, label_map)
def test_matrices_add_up(a: Labels, b: Labels, c: Labels, d: Labels) -> None:
    one, two, both = (ConfusionMatrix(CLASSES) for _ in range(3))
    one.update(a, b)
    two.update(c, d)
    both.update(a, b)
    both.update(c, d)
    before = one.counts.copy()
    assert np.array_equal((one + two).counts, both.counts)
    assert np.array_equal(one.counts, before)


def test_a_small_example_by_hand() -> None:
    matrix = ConfusionMatrix(CLASSES)
    truth = np.array([[0, 0, 1, 1], [255, 1, 1, 2]], dtype=np.uint8)
    prediction = np.array([[0, 1, 1, 255], [3, 1, 0, 2]], dtype=np.uint8)
    matrix.update(prediction, truth)
    scores = matrix.scores()
    # The cow is predicted where nothing is scored only: it does not exist.
    assert scores.iou == {"background": 1 / 3, "cat": 2 / 5, "dog": 1.0, "cow": None}
    assert scores.miou == pytest.approx((1 / 3 + 2 / 5 + 1) / 3)
    assert scores.mean_accuracy == pytest.approx((1 / 2 + 2 / 4 + 1) / 3)
    assert scores.pixel_accuracy == pytest.approx(4 / 7)


def test_a_class_that_is_only_predicted_counts_as_zero() -> None:
    matrix = ConfusionMatrix(CLASSES)
    matrix.update(np.array([[0, 3]], dtype=np.uint8), np.array([[0, 0]], dtype=np.uint8))
    scores = matrix.scores()
    assert scores.iou["cow"] == 0
    assert scores.miou == pytest.approx(0.25)
    assert scores.mean_accuracy == pytest.approx(0.5)


def test_nothing_scored_is_null_in_json() -> None:
    matrix = ConfusionMatrix(CLASSES)
    truth = np.full((2, 2), 255, dtype=np.uint8)
    matrix.update(truth, truth)
    assert math.isnan(matrix.scores().miou)
    text = json.dumps(matrix.scores().as_dict(), allow_nan=False)
    assert json.loads(text)["miou"] is None
    assert json.loads(text)["iou"] == {"background": None, "cat": None, "dog": None, "cow": None}


def test_full_scores_are_json() -> None:
    matrix = ConfusionMatrix(CLASSES)
    labels = np.array([[0, 1], [2, 3]], dtype=np.uint8)
    matrix.update(labels, labels)
    everything = json.loads(json.dumps(matrix.scores().as_dict(), allow_nan=False))
    assert everything["miou"] == everything["mean_accuracy"] == everything["pixel_accuracy"] == 1
    assert set(everything["iou"].values()) == {1}


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        (np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), "one size"),
        (np.full((2, 2), 4, np.uint8), np.zeros((2, 2), np.uint8), "prediction holds the value 4"),
        (np.zeros((2, 2), np.uint8), np.full((2, 2), 254, np.uint8), "ground truth holds the value 254"),
        (np.full((2, 2), -1, np.int64), np.zeros((2, 2), np.int64), "prediction holds the value -1"),
    ],
)
def test_what_cannot_be_scored_is_refused(prediction: Labels, truth: Labels, message: str) -> None:
    matrix = ConfusionMatrix(CLASSES)
    with pytest.raises(DataError, match=message):
        matrix.update(prediction, truth)
    assert matrix.counts.sum() == 0


def test_a_mask_of_another_size_is_refused() -> None:
    labels = np.zeros((2, 2), np.uint8)
    with pytest.raises(DataError, match="one size"):
        ConfusionMatrix(CLASSES).update(labels, labels, np.ones((2, 3), np.bool_))


def test_other_classes_are_refused() -> None:
    with pytest.raises(DataError, match="unique"):
        ConfusionMatrix(("cat", "cat"))
    with pytest.raises(DataError, match="cannot be added"):
        ConfusionMatrix(("cat",)) + ConfusionMatrix(("dog",))
