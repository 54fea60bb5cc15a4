"""A training that ended while it still learned is told from one on its plateau."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxseg.runs.history import read_history, write_history
from boxseg.stages.classify import ClassifyResult
from boxseg.stages.segment import SegmentResult
from boxseg.training.plateau import late_fall, late_fall_of, plateau_notes


def decay(steps: int, constant: float, noise: float = 0.0) -> list[float]:
    """A loss that falls from 3 to 1 with this time constant, in iterations."""
    rng = np.random.default_rng(0)
    return [1 + 2 * math.exp(-step / constant) + noise * rng.standard_normal() for step in range(steps)]


def test_a_straight_slope_falls_a_third_in_its_last_third() -> None:
    # The averages stand in the middle of their windows: 90 % of the way lies between the first and the last.
    assert late_fall([100.0 - step for step in range(60)]) == pytest.approx((1 / 3) / 0.9)


def test_losses_of_known_decay() -> None:
    def at(place: float) -> float:
        return math.exp(-place / 100)

    before, end = at(200 - 15.5), at(300 - 15.5)
    assert late_fall(decay(300, 100)) == pytest.approx((before - end) / (at(14.5) - end), rel=0.02)


@pytest.mark.parametrize(("constant", "short"), [(20.0, False), (60.0, False), (300.0, True), (2000.0, True)])
def test_a_plateau_is_told_from_a_slope_in_spite_of_noise(constant: float, short: bool) -> None:
    fall = late_fall(decay(300, constant, noise=0.05))
    assert bool(plateau_notes("segment", fall)) == short


@pytest.mark.parametrize(
    "losses", [[], [3.0], [3.0, 2, 1, 0, -1], [1.0] * 30, [1.0, *[2.0] * 29], [2.0, math.nan, *[1.0] * 20]]
)
def test_nothing_is_said_of_losses_that_tell_nothing(losses: list[float]) -> None:
    assert late_fall(losses) is None
    assert plateau_notes("segment", None) == []


@given(st.lists(st.floats(0, 10), min_size=6, max_size=80), st.floats(0.1, 10), st.floats(-5, 5))
def test_the_unit_of_the_loss_does_not_matter(losses: list[float], factor: float, offset: float) -> None:
    plain, other = late_fall(losses), late_fall([factor * loss + offset for loss in losses])
    if plain is not None and other is not None and np.ptp(losses) > 1e-3:
        width = max(1, round(len(losses) / 10))
        if np.mean(losses[:width]) - np.mean(losses[-width:]) > 1e-3:
            assert other == pytest.approx(plain, rel=1e-6, abs=1e-6)


def test_results_say_it_in_their_notes(tmp_path: Path) -> None:
    write_history(tmp_path, [(step, 3 - step / 20, 0.1) for step in range(1, 31)])
    fall = late_fall_of(tmp_path)
    network = SegmentResult(checkpoint=tmp_path, scores=None, title="", late_fall=fall)
    classifier = ClassifyResult(checkpoint=tmp_path, images=3, late_fall=fall)
    for stage, result in (("segment", network), ("classify", classifier)):
        assert result.notes()[0].startswith(f"{stage}: the loss was still falling at the end (37% of its fall")
        assert f"{stage}.iterations=" in result.notes()[0]


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [(1, 3.25, 0.001), (2, 2.5, 0.0005)]
    write_history(tmp_path, rows)
    assert read_history(tmp_path) == rows
    assert late_fall_of(tmp_path / "none") is None
