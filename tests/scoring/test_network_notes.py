"""What is said of a network that knows one class only, or misses some."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from boxseg.scoring.confusion import ConfusionMatrix, Scores
from boxseg.scoring.network_scores import NetworkScores, network_notes
from boxseg.stages.predict import PredictResult


def scored(*labels: int) -> Scores:
    """Scores of labels against a truth of background, cat and dog."""
    matrix = ConfusionMatrix(("cat", "dog"))
    matrix.update(np.array([labels], np.uint8), np.array([[0, 1, 2]], np.uint8))
    return matrix.scores()


@pytest.mark.parametrize(
    ("labels", "said"),
    [((0, 0, 0), "nothing but background"), ((1, 1, 1), "nothing but cat"), ((2, 0, 1), "none")],
)
def test_a_network_that_finds_one_class_is_named(labels: tuple[int, ...], said: str) -> None:
    scores = NetworkScores(images=7, skipped={}, before_crf=scored(0, 1, 2), after_crf=scored(*labels))
    [note] = network_notes(scores)
    assert note.startswith(f"Of 3 classes the network finds {said} on 7 photos: ")
    assert "segment.iterations=" in note


def test_classes_that_a_network_misses_are_named() -> None:
    scores = NetworkScores(images=7, skipped={}, before_crf=scored(0, 1, 2), after_crf=scored(0, 1, 1))
    [note] = network_notes(scores)
    assert note.startswith("1 of 3 classes have an IoU below 1% (dog): ")
    assert "segment.repeat_threshold=" in note


def test_a_network_that_finds_all_classes_is_left_alone() -> None:
    assert network_notes(NetworkScores(images=7, skipped={}, before_crf=scored(0, 1, 2), after_crf=None)) == []


def test_a_class_that_no_photo_shows_is_not_missed() -> None:
    matrix = ConfusionMatrix(("cat", "dog"))
    matrix.update(np.array([[0, 1, 1]], np.uint8), np.array([[0, 1, 1]], np.uint8))
    assert network_notes(NetworkScores(images=7, skipped={}, before_crf=matrix.scores(), after_crf=None)) == []


@pytest.mark.parametrize(
    ("shares", "images", "said"),
    [
        ((1.0, 0.0, 0.0), 3, True),
        ((0.0, 1.0, 0.0), 9, True),
        ((1.0, 0.0, 0.0), 2, False),
        ((0.9, 0.1, 0), 9, False),
    ],
)
def test_predictions_of_one_class_are_named(shares: tuple[float, ...], images: int, said: bool) -> None:
    """Two photos may well show nothing."""
    result = PredictResult(folder=Path("p"), images=images, skipped={}, classes=("cat", "dog"), shares=shares)
    assert any("the network finds nothing but" in note for note in result.notes()) == said
