"""Whether a training ended while its loss was still falling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from boxseg.runs.history import read_history

# Share of the whole fall of the loss, in the last third of a training, from which more iterations are advised.
STEEP = 0.1
# Fewer losses than this are too noisy to tell.
_FEWEST = 6


def late_fall(losses: Sequence[float]) -> float | None:
    """How much of what the loss fell in a training it fell in the last third: 0 on a plateau, 1/3 on a slope.

    The loss is averaged over the first tenth of the iterations, the tenth before two thirds, and the last.

    Args:
        losses: Loss of each iteration.

    Returns:
        None where the losses are too few, are no numbers, or did not fall.
    """
    count = len(losses)
    if count < _FEWEST or not np.isfinite(losses).all():
        return None
    width, late = max(1, round(count / 10)), round(2 * count / 3)
    start, before, end = (float(np.mean(losses[a : a + width])) for a in (0, late - width, count - width))
    return (before - end) / (start - end) if start > end else None


def late_fall_of(folder: Path) -> float | None:
    """The same of the training in a run folder."""
    return late_fall([loss for _, loss, _ in read_history(folder)])


def plateau_notes(stage: str, fall: float | None) -> list[str]:
    """A warning if the training of a stage ended far from its plateau."""
    if fall is None or fall < STEEP:
        return []
    return [
        f"{stage}: the loss was still falling at the end ({fall:.0%} of its fall came in the last third of the "
        f"training): more iterations are likely to help, as by {stage}.iterations=…"
    ]
