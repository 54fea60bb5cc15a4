"""The dense CRF, with its options from the configuration."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from boxseg.config import Crf
from boxseg.crf import Bilateral, DenseCRF, Gaussian
from boxseg.errors import ConfigError, NotFiniteError, PhotoError


def require_finite(probabilities: Tensor) -> Tensor:
    """The same probabilities.

    Raises:
        NotFiniteError: Some are no numbers.
    """
    if not probabilities.sum().isfinite():
        raise NotFiniteError(
            "the network's probabilities are no numbers (NaN): its checkpoint may be of a training that "
            "failed, or half precision too coarse for it"
        )
    return probabilities


def _require_usual(image: Tensor, origin: tuple[int, int]) -> None:
    """Check that the usual options would do for a photo: if not, it is at fault, and not the options."""
    height, width = image.shape[:2]
    try:
        for kernel in (Gaussian(origin=origin), Bilateral(origin=origin)):
            kernel.check(height, width)
    except ValueError as error:
        raise PhotoError(
            f"{width} x {height} pixels are too long for the dense CRF: crf=false leaves it out"
        ) from error


def refine(
    options: Crf, images: Sequence[Tensor], probabilities: Sequence[Tensor], origin: tuple[int, int] = (0, 0)
) -> list[Tensor]:
    """Class probabilities (C, H, W) of photos (H, W, 3) uint8 RGB after the dense CRF; unchanged if it is off.

    Args:
        options: The CRF.
        images: The photos, or windows of photos.
        probabilities: Theirs.
        origin: Where the windows begin in their photos, x and y, pixels.

    Raises:
        PhotoError: A photo is too long for the CRF.
        ConfigError: A σ is too small for a photo, or the probabilities are not valid.
    """
    if not options.active:
        return list(probabilities)
    for image in images:
        _require_usual(image, origin)
    # A new one each time: a kept one would hold memory during the next photo's forward pass.
    crf = DenseCRF(
        gaussian=Gaussian(sigma=options.gaussian_sigma, weight=options.gaussian_weight, origin=origin),
        bilateral=Bilateral(
            sigma_xy=options.sigma_xy,
            sigma_rgb=options.sigma_rgb,
            weight=options.bilateral_weight,
            origin=origin,
        ),
        iterations=options.iterations,
    )
    try:
        return crf(list(images), list(probabilities))
    except ValueError as error:
        reason = str(error).replace("Gaussian.sigma", "crf.gaussian_sigma").replace("Bilateral.", "crf.")
        raise ConfigError(f"the dense CRF cannot be computed: {reason}") from error
