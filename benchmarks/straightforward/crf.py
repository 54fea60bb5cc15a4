"""The usual call of pydensecrf."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

try:
    from pydensecrf import densecrf
except ImportError:  # boxseg's own, which gives the same results
    from boxseg.crf.pydensecrf import densecrf

THEIRS = densecrf.__name__.startswith("pydensecrf")


def dense_crf(
    photo: NDArray[np.uint8], scores: NDArray[np.float32], sigma_xy: float = 55, sigma_rgb: float = 3
) -> NDArray[np.float32]:
    """Probabilities (C, H, W) of a photo (H, W, 3) after ten iterations, from scores (C, H, W)."""
    classes, height, width = scores.shape
    crf = densecrf.DenseCRF2D(width, height, classes)
    crf.setUnaryEnergy(np.ascontiguousarray(-np.log(np.clip(scores, 1e-5, 1)).reshape(classes, -1)))
    crf.addPairwiseGaussian(sxy=3, compat=3)
    crf.addPairwiseBilateral(sxy=sigma_xy, srgb=sigma_rgb, rgbim=photo, compat=4)
    return np.array(crf.inference(10)).reshape(scores.shape)
