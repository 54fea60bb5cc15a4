"""Whether a training ended while its loss was still falling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from boxseg.runs.history import read_history

# Share by which the loss falls from the second third of a training to the last, from which more iterations are
# advised. Short trainings on 40 and 320 photos of VOC, whose networks were poor, had 0.11 to 0.22.
STEEP = 0.1
# Fewer losses than this are too noisy to tell.
_FEWEST = 6


def late_fall(losses: Sequence[float]) -> float | None:
    """Share by which the loss fell from the second third of a training to the last, by its means over both.

    Near 0 on a plateau. The first steps do not count: from random weights the loss falls steeply in them,
    however short the training.

    Args:
        losses: Loss of each iteration.

    Returns:
        None where the losses are too few, or are no positive numbers.
    """
    third = len(losses) // 3
    if len(losses) < _FEWEST or not np.isfinite(losses).all():
        return None
    before, end = float(np.mean(losses[-2 * third : -third])), float(np.mean(losses[-third:]))
    return (before - end) / before if before > 0 else None


def late_fall_of(folder: Path) -> float | None:
    """The same of the training in a run folder."""
    return late_fall([loss for _, loss, _ in read_history(folder)])


def plateau_notes(stage: str, fall: float | None) -> list[str]:
    """A warning if the training of a stage ended far from its plateau."""
    if fall is None or fall < STEEP:
        return []
    return [
        f"{stage}: the loss was still falling at the end, by {fall:.0%} from the second third of the training "
        f"to the last: more iterations are likely to help, as by {stage}.iterations=…"
    ]
