"""Checks of options, each an error that says what was given."""

from __future__ import annotations

import math

from boxseg.errors import ConfigError


def require(condition: bool, message: str) -> None:
    """Raise ConfigError(message) unless the condition holds."""
    if not condition:
        raise ConfigError(message)


def require_path(key: str, text: str) -> None:
    """Check that a path says something; an empty one would be the current folder."""
    if not text:
        raise ConfigError(
            f"{key}= is empty: name a path, {key}=. for the current folder (a shell variable that is not set?)"
        )


def require_schedule(section: str, batch: int, epochs: float, iterations: int | None) -> None:
    """Check what both trainings share."""
    require(batch >= 1, f"{section}.batch must be at least 1, got {batch}")
    require(epochs > 0, f"{section}.epochs must be positive, got {epochs}")
    require(iterations is None or iterations >= 1, f"{section}.iterations must be at least 1, got {iterations}")


def require_scale(scale: float) -> None:
    """Check the length of a schedule."""
    require(0 < scale < math.inf, f"scale must be positive (0.1 is a tenth of the schedule), got {scale}")
