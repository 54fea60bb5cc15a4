"""The dense CRF."""

from __future__ import annotations

import math
from dataclasses import dataclass

from boxseg.errors import require


@dataclass(frozen=True, kw_only=True)
class Crf:
    """Dense CRF (Krähenbühl and Koltun, 2011) on the raw photo.

    Args:
        bilateral_weight: Weight of the bilateral kernel (position and colour).
        sigma_xy: Standard deviation of its position, in pixels.
        sigma_rgb: Standard deviation of its colour, on a scale of 0..255.
        gaussian_weight: Weight of the Gaussian kernel (position only).
        gaussian_sigma: Standard deviation of its position, in pixels.
        iterations: Mean-field iterations; 0 turns the CRF off.
        enabled: Whether to run the CRF; `crf=false` turns it off.
    """

    bilateral_weight: float = 4.0
    sigma_xy: float = 55.0
    sigma_rgb: float = 3.0
    gaussian_weight: float = 3.0
    gaussian_sigma: float = 3.0
    iterations: int = 10
    enabled: bool = True

    def __post_init__(self) -> None:
        for name in ("sigma_xy", "sigma_rgb", "gaussian_sigma"):
            value = getattr(self, name)
            require(0 < value < math.inf, f"crf.{name} must be positive, got {value}")
        for name in ("bilateral_weight", "gaussian_weight"):
            value = getattr(self, name)
            require(math.isfinite(value), f"crf.{name} must be a number, got {value}")
        require(self.iterations >= 0, f"crf.iterations must be 0 (no CRF) or more, got {self.iterations}")

    @property
    def active(self) -> bool:
        """Whether it changes anything."""
        return self.enabled and self.iterations > 0
