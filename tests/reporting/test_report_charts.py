"""Charts of the report, against slow counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxseg.reporting.html.charts import HEIGHT, WIDTH, confusion, round_ticks, training_curve


def points(text: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split())]


def test_the_curve_is_the_loss_and_its_running_mean() -> None:
    rng = np.random.default_rng(0)
    history = [(step, 3 / step + rng.random() / 4, 0.1 / step) for step in range(1, 101)]
    curve = training_curve("Stage 1", history)
    assert curve is not None
    loss = [row[1] for row in history]
    mean = [sum(loss[max(0, i - 3) : i + 1]) / len(loss[max(0, i - 3) : i + 1]) for i in range(100)]  # of 4
    top = max(float(np.quantile(loss, 0.99)), max(mean)) * 1.05
    expected = [(i / 99 * WIDTH, HEIGHT * (1 - value / top)) for i, value in enumerate(mean)]
    np.testing.assert_allclose(points(curve.smooth), expected, atol=0.06)
    assert min(y for _, y in points(curve.raw)) >= 0
    assert "100 iterations" in curve.summary


def test_a_curve_with_thousands_of_steps_stays_small() -> None:
    curve = training_curve("long", [(step, 1.0, 0.1) for step in range(1, 30_001)])
    assert curve is not None
    assert len(curve.raw) < 8000
    assert points(curve.raw)[-1][0] == WIDTH


@pytest.mark.parametrize("history", [[], [(1, math.nan, 0.1)]])
def test_no_loss_no_curve(history: list[tuple[int, float, float]]) -> None:
    assert training_curve("none", history) is None


@pytest.mark.parametrize("history", [[(1, 0.0, 0.0)], [(1, 2.0, 0.1), (2, math.inf, 0.1), (3, 1.0, 0.1)]])
def test_odd_losses_are_drawn_as_numbers(history: list[tuple[int, float, float]]) -> None:
    curve = training_curve("odd", history)
    assert curve is not None
    assert "nan" not in curve.raw + curve.smooth + curve.rate + curve.summary


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_round_and_inside(low: float, span: float) -> None:
    high = low + span
    ticks = round_ticks(low, high)
    assert len(ticks) <= 7
    assert all(low - 1e-6 * span <= tick <= high + 1e-6 * span for tick in ticks)


def test_a_confusion_matrix_has_the_shares_of_each_row() -> None:
    classes = ("background", "cat", "unseen", "dog")
    counts = np.array([[90, 9, 0, 0, 1], [5, 5, 0, 0, 0], [0, 0, 0, 0, 0], [0, 30, 0, 10, 0]])
    matrix = confusion("y_crf", "Y_crf", classes, counts)
    assert matrix is not None
    assert matrix.rows == ("background", "cat", "dog")
    assert matrix.columns == ("background", "cat", "dog", "no label (255)")
    found = {(matrix.rows[c.row], matrix.columns[c.column]): (c.share, c.hit) for c in matrix.cells}
    assert found == {
        ("background", "background"): (0.9, True),
        ("background", "cat"): (pytest.approx(0.09), False),
        ("background", "no label (255)"): (pytest.approx(0.01), False),
        ("cat", "background"): (0.5, False),
        ("cat", "cat"): (0.5, True),
        ("dog", "cat"): (0.75, False),
        ("dog", "dog"): (0.25, True),
    }
    assert [cell.text for cell in matrix.worst][:2] == [
        "dog labelled cat: 75.0 %",
        "cat labelled background: 50.0 %",
    ]
    assert confusion("none", "none", classes, np.zeros((4, 5), dtype=np.int64)) is None
