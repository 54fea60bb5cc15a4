"""Counting pixels on a device gives what counting them in NumPy gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from boxseg.scoring.confusion import ConfusionMatrix
from boxseg.scoring.device_counts import count_pixels


@pytest.mark.parametrize("classes", [1, 2, 20, 254])
def test_counts_of_a_confusion_matrix(classes: int) -> None:
    numbers = np.random.default_rng(classes)
    matrix = ConfusionMatrix([f"class {number}" for number in range(classes)])
    total = torch.zeros(classes + 1, classes + 2, dtype=torch.int64)
    for height, width in ((37, 53), (1, 1), (64, 8)):
        prediction = numbers.integers(0, classes + 1, (height, width)).astype(np.uint8)
        truth = numbers.integers(0, classes + 1, (height, width)).astype(np.uint8)
        truth[numbers.random((height, width)) < 0.2] = 255
        matrix.update(prediction, truth)
        total += count_pixels(torch.from_numpy(prediction), torch.from_numpy(truth), classes + 1)
    assert total.tolist() == matrix.counts.tolist()


def test_one_pixel_of_each_pair_by_hand() -> None:
    prediction, truth = torch.tensor([[0, 1, 1, 0]]).byte(), torch.tensor([[0, 0, 1, 255]]).byte()
    assert count_pixels(prediction, truth, 2).tolist() == [[1, 1, 0], [0, 1, 0]]


def test_nothing_to_score() -> None:
    truth = torch.full((3, 4), 255, dtype=torch.uint8)
    assert not count_pixels(torch.zeros(3, 4, dtype=torch.uint8), truth, 3).any()
