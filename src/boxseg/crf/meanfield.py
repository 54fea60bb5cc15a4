"""Mean-field inference in plain torch: any device, differentiable with respect to the unary.

Source: Krähenbühl and Koltun, Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials (2011),
algorithm 1, with symmetrically normalised kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from boxseg.crf.lattice import Lattice

Filter = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Inference options, the same for all images.

    Args:
        iterations: Synchronous updates.
        clip: Smaller probabilities are raised to it.
        compatibility: (C, C), symmetric: the penalty of each pair of labels; None for Potts.
    """

    iterations: int
    clip: float
    compatibility: tuple[tuple[float, ...], ...] | None = None

    def to_compute(self, probabilities: Tensor) -> tuple[list[int], int]:
        """Classes to compute of (C, N), and how many the last one stands for: see `merge_absent`."""
        if self.compatibility is None:
            return merge_absent(probabilities, self.clip)
        return list(range(len(probabilities))), 1  # absent classes differ in their penalties


def mean_field(
    unary: Tensor, kernels: Sequence[tuple[Lattice, float | Tensor]], iterations: int, merged: int = 1
) -> Tensor:
    """Approximate marginals of a dense CRF.

    Args:
        unary: Energies (N, C).
        kernels: Each lattice with its weight under Potts compatibility, or with the penalty (C, C) of each pair
            of labels, symmetric.
        iterations: Synchronous updates; 0 gives softmax(−unary).
        merged: How many classes the last column stands for.

    Returns:
        Q (N, C). Rows sum to 1, the last column counted `merged` times.
    """
    filters = [(lattice.normalised().filter, weight) for lattice, weight in kernels]
    count = unary.new_ones(unary.shape[1])
    count[-1] = merged
    shift = count.log()
    q = torch.softmax(shift - unary, dim=1) / count
    for _ in range(iterations):
        q = updated(q, shift - unary, filters) / count
    return q


def updated(q: Tensor, logits: Tensor, filters: Sequence[tuple[Filter, float | Tensor]]) -> Tensor:
    """One update of Q (N, C), by the softmax of what is known of each pixel alone and of what the kernels say.

    Args:
        q: The marginals so far.
        logits: Minus the energies (N, C); they are changed.
        filters: What passes Q on, (N, C) → (N, C), for each kernel, with its weight or penalties.
    """
    for passed_on, weight in filters:
        message = passed_on(q)
        logits += -(message @ weight) if isinstance(weight, Tensor) else message.mul_(weight)
    return torch.softmax(logits, dim=1)


def unary_energy(probabilities: Tensor, clip: float) -> Tensor:
    """−log of the probabilities (C, N), none below `clip`, as (N, C)."""
    return -torch.log(probabilities.T.contiguous().clamp(clip, 1.0))


def merge_absent(probabilities: Tensor, clip: float) -> tuple[list[int], int]:
    """Choose the classes to compute; returns their indices, and how many classes the last stands for.

    Classes whose probability (C, N) is at most `clip` in every pixel have the same constant energy, and so the
    same marginals in every iteration: one of them can stand for all, its weight in the softmax multiplied.
    (Leaving them out would change the marginals of the others.)
    """
    peak = probabilities.detach().amax(dim=1).tolist()
    present = [c for c, p in enumerate(peak) if p > clip]
    absent = [c for c, p in enumerate(peak) if not p > clip]
    return (present + absent[:1], max(len(absent), 1))


def spread_absent(q: Tensor, computed: list[int], classes: int) -> Tensor:
    """Undo `merge_absent`: (N, C computed) → (classes, N)."""
    column = [len(computed) - 1] * classes
    for position, c in enumerate(computed):
        column[c] = position
    return q.T[torch.tensor(column, device=q.device)]
