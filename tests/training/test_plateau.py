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


def test_it_is_the_share_between_the_means_of_two_thirds() -> None:
    losses = [100.0 - step for step in range(60)]
    second, last = sum(losses[20:40]) / 20, sum(losses[40:]) / 20
    assert late_fall(losses) == pytest.approx(1 - last / second)
    assert late_fall([1.0, *losses[:1], *losses]) == pytest.approx(
        1 - last / second
    )  # whole thirds, from the end


@pytest.mark.parametrize(("constant", "short"), [(20.0, False), (40.0, False), (100.0, True), (300.0, True)])
def test_a_plateau_is_told_from_a_slope_in_spite_of_noise(constant: float, short: bool) -> None:
    fall = late_fall(decay(300, constant, noise=0.05))
    assert bool(plateau_notes("segment", fall)) == short


@pytest.mark.parametrize("steps", [9, 30, 300])
def test_a_steep_start_alone_says_nothing_and_hides_nothing(steps: int) -> None:
    plateau, slope = [1.0] * steps, [2 - step / steps for step in range(steps)]
    for start in ([], [50.0] * (steps // 9)):
        assert late_fall([*start, *plateau[len(start) :]]) == pytest.approx(0)
        assert plateau_notes("segment", late_fall([*start, *slope[len(start) :]]))


@pytest.mark.parametrize("losses", [[], [3.0], [3.0, 2, 1, 0, -1], [0.0] * 30, [2.0, math.nan, *[1.0] * 20]])
def test_nothing_is_said_of_losses_that_tell_nothing(losses: list[float]) -> None:
    assert late_fall(losses) is None
    assert plateau_notes("segment", None) == []


@given(st.lists(st.floats(0.1, 10), min_size=6, max_size=80), st.floats(0.1, 10))
def test_the_unit_of_the_loss_does_not_matter(losses: list[float], factor: float) -> None:
    assert late_fall([factor * loss for loss in losses]) == pytest.approx(late_fall(losses), abs=1e-9)


def test_results_say_it_in_their_notes(tmp_path: Path) -> None:
    write_history(tmp_path, [(step, 3 - step / 20, 0.1) for step in range(1, 31)])
    fall = late_fall_of(tmp_path)
    network = SegmentResult(checkpoint=tmp_path, scores=None, title="", late_fall=fall)
    classifier = ClassifyResult(checkpoint=tmp_path, images=3, late_fall=fall)
    for stage, result in (("segment", network), ("classify", classifier)):
        assert result.notes()[0].startswith(f"{stage}: the loss was still falling at the end, by 22% from")
        assert f"{stage}.iterations=" in result.notes()[0]


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [(1, 3.25, 0.001), (2, 2.5, 0.0005)]
    write_history(tmp_path, rows)
    assert read_history(tmp_path) == rows
    assert late_fall_of(tmp_path / "none") is None
