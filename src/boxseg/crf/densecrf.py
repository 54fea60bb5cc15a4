"""The dense CRF that users call."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, cast, overload

import torch
from torch import Tensor

from boxseg.crf import gpu, inputs, native
from boxseg.crf.inputs import AnyArray, Array, Arrays, Matrix
from boxseg.crf.kernels import Bilateral, Features, Gaussian, Kernel
from boxseg.crf.lattice import Lattice
from boxseg.crf.meanfield import Settings
from boxseg.crf.prepared import PreparedImage, infer_in_torch


@dataclass(frozen=True, kw_only=True)
class DenseCRF:
    """Fully connected CRF: pixels that are near and alike tend to get the same label.

    Symmetrically normalised kernels, mean-field inference on permutohedral lattices. On the CPU compiled code
    works in float32 and keeps its memory for the next call; on GPUs Triton kernels work on a batch at a time.
    Without them, or if the probabilities need a gradient, torch does the work.

    Args:
        gaussian: Kernel on the position; None for none.
        bilateral: Kernel on position and colour; None for none.
        iterations: Mean-field iterations; 0 gives the clipped probabilities, normalised.
        clip: Smaller probabilities are raised to it.
        compatibility: Penalty (C, C), symmetric, of each pair of labels, times the weight of a kernel; None for
            Potts: 1 for two different labels, 0 for equal ones.

    Source: Krähenbühl and Koltun (2011).

    Example:
        >>> crf = DenseCRF(bilateral=Bilateral(sigma_xy=55, sigma_rgb=3, weight=4), iterations=10)
        >>> q = crf(image, probabilities)  # (H, W, 3) uint8 and (C, H, W) -> (C, H, W)
    """

    gaussian: Gaussian | None = field(default_factory=Gaussian)
    bilateral: Bilateral | None = field(default_factory=Bilateral)
    iterations: int = 10
    clip: float = 1e-5
    compatibility: Array | Sequence[Sequence[float]] | None = None
    _engines: list[native.Engine] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.iterations < 0:
            raise ValueError(f"iterations={self.iterations}, expected 0 or more")
        if not 1e-30 <= self.clip < 1:
            raise ValueError(f"clip={self.clip}, expected a probability from 1e-30 to below 1")
        if self.compatibility is not None:  # as tuples, which can be compared and hashed
            object.__setattr__(self, "compatibility", inputs.as_compatibility(self.compatibility))

    @overload
    def __call__(self, images: Arrays, probabilities: AnyArray, num_threads: int | None = None) -> AnyArray: ...

    @overload
    def __call__(
        self, images: Arrays, probabilities: Sequence[AnyArray], num_threads: int | None = None
    ) -> list[AnyArray]: ...

    def __call__(self, images: Arrays, probabilities: Arrays, num_threads: int | None = None) -> Any:
        """Marginals Q of the labels.

        Args:
            images: (H, W, 3) uint8, raw RGB; a batch (B, H, W, 3); or a list of images of any sizes.
            probabilities: (C, H, W), floating point, 0..1; a batch (B, C, H, W); or a list. NumPy or torch; the
                work is done on their device.
            num_threads: Images worked on at once; by default as many as torch uses threads. It does not change
                the result.

        Returns:
            Q of the shape, kind and type of the probabilities.

        Raises:
            ValueError: Shapes, types or values are not usable, or a σ is too small for the image.
        """
        if num_threads is not None and num_threads < 1:
            raise ValueError(f"num_threads={num_threads}, expected 1 or more")
        kernels, settings = self._kernels(), self._settings()
        pairs = inputs.paired(images, probabilities, settings.compatibility)
        for image, _ in pairs:
            for kernel in kernels:
                kernel.check(*image.shape[:2])
        if kernels and native.usable([scores for _, scores in pairs]):
            results = inputs.room_for(pairs, probabilities)
            self._infer_native(pairs, results, num_threads or torch.get_num_threads())
            return inputs.like_input(results, probabilities)
        if kernels and gpu.usable([scores for _, scores in pairs]):
            return inputs.like_input(gpu.infer(pairs, kernels, settings), probabilities)
        return inputs.like_input([self._infer(image, scores) for image, scores in pairs], probabilities)

    def lattice(self, image: Array, features: Sequence[Features] = ()) -> PreparedImage:
        """Bind the CRF to one image, to be called with several sets of probabilities.

        Args:
            image: (H, W, 3) uint8, raw RGB. Without a bilateral kernel only its size counts: any array (H, W,
                ...) will do.
            features: More kernels, on features of your own: depth, infra-red, texture …

        Raises:
            ValueError: The image or the features are not usable, or a σ is too small for the image.
        """
        tensor = inputs.as_tensor(image)
        kernels = [*self._kernels(), *features]
        if any(isinstance(kernel, Bilateral) for kernel in kernels):
            inputs.check_image(tensor)
        if tensor.ndim < 2 or 0 in tensor.shape[:2]:
            raise ValueError(f"image of shape {tuple(tensor.shape)}, expected (height, width, ...)")
        for kernel in kernels:
            kernel.check(*tensor.shape[:2])
        return PreparedImage(tensor, kernels, self._settings())

    def _kernels(self) -> list[Kernel]:
        return [k for k in (self.gaussian, self.bilateral) if k is not None and k.weight != 0]

    def _settings(self) -> Settings:
        return Settings(
            iterations=self.iterations, clip=self.clip, compatibility=cast(Matrix | None, self.compatibility)
        )

    def _infer(self, image: Tensor, scores: Tensor) -> Tensor:
        """Q (C, H, W) of one image by torch: float64 if the probabilities are, else float32."""
        lattices = [(Lattice.of(kernel.features(image)), kernel.weight) for kernel in self._kernels()]
        q = infer_in_torch(scores.reshape(len(scores), -1), lattices, self._settings())
        return q.reshape(scores.shape)

    def _infer_native(
        self, pairs: list[tuple[Tensor, Tensor]], results: Tensor | list[Tensor], threads: int
    ) -> None:
        """Write Q (C, H, W) of each image, float32, by compiled code, one image per thread."""

        def work(number: int) -> None:
            image, scores = pairs[number]
            # A pop and an append are atomic: no two threads get the same engine.
            try:
                engine = self._engines.pop()
            except IndexError:
                engine = native.Engine()
            flat = scores.detach().reshape(len(scores), -1).to(torch.float32).contiguous()
            if engine.build(image, self._kernels()):
                engine.infer(flat, self._settings(), results[number])
            else:
                results[number].copy_(self._infer(image, flat.reshape(scores.shape)))
            self._engines.append(engine)

        if min(threads, len(pairs)) < 2:  # in this thread, which reuses its freed memory
            for number in range(len(pairs)):
                work(number)
        else:
            with ThreadPoolExecutor(max_workers=min(threads, len(pairs))) as pool:
                list(pool.map(work, range(len(pairs))))
