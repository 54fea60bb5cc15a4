"""The dense CRF."""

from __future__ import annotations

from dataclasses import dataclass

from boxseg.errors import require

# What boxseg.crf takes (inputs.py, kernels.py), which is not imported: options are read without torch.
_SIGMAS, _MOST_WEIGHT = (1e-30, 1e30), 1e15


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
            low, high = _SIGMAS
            require(low <= value <= high, f"crf.{name} must be positive, {low:g} to {high:g}, got {value}")
        for name in ("bilateral_weight", "gaussian_weight"):
            value = getattr(self, name)
            most = _MOST_WEIGHT
            require(abs(value) <= most, f"crf.{name} must be a number from {-most:g} to {most:g}, got {value}")
        require(self.iterations >= 0, f"crf.iterations must be 0 (no CRF) or more, got {self.iterations}")

    @property
    def active(self) -> bool:
        """Whether it changes anything."""
        return self.enabled and self.iterations > 0
