"""DenseCRF and DenseCRF2D with the methods of pydensecrf.densecrf.

Where the compatibility of every kernel is one number (Potts) and the normalisation symmetric, as by default,
compiled code runs, else torch. Types of kernels say which of their parameters can be learnt: none can here, and
all types give the same answer, as long as nothing is learnt.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from boxseg.crf import native
from boxseg.crf.inputs import MOST_WEIGHT
from boxseg.crf.kernels import Bilateral, Features, Gaussian, Kernel
from boxseg.crf.lattice import Lattice
from boxseg.crf.meanfield import Filter, Settings, updated

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


class ConstUnary:
    """Energies (nlabels, nvar), for `setUnary`."""

    def __init__(self, u: ArrayLike) -> None:
        self.energies = u


class LogisticUnary(ConstUnary):
    """Energies L @ f of weights (nlabels, D) and features (D, nvar), for `setUnary`."""

    def __init__(self, L: ArrayLike, f: ArrayLike) -> None:
        super().__init__(np.asarray(L) @ np.asarray(f))


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
        self._normalizations: list[int] = []
        self._energy: torch.Tensor | None = None
        self._engine: native.Engine | None = None  # with the lattices of all kernels
        self._filters: list[tuple[Filter, float | torch.Tensor]] | None = None  # the same in torch
        self._steps, self._last = 0, np.zeros((0, 0), np.float32)  # of the latest steps: how many, and Q

    def setUnary(self, u: ConstUnary) -> None:
        """Set the energies of a `ConstUnary`."""
        self.setUnaryEnergy(u.energies)

    def setUnaryEnergy(self, unary: ArrayLike) -> None:
        """Set the energies (nlabels, nvar): negative log-probabilities; infinity for a label that cannot be."""
        energy = np.array(unary, dtype=np.float32)
        if energy.ndim != 2 or energy.shape != (self._labels, self._height * self._width):
            raise ValueError(
                f"unary of shape {energy.shape}, expected ({self._labels}, {self._height * self._width})"
            )
        if np.isnan(energy).any() or not np.isfinite(energy.min(axis=0, initial=np.inf)).all():
            raise ValueError("unary contains NaN, -infinity, or a variable without any label")
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
        if self._compiled() is not None:
            return self._inferred(niter)
        q = self._start()
        for _ in range(niter):
            q = self._updated(q)
        return q

    def startInference(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Marginals before the first iteration, and two arrays without a meaning for `stepInference`."""
        q = self.inference(0)
        self._steps, self._last = 0, q.copy()
        return q, np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32)

    def stepInference(self, Q: NDArray[np.float32], tmp1: ArrayLike, tmp2: ArrayLike) -> None:
        """One iteration, from Q to Q. After n steps it is what `inference(n)` gives, bit by bit.

        Compiled code begins anew with every step, so that n steps take the time of n(n + 1)/2 iterations. If Q
        is not that of the step before, torch computes the step.
        """
        if self._compiled() is None or not np.array_equal(Q, self._last):
            Q[...] = self._updated(Q)
            return
        self._steps += 1
        Q[...] = self._last = self._inferred(self._steps)

    def klDivergence(self, Q: ArrayLike) -> float:
        """Kullback-Leibler divergence between Q and the CRF, up to a constant, as pydensecrf counts it.

        That is the mean of log Q and of the energies under Q, where each pair of variables counts twice, and
        each variable is a neighbour of its own.

        Source: Krähenbühl and Koltun (2011), section 3: what mean field makes small.
        """
        q = torch.from_numpy(np.array(Q, dtype=np.float32)).T.contiguous()
        penalty = torch.zeros_like(q)
        for passed_on, weight in self._torch_filters():
            message = passed_on(q)
            penalty += message @ weight if isinstance(weight, torch.Tensor) else -weight * message
        wide, energy = q.double(), self._known_energy().T.double()
        return float((wide * (wide.clamp(min=1e-20).log() + energy + penalty.double())).sum())

    def _known_energy(self) -> torch.Tensor:
        if self._energy is None:
            raise ValueError("no unary energy: call setUnaryEnergy first")
        return self._energy

    def _relative_energy(self) -> torch.Tensor:
        energy = self._known_energy()
        return energy - energy.min(dim=0).values

    def _compiled(self) -> native.Engine | None:
        """The compiled code with the lattices of all kernels, if it can compute them."""
        potts = all(penalty is None for penalty in self._penalties)
        usual = potts and all(kind == NORMALIZE_SYMMETRIC for kind in self._normalizations)
        if not self._kernels or not usual or float(self._relative_energy().max()) > 30 or not native.library():
            return None
        if self._engine is None:
            engine = native.Engine()
            self._engine = engine if engine.build(self._image, self._kernels) else None
        return self._engine

    def _inferred(self, niter: int) -> NDArray[np.float32]:
        """Marginals after so many iterations, by compiled code."""
        engine, relative = self._compiled(), self._relative_energy()
        assert engine is not None
        q = torch.empty_like(relative)
        engine.infer(torch.exp(-relative), Settings(iterations=niter, clip=CLIP), q)
        return q.numpy()

    def _start(self) -> NDArray[np.float32]:
        return torch.softmax(-self._relative_energy(), dim=0).numpy()

    def _updated(self, q: ArrayLike) -> NDArray[np.float32]:
        """Marginals after one more iteration, by torch."""
        before = torch.from_numpy(np.array(q, dtype=np.float32)).T.contiguous()
        after = updated(before, -self._relative_energy().T.contiguous(), self._torch_filters())
        return after.T.contiguous().numpy()

    def _torch_filters(self) -> list[tuple[Filter, float | torch.Tensor]]:
        """What each kernel makes of marginals (nvar, nlabels), and its weight or penalties."""
        if self._filters is None:
            features = [kernel.features(self._image) for kernel in self._kernels]
            weights = [
                kernel.weight if penalty is None else penalty
                for kernel, penalty in zip(self._kernels, self._penalties, strict=True)
            ]
            filters = [
                _filter(Lattice.of(values), kind)
                for values, kind in zip(features, self._normalizations, strict=True)
            ]
            self._filters = list(zip(filters, weights, strict=True))
        return self._filters

    def _add(self, kernel: Kernel, compat: Compatibility, kind: int, normalization: int) -> None:
        """Add a kernel of weight 1; a compatibility of one number becomes its weight."""
        if kind not in (CONST_KERNEL, DIAG_KERNEL, FULL_KERNEL):
            raise ValueError(f"kernel={kind}, expected CONST_KERNEL, DIAG_KERNEL or FULL_KERNEL")
        if normalization not in (NO_NORMALIZATION, NORMALIZE_BEFORE, NORMALIZE_AFTER, NORMALIZE_SYMMETRIC):
            raise ValueError(f"normalization={normalization}, expected one of the four that this module names")
        if not (np.abs(np.asarray(compat)) <= MOST_WEIGHT).all():
            raise ValueError(f"compat of up to {np.abs(compat).max()}, expected at most {MOST_WEIGHT:g}")
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
        self._normalizations.append(normalization)
        self._engine = self._filters = None


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


def _filter(lattice: Lattice, normalization: int) -> Filter:
    """K, the filter of a lattice, with the norms 1/K1 before or after it, or their roots on both sides."""
    if normalization == NORMALIZE_SYMMETRIC:
        return lattice.normalised().filter
    if normalization == NO_NORMALIZATION:
        return lattice.filter
    norm = 1 / (lattice.filter(lattice.weights.new_ones(lattice.points.shape[1], 1)) + 1e-20)
    if normalization == NORMALIZE_BEFORE:
        return partial(_scaled, lattice.filter, norm, 1.0)
    return partial(_scaled, lattice.filter, 1.0, norm)


def _scaled(
    passed_on: Filter, before: float | torch.Tensor, after: float | torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    return passed_on(values * before) * after


def _spread(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else tuple(float(v) for v in value)
