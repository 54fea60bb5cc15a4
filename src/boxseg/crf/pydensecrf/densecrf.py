"""DenseCRF and DenseCRF2D with the methods of pydensecrf.densecrf that scripts use.

Kernels are diagonal and normalisation is symmetric: the defaults, which published calls use. A compatibility of
one number (Potts) runs in compiled code, an array in torch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from boxseg.crf import native
from boxseg.crf.kernels import Bilateral, Features, Gaussian, Kernel
from boxseg.crf.lattice import Lattice
from boxseg.crf.meanfield import Settings, mean_field

CONST_KERNEL: Final = 0
DIAG_KERNEL: Final = 1
FULL_KERNEL: Final = 2
NO_NORMALIZATION: Final = 0
NORMALIZE_BEFORE: Final = 1
NORMALIZE_AFTER: Final = 2
NORMALIZE_SYMMETRIC: Final = 3

Compatibility = float | ArrayLike
"""One number: Potts, the penalty of two labels that differ. (C,) or (C, C): energy added for a label with
itself, or for each pair of labels; only the symmetric part counts."""

CLIP = 1e-13
"""Keeps energy differences up to 30; torch computes larger ones: the compiled code works on probabilities."""


class DenseCRF:
    """A dense CRF over `nvar` variables with `nlabels` labels each.

    Args:
        nvar: Number of variables.
        nlabels: Number of labels.
    """

    def __init__(self, nvar: int, nlabels: int) -> None:
        self._height, self._width, self._labels = 1, int(nvar), int(nlabels)
        self._image = torch.zeros(self._height, self._width, 3, dtype=torch.uint8)
        self._kernels: list[Kernel] = []
        self._penalties: list[torch.Tensor | None] = []  # (C, C) of each kernel; None for Potts
        self._energy: torch.Tensor | None = None

    def setUnaryEnergy(self, unary: ArrayLike) -> None:
        """Set the energies (nlabels, nvar): negative log-probabilities."""
        energy = np.array(unary, dtype=np.float32)
        if energy.ndim != 2 or energy.shape != (self._labels, self._height * self._width):
            raise ValueError(
                f"unary of shape {energy.shape}, expected ({self._labels}, {self._height * self._width})"
            )
        if not np.isfinite(energy).all():
            raise ValueError("unary contains NaN or infinity")
        self._energy = torch.from_numpy(energy)

    def addPairwiseEnergy(
        self,
        features: ArrayLike,
        compat: Compatibility,
        kernel: int = DIAG_KERNEL,
        normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Add a kernel on features (D, nvar), each already divided by its tolerance."""
        values = np.array(features, dtype=np.float32)
        shaped = values.reshape(len(values), self._height, self._width)
        self._add(Features(values=shaped, weight=1.0), compat, kernel, normalization)

    def inference(self, niter: int) -> NDArray[np.float32]:
        """Marginals (nlabels, nvar) after `niter` mean-field iterations."""
        if self._energy is None:
            raise ValueError("no unary energy: call setUnaryEnergy first")
        relative = self._energy - self._energy.min(dim=0).values
        potts = all(penalty is None for penalty in self._penalties)
        if self._kernels and potts and float(relative.max()) <= 30 and native.library() is not None:
            engine = native.Engine()
            if engine.build(self._image, self._kernels):
                q = torch.empty_like(relative)
                engine.infer(torch.exp(-relative), Settings(iterations=niter, clip=CLIP), q)
                return q.numpy()
        kernels: list[tuple[Lattice, float | torch.Tensor]] = [
            (Lattice.of(kernel.features(self._image)), kernel.weight if penalty is None else penalty)
            for kernel, penalty in zip(self._kernels, self._penalties, strict=True)
        ]
        return mean_field(relative.T, kernels, niter).T.contiguous().numpy()

    def _add(self, kernel: Kernel, compat: Compatibility, kind: int, normalization: int) -> None:
        """Add a kernel of weight 1; a compatibility of one number becomes its weight."""
        if kind == FULL_KERNEL or normalization != NORMALIZE_SYMMETRIC:
            raise ValueError("expected kernel=DIAG_KERNEL and normalization=NORMALIZE_SYMMETRIC, the defaults")
        values = np.asarray(compat, dtype=np.float32)
        if values.shape not in ((), (self._labels,), (self._labels, self._labels)):
            raise ValueError(
                f"compat of shape {values.shape}, expected one number, ({self._labels},) or "
                f"({self._labels}, {self._labels})"
            )
        kernel.check(self._height, self._width)
        potts = values.ndim == 0
        matrix = np.diag(values) if values.ndim == 1 else (values + values.T) / 2
        self._kernels.append(replace(kernel, weight=float(values)) if potts else kernel)
        self._penalties.append(None if potts else torch.from_numpy(matrix))


class DenseCRF2D(DenseCRF):
    """A dense CRF over the pixels of an image.

    Args:
        w: Width, pixels.
        h: Height, pixels.
        nlabels: Number of labels.
    """

    def __init__(self, w: int, h: int, nlabels: int) -> None:
        super().__init__(w * h, nlabels)
        self._height, self._width = int(h), int(w)
        self._image = self._image.reshape(self._height, self._width, 3)

    def addPairwiseGaussian(
        self,
        sxy: Any,
        compat: Compatibility,
        kernel: int = DIAG_KERNEL,
        normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Add a kernel on the position: reach `sxy` in pixels, or a pair for x and y."""
        self._add(Gaussian(sigma=_spread(sxy), weight=1.0), compat, kernel, normalization)

    def addPairwiseBilateral(
        self,
        sxy: Any,
        srgb: Any,
        rgbim: ArrayLike,
        compat: Compatibility,
        kernel: int = DIAG_KERNEL,
        normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Add a kernel on position and colour of the image (h, w, 3) uint8."""
        image = np.array(rgbim)
        if image.shape != (self._height, self._width, 3) or image.dtype != np.uint8:
            raise ValueError(
                f"rgbim of shape {image.shape} and type {image.dtype}, "
                f"expected ({self._height}, {self._width}, 3) and uint8"
            )
        bilateral = Bilateral(sigma_xy=_spread(sxy), sigma_rgb=_spread(srgb))
        bilateral.check(self._height, self._width)
        # As features, so that each kernel can have an image of its own.
        values = bilateral.features(torch.from_numpy(image)).T.reshape(5, self._height, self._width)
        self._add(Features(values=values, weight=1.0), compat, kernel, normalization)


def _spread(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else tuple(float(v) for v in value)
