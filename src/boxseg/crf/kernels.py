"""Pairwise kernels and the features that they compare.

A kernel is a Gaussian of the difference between two pixels' features, exp(-|f_i - f_j|² / 2), times a weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from boxseg.crf.embedding import largest_key, smallest_sigma
from boxseg.crf.inputs import MOST_WEIGHT, Array, as_tensor

# The sigmas of a kernel, some of them set to a value.
Raised = Callable[[float], tuple[float, ...]]

# A σ and what is divided by it are numbers in float32 from here to its reciprocal.
LEAST_SIGMA = 1e-30


@dataclass(frozen=True, kw_only=True)
class Gaussian:
    """Pixels near each other agree: smooths, removes specks.

    Args:
        sigma: Reach, pixels; a pair for x and y.
        weight: Strength; 0 switches the kernel off.
        origin: Where the first pixel lies, x and y: the lattice of a window is then that of the whole photo.
    """

    sigma: float | tuple[float, float] = 3.0
    weight: float = 3.0
    origin: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        _check_sigmas("sigma", self.sigma, 2)
        _check_weight(self.weight)

    @property
    def sigmas(self) -> tuple[float, ...]:
        """(σ_x, σ_y)."""
        return _spread(self.sigma, 2)

    def check(self, height: int, width: int) -> None:
        """Raise a ValueError that gives the smallest usable σ, if σ overflows 16-bit coordinates."""
        x, y = self.origin
        _check_reach(self, {"sigma": lambda s: (s, s)}, y + height, x + width)

    def features(self, image: Tensor) -> Tensor:
        """Features (H·W, 2), float32, of an image (H, W, 3)."""
        return _positions(image, self.sigmas, self.origin)


@dataclass(frozen=True, kw_only=True)
class Bilateral:
    """Pixels near each other and alike in colour agree: follows edges.

    Args:
        sigma_xy: Reach, pixels; a pair for x and y.
        sigma_rgb: Colour tolerance, on the scale 0..255; a triple for red, green and blue.
        weight: Strength; 0 switches the kernel off.
        origin: Where the first pixel lies, x and y, as for `Gaussian`.
    """

    sigma_xy: float | tuple[float, float] = 55.0
    sigma_rgb: float | tuple[float, float, float] = 3.0
    weight: float = 4.0
    origin: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        _check_sigmas("sigma_xy", self.sigma_xy, 2)
        _check_sigmas("sigma_rgb", self.sigma_rgb, 3)
        _check_weight(self.weight)

    @property
    def sigmas(self) -> tuple[float, ...]:
        """(σ_x, σ_y, σ_r, σ_g, σ_b)."""
        return (*_spread(self.sigma_xy, 2), *_spread(self.sigma_rgb, 3))

    def check(self, height: int, width: int) -> None:
        """Raise a ValueError that gives the smallest usable σ, if a σ overflows 16-bit coordinates."""
        xy, rgb = self.sigmas[:2], self.sigmas[2:]
        remedies: dict[str, Raised] = {
            "sigma_rgb": lambda s: (*xy, s, s, s),
            "sigma_xy": lambda s: (s, s, *rgb),
            "sigma_xy and sigma_rgb": lambda s: (s,) * 5,
        }
        x, y = self.origin
        _check_reach(self, remedies, y + height, x + width)

    def features(self, image: Tensor) -> Tensor:
        """Features (H·W, 5), float32, of an image (H, W, 3) uint8."""
        # A tensor, not a number: some devices turn a division by a number into a product with its reciprocal.
        tolerance = torch.tensor(self.sigmas[2:], dtype=torch.float32, device=image.device)
        colours = image.reshape(-1, 3).to(torch.float32) / tolerance
        return torch.cat([_positions(image, self.sigmas[:2], self.origin), colours], dim=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """Pixels with similar features of any kind agree.

    Args:
        values: (D, H, W), D from 1 to 16, each feature divided by its tolerance σ.
        weight: Strength; 0 switches the kernel off.
    """

    values: Array
    weight: float

    def __post_init__(self) -> None:
        _check_weight(self.weight)
        values = as_tensor(self.values)
        if values.ndim != 3 or not 1 <= len(values) <= 16:
            raise ValueError(f"features of shape {tuple(values.shape)}, expected (1 to 16, height, width)")
        if not torch.isfinite(values).all():
            raise ValueError("features contain NaN or infinity")

    @property
    def sigmas(self) -> tuple[float, ...]:
        """Ones: the values are divided by their tolerances already."""
        return (1.0,) * len(self.values)

    def check(self, height: int, width: int) -> None:
        """Raise a ValueError for features of another size, or too large for 16-bit coordinates."""
        values = as_tensor(self.values)
        if tuple(values.shape[1:]) != (height, width):
            raise ValueError(
                f"features of {values.shape[2]}x{values.shape[1]} pixels for an image of {width}x{height}"
            )
        extents = [float(channel.abs().max()) for channel in values]
        if largest_key([2 * e for e in extents]) is None:
            raise ValueError(f"features reach {max(extents):.4g} tolerances: divide them by larger tolerances")

    def features(self, image: Tensor) -> Tensor:
        """Features (H·W, D), float32, on the device of the image."""
        values = as_tensor(self.values)
        return values.reshape(len(values), -1).T.to(image.device, torch.float32)


Kernel = Gaussian | Bilateral | Features


def _positions(image: Tensor, sigmas: tuple[float, ...], origin: tuple[int, int]) -> Tensor:
    height, width = image.shape[:2]
    reach = torch.tensor(sigmas, dtype=torch.float32, device=image.device)
    left, top = origin
    x = torch.arange(left, left + width, dtype=torch.float32, device=image.device) / reach[0]
    y = torch.arange(top, top + height, dtype=torch.float32, device=image.device) / reach[1]
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], dim=-1).reshape(-1, 2)


def _check_reach(kernel: Gaussian | Bilateral, remedies: Mapping[str, Raised], height: int, width: int) -> None:
    """Refuse sigmas that are too small; the error names one that is enough, and its smallest value."""

    def extents(sigmas: tuple[float, ...]) -> list[float]:
        """The largest value that each feature can take."""
        most = (width - 1, height - 1, 255, 255, 255)
        return [size / sigma for size, sigma in zip(most, sigmas, strict=False)]

    if largest_key(extents(kernel.sigmas)) is None:
        usable = {name: raised for name, raised in remedies.items() if largest_key(extents(raised(math.inf)))}
        name, raised = next(iter(usable.items()))
        least = smallest_sigma(lambda sigma: extents(raised(sigma)))
        called = f"{type(kernel).__name__}.{name}"
        raise ValueError(f"{called} too small for {width}x{height} pixels: use {least:.4g} or more")


def _spread(sigma: float | tuple[float, ...], count: int) -> tuple[float, ...]:
    return sigma if isinstance(sigma, tuple) else (sigma,) * count


def _check_sigmas(name: str, sigma: float | tuple[float, ...], count: int) -> None:
    values = _spread(sigma, count)
    low, high = LEAST_SIGMA, 1 / LEAST_SIGMA
    if len(values) != count or not all(low <= s <= high for s in values):
        raise ValueError(f"{name}={sigma}, expected a number from {low:g} to {high:g}, or {count} of them")


def _check_weight(weight: float) -> None:
    if not abs(weight) <= MOST_WEIGHT:
        raise ValueError(f"weight={weight}, expected a number from {-MOST_WEIGHT:g} to {MOST_WEIGHT:g}")
