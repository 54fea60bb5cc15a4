"""The dense CRF of the options, ready to call."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from torch import Tensor

from boxseg.config import Crf
from boxseg.crf import Bilateral, DenseCRF, Gaussian


def refine(options: Crf, images: Sequence[Tensor], probabilities: Sequence[Tensor]) -> list[Tensor]:
    """Class probabilities after the dense CRF; unchanged where it is switched off.

    Args:
        options: Kernels and iterations.
        images: Raw photos (H, W, 3) uint8 RGB, of any sizes.
        probabilities: Class probabilities (C, H, W) of each.
    """
    if not options.active:
        return list(probabilities)
    return list(_crf(options)(list(images), list(probabilities)))


@functools.lru_cache(maxsize=1)
def _crf(options: Crf) -> DenseCRF:
    """One for all photos: it keeps its memory, and the position kernel's lattice for photos of one size."""
    return DenseCRF(
        gaussian=Gaussian(sigma=options.gaussian_sigma, weight=options.gaussian_weight),
        bilateral=Bilateral(
            sigma_xy=options.sigma_xy, sigma_rgb=options.sigma_rgb, weight=options.bilateral_weight
        ),
        iterations=options.iterations,
    )
