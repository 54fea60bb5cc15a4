"""The lattices of one image, kept for several sets of probabilities."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from boxseg.crf import gpu, native
from boxseg.crf.inputs import AnyArray, as_tensor, check_probabilities, like_input
from boxseg.crf.kernels import Kernel
from boxseg.crf.lattice import Lattice
from boxseg.crf.meanfield import Settings, mean_field, spread_absent, unary_energy


class PreparedImage:
    """A dense CRF bound to one image: call it with probabilities (C, H, W) as often as you like.

    Made by `DenseCRF.lattice`. May be called from several threads, which take turns.
    """

    def __init__(self, image: Tensor, kernels: Sequence[Kernel], settings: Settings) -> None:
        self._image, self._kernels, self._settings = image, list(kernels), settings
        self._engine: native.Engine | None = None
        self._lattices: dict[torch.device, list[tuple[Lattice, float]]] = {}
        self._batches: dict[torch.device, gpu.Batch] = {}
        self._turn = threading.Lock()

    def __call__(self, probabilities: AnyArray) -> AnyArray:
        """Marginals Q of the labels.

        Args:
            probabilities: (C, H, W), floating point, 0..1.

        Returns:
            Q of the shape, kind and type of the probabilities.

        Raises:
            ValueError: The probabilities are not usable.
        """
        scores = as_tensor(probabilities)
        height, width = self._image.shape[:2]
        check_probabilities(scores, (height, width), self._settings.compatibility)
        flat = scores.reshape(len(scores), -1)
        with self._turn:
            if self._kernels and native.usable([scores]) and (engine := self._built()):
                plain = flat.detach().to(torch.float32).contiguous()
                q = torch.empty_like(plain)
                engine.infer(plain, self._settings, q)
            elif self._kernels and gpu.usable([scores]):
                q = self._run_gpu(flat)
            else:
                q = self._run_torch(flat)
        return cast(AnyArray, like_input([q.reshape(scores.shape)], probabilities))

    def _built(self) -> native.Engine | None:
        """The engine with the image's lattices; None if the compiled code cannot hold them."""
        if self._engine is None:
            engine = native.Engine()
            self._engine = engine if engine.build(self._image.cpu(), self._kernels) else None
        return self._engine

    def _run_gpu(self, flat: Tensor) -> Tensor:
        if flat.device not in self._batches:
            self._batches[flat.device] = gpu.Batch([self._image.to(flat.device)], self._kernels)
        return self._batches[flat.device].infer([flat], self._settings)[0]

    def _run_torch(self, flat: Tensor) -> Tensor:
        if flat.device not in self._lattices:
            image = self._image.to(flat.device)
            self._lattices[flat.device] = [(Lattice.of(k.features(image)), k.weight) for k in self._kernels]
        return infer_in_torch(flat, self._lattices[flat.device], self._settings)


def infer_in_torch(flat: Tensor, lattices: list[tuple[Lattice, float]], settings: Settings) -> Tensor:
    """Q (C, N) of probabilities (C, N): float64 if they are, else float32."""
    flat = flat if flat.dtype.itemsize >= 4 else flat.float()
    computed, merged = settings.to_compute(flat)
    kernels: list[tuple[Lattice, float | Tensor]] = list(lattices)
    if settings.compatibility is not None:
        penalty = flat.new_tensor(settings.compatibility)
        kernels = [(lattice, weight * penalty) for lattice, weight in lattices]
    q = mean_field(unary_energy(flat[computed], settings.clip), kernels, settings.iterations, merged)
    return spread_absent(q, computed, len(flat))
