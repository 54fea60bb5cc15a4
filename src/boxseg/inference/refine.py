"""The dense CRF of the options, ready to call."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from boxseg.config import Crf
from boxseg.crf import Bilateral, DenseCRF, Gaussian
from boxseg.errors import ConfigError


def refine(options: Crf, images: Sequence[Tensor], probabilities: Sequence[Tensor]) -> list[Tensor]:
    """Class probabilities after the dense CRF; unchanged if it is switched off.

    Args:
        options: Kernels and iterations.
        images: Photos (H, W, 3) uint8 RGB, of any sizes.
        probabilities: Class probabilities (C, H, W) of each.

    Raises:
        ConfigError: A σ is too small for a photo, or the probabilities are not valid.
    """
    if not options.active:
        return list(probabilities)
    # A new one each time: kept, it would hold memory during the next photo's forward pass.
    crf = DenseCRF(
        gaussian=Gaussian(sigma=options.gaussian_sigma, weight=options.gaussian_weight),
        bilateral=Bilateral(
            sigma_xy=options.sigma_xy, sigma_rgb=options.sigma_rgb, weight=options.bilateral_weight
        ),
        iterations=options.iterations,
    )
    try:
        return crf(list(images), list(probabilities))
    except ValueError as error:
        reason = str(error).replace("Gaussian.sigma", "crf.gaussian_sigma").replace("Bilateral.", "crf.")
        raise ConfigError(f"the dense CRF cannot be computed: {reason}") from error
