"""Batches of images on a GPU: lattices laid out by torch, mean field in Triton kernels.

The pixels of all images are concatenated, and so are the lattice points of all images and kernels: one launch
computes a whole batch of images of any sizes. float32 throughout.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import accumulate, pairwise
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from boxseg.crf.kernels import Gaussian, Kernel
from boxseg.crf.lattice import Lattice, offsets
from boxseg.crf.meanfield import Settings, spread_absent, unary_energy

DEVICES = ("cuda",)
"""Types of the devices that the kernels run on."""

PIXELS_AT_ONCE = 2**23
"""Most pixels in a batch: it needs some 470 bytes a pixel while its lattices are built."""

SHORT = 32
"""Lattice points with more entries get a program of their own in the splat."""

TILE, MOST_ROWS = 1024, 128
"""Numbers (rows times channels) that a program handles at a time, and its most rows."""


@functools.cache
def triton_kernels() -> ModuleType | None:
    """The kernels; None, with one warning, if Triton is not installed or too old."""
    try:
        from boxseg.crf import gpu_kernels
    except ImportError:
        warnings.warn(
            "Triton 3.3 or later is not installed: the CRF uses plain torch, several times slower on a GPU "
            "(pip install triton, with torch 2.7 or later; on Windows triton-windows)",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return gpu_kernels


def usable(scores: Sequence[Tensor]) -> bool:
    """Whether the kernels can take these probabilities: on a GPU, and no gradient asked for."""
    if any(s.device.type not in DEVICES or (s.requires_grad and torch.is_grad_enabled()) for s in scores):
        return False
    return len(scores) > 0 and triton_kernels() is not None


def infer(
    pairs: Sequence[tuple[Tensor, Tensor]], kernels: Sequence[Kernel], settings: Settings
) -> list[Tensor]:
    """Q (C, H, W), float32, of images (H, W, 3) uint8 with probabilities (C, H, W), all on one device."""
    results: list[Tensor] = []
    for start, stop in _runs([image.shape[0] * image.shape[1] for image, _ in pairs]):
        images, scores = zip(*pairs[start:stop], strict=True)
        flat = Batch(images, kernels).infer([s.reshape(len(s), -1) for s in scores], settings)
        results += [q.reshape(s.shape) for q, s in zip(flat, scores, strict=True)]
    return results


class Batch:
    """The lattices of several images, ready for several sets of probabilities.

    N is the number of pixels, V of lattice points, of all images.

    Args:
        images: (H, W, 3) uint8 each, on one device; of any sizes.
        kernels: At least one.

    Raises:
        ValueError: A lattice coordinate does not fit in 16 bits.
    """

    def __init__(self, images: Sequence[Tensor], kernels: Sequence[Kernel]) -> None:
        self._bounds = [0, *accumulate(image.shape[0] * image.shape[1] for image in images)]
        lattices = [_lattice(kernel, images) for kernel in kernels]
        shifts = offsets([lattice.size for lattice in lattices])
        self._points = torch.cat([part.points + shift for part, shift in zip(lattices, shifts, strict=True)])
        self._weights = torch.cat([lattice.weights for lattice in lattices])
        self._size = sum(lattice.size for lattice in lattices)
        axes = max(len(lattice.edges) for lattice in lattices)
        self._chains = [_chains(lattices, shifts, self._size, axis) for axis in range(axes)]
        self._normalise(kernels, self._order(lattices))

    def infer(self, scores: Sequence[Tensor], settings: Settings) -> list[Tensor]:
        """Q (C, N), float32, of the probabilities (C, N) of each image."""
        flat = [s.detach().float() for s in scores]
        # Absent classes are merged per image, as on the CPU: no result depends on other images.
        choices = [settings.to_compute(s) for s in flat]
        ratio, share = self._ratios(flat, choices, settings.clip)
        mixing = _mixing(settings, ratio)
        q, rest = torch.empty_like(ratio), torch.empty_like(share)
        values = ratio.new_empty(self._size, ratio.shape[1])
        for iteration in range(settings.iterations + 1):
            last = iteration == settings.iterations
            constants = {
                "ENTRIES": len(self._points) if iteration else 0,
                "DIFFERENCE": not last and mixing is None,
            }
            lattice = (values, self._points, self._weights)
            arguments = ((q, rest), (ratio, share), lattice, len(q))
            self._launch("slice_softmax", len(q), q.shape[1], arguments, **constants)
            if last:
                break
            if mixing is not None:
                classes = len(mixing)
                q[:, : classes - 1] = torch.cat([q[:, : classes - 1], rest[:, None]], dim=1) @ mixing
            self._splat(q, self._strengths, values)
            self._blur(values)
        results = []
        for (a, b), (computed, _), score in zip(pairwise(self._bounds), choices, flat, strict=True):
            whole = torch.cat([q[a:b, : len(computed) - 1], rest[a:b, None]], dim=1)
            results.append(spread_absent(whole, computed, len(score)))
        return results

    def _order(self, lattices: Sequence[Lattice]) -> Tensor:
        """Places in the weights, those of a lattice point together."""
        pixels = self._points.shape[1]
        corners = offsets([len(lattice.points) for lattice in lattices])
        places = offsets([len(lattice.order) for lattice in lattices])
        order = torch.cat([part.order + c * pixels for part, c in zip(lattices, corners, strict=True)])
        starts = [part.starts[:-1] + place for part, place in zip(lattices, places, strict=True)]
        starts.append(torch.full_like(starts[-1][:1], len(order)))
        self._starts = torch.cat(starts).to(torch.int32 if len(order) < 2**31 else torch.int64)
        self._long = (self._starts.diff() > SHORT).nonzero()[:, 0]
        self._sources = (order % pixels).to(torch.int32)
        return order

    def _normalise(self, kernels: Sequence[Kernel], order: Tensor) -> None:
        """Fold the norm of each kernel into the weights, and its strength into those of the splat alone."""
        ones = self._weights.new_ones(self._points.shape[1], 1)
        values = self._weights.new_empty(self._size, 1)
        self._splat(ones, self._weights.view(-1)[order], values)
        self._blur(values)
        strengths, corner = self._weights.clone(), 0
        for kernel in kernels:
            d = len(kernel.sigmas)
            part, shrink = slice(corner, corner + d + 1), 1 / (1 + 2.0**-d)
            total = torch.zeros_like(self._weights[0])
            for points, weights in zip(self._points[part], self._weights[part], strict=True):
                total += shrink * weights * values[:, 0].index_select(0, points)
            norm = torch.rsqrt(total + 1e-20)
            self._weights[part] *= norm
            strengths[part] *= norm * (kernel.weight * shrink)
            corner += d + 1
        self._strengths = strengths.view(-1)[order]

    def _ratios(
        self, scores: Sequence[Tensor], choices: Sequence[tuple[list[int], int]], clip: float
    ) -> tuple[Tensor, Tensor]:
        """Logits (N, channels) minus that of the image's last computed class; 1 / how many that stands for.

        A filter is linear: differences of classes give differences of messages, with one channel fewer than
        classes. Channels without a class in an image are −∞.
        """
        channels = padded(max(len(computed) for computed, _ in choices) - 1)
        ratio = scores[0].new_full((self._bounds[-1], channels), -math.inf)
        share = scores[0].new_empty(self._bounds[-1])
        for (a, b), score, (computed, merged) in zip(pairwise(self._bounds), scores, choices, strict=True):
            energy = unary_energy(score[computed], clip)
            ratio[a:b, : len(computed) - 1] = energy[:, -1:] - math.log(merged) - energy[:, :-1]
            share[a:b] = 1 / merged
        return ratio, share

    def _splat(self, q: Tensor, strengths: Tensor, values: Tensor) -> None:
        """Overwrite the values (V, channels) at the points by sums of rows of q (N, channels)."""
        shared = (q, (self._sources, strengths, self._starts), values)
        points, channels = values.shape
        self._launch("splat", points, channels, (*shared, points), SHORT=SHORT)
        self._launch("splat_long", len(self._long), channels, (*shared, self._long), each=1)

    def _blur(self, values: Tensor) -> None:
        """Blur the values (V, channels) in place, along the first axis of all kernels, then the second."""
        for after, heads in self._chains:
            self._launch("blur", len(heads), values.shape[1], (values, after, heads, len(heads)))

    def _launch(
        self,
        name: str,
        rows: int,
        channels: int,
        arguments: tuple[Any, ...],
        each: int | None = None,
        **constants: Any,
    ) -> None:
        """Run a kernel on `rows` rows, `each` per program; by default as many as fill a tile."""
        if rows == 0:
            return
        width = 1 << (channels - 1).bit_length()  # blocks are powers of two
        block = max(1, min(TILE // width, MOST_ROWS))
        kernel = getattr(triton_kernels(), name)
        device = self._weights.device  # otherwise it runs on the current one
        with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
            kernel[(-(-rows // (each or block)),)](*arguments, STRIDE=channels, BLOCK=block, **constants)


def _lattice(kernel: Kernel, images: Sequence[Tensor]) -> Lattice:
    if isinstance(kernel, Gaussian):  # depends on the size alone
        sizes = {tuple(image.shape[:2]): image for image in images}
        lattices = {size: Lattice.of(kernel.features(image)) for size, image in sizes.items()}
        return Lattice.joined([lattices[tuple(image.shape[:2])] for image in images])
    features = [kernel.features(image) for image in images]
    return Lattice.of(torch.cat(features), [len(f) for f in features])


def _chains(lattices: Sequence[Lattice], shifts: Sequence[int], size: int, axis: int) -> tuple[Tensor, Tensor]:
    """The neighbour after each point along an axis, −1 where none; and the points where a chain starts."""
    parts = zip(lattices, shifts, strict=True)
    here, there = torch.cat([p.edges[axis] + shift for p, shift in parts if axis < len(p.edges)], dim=1)
    after = torch.full((size,), -1, dtype=torch.int32, device=here.device)
    after[here.long()] = there
    first = torch.ones(size, dtype=torch.bool, device=here.device)
    first[there.long()] = False
    return after, here[first[here.long()]]


def _mixing(settings: Settings, like: Tensor) -> Tensor | None:
    """(C, C − 1), applied to Q before the filters: penalty of the last class minus each; None for Potts.

    It may come first because all kernels have the same compatibility.
    """
    if settings.compatibility is None:
        return None
    penalty = like.new_tensor(settings.compatibility)
    return penalty[:, -1:] - penalty[:, :-1]


def padded(channels: int) -> int:
    """Channels of a row: 1, 2, 4, then multiples of 8, as memory is read 32 bytes at a time."""
    return 1 << max(channels - 1, 0).bit_length() if channels <= 4 else -(-channels // 8) * 8


def _runs(counts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ranges of images with at most PIXELS_AT_ONCE pixels together, or one image."""
    start = total = 0
    for number, count in enumerate(counts):
        if number > start and total + count > PIXELS_AT_ONCE:
            yield start, number
            start, total = number, 0
        total += count
    if counts:
        yield start, len(counts)
