"""What boxes alone say about masks: the losses of the mask network.

Each takes logits (B, H, W) on a grid and gives the loss of each object, (B,). `inside` is 1 on the cells of the
object's box and 0 elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

# Steps in cells to the neighbours whose likeness is looked at; the other four are the same pairs seen from
# there.
REACH = 3
PAIRS = ((0, REACH), (REACH, 0), (REACH, REACH), (REACH, -REACH))
# CIELAB distance over which likeness falls to 1/e, and the least likeness that counts.
LIKENESS_SCALE = 10.0
LEAST_LIKENESS = 0.3


def outside_loss(logits: Tensor, inside: Tensor) -> Tensor:
    """Mean cross-entropy with the background on the cells outside the box: they are background for sure."""
    return _mean(F.softplus(logits), 1 - inside)


def projection_loss(logits: Tensor, inside: Tensor) -> Tensor:
    """The mask touches all four sides: Dice of the maxima of rows and columns with those of the box.

    Source: Tian et al., BoxInst, CVPR 2021, eq. 4; Hsu et al., "Weakly supervised instance segmentation using
        the
    bounding box tightness prior", NeurIPS 2019.
    """
    probabilities = logits.sigmoid() * inside
    return sum(dice_loss(probabilities.amax(dim), inside.amax(dim)) for dim in (1, 2))  # type: ignore[return-value]


def pairwise_loss(logits: Tensor, lab: Tensor, inside: Tensor) -> Tensor:
    """Neighbours of like colour belong together: - log of the probability that both are object or both are not.

    Pairs count whose likeness exp(- distance / LIKENESS_SCALE) is above LEAST_LIKENESS and whose first cell is
    in the box.

    Args:
        logits: (B, H, W).
        lab: (B, 3, H, W) CIELAB.
        inside: (B, H, W).

    Source: BoxInst, eq. 5 to 8.
    """
    objects, backgrounds = F.logsigmoid(logits), F.logsigmoid(-logits)
    total, count = logits.new_zeros(len(logits)), logits.new_zeros(len(logits))
    for step in PAIRS:
        likeness = torch.exp(-(shifted(lab, *step) - lab).square().sum(1).sqrt() / LIKENESS_SCALE)
        counts = (likeness > LEAST_LIKENESS) & (inside > 0) & (shifted(torch.ones_like(inside), *step) > 0)
        same = torch.logaddexp(objects + shifted(objects, *step), backgrounds + shifted(backgrounds, *step))
        total = total - (same * counts).sum((1, 2))
        count = count + counts.sum((1, 2))
    return total / count.clamp_min(1)


def agreement_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Agreement with a second opinion: weighted cross-entropy, and Dice, which sees small objects.

    The second opinion is the averaged teacher's answer after `mask_targets`, weighted by how sure it is (Lan et
    al., "Vision transformers are good mask auto-labelers", CVPR 2023, eq. 3 and 4), or labels where two of
    them, Y_crf and Y_ret, agree (BANA, section 3.3).

    Args:
        logits: (B, H, W).
        targets: (B, H, W) in [0, 1].
        weights: (B, H, W), 0 where nothing is known.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    known = (weights > 0).to(weights.dtype)
    mean = (entropy * weights).sum((1, 2)) / known.sum((1, 2)).clamp_min(1)
    root = weights.sqrt()
    return mean + dice_loss((logits.sigmoid() * root).flatten(1), (targets * root).flatten(1))


def dice_loss(p: Tensor, q: Tensor) -> Tensor:
    """1 - 2 Σpq / (Σp² + Σq²), (B,), of (B, n) each; 0 where both are empty.

    Source: Milletari et al., V-Net, 3DV 2016.
    """
    squares = p.square().sum(1) + q.square().sum(1)
    return torch.where(squares > 0, 1 - 2 * (p * q).sum(1) / squares.clamp_min(1e-6), 0.0)


def shifted(x: Tensor, down: int, across: int) -> Tensor:
    """The value of the neighbour `down` rows below and `across` columns to the right; 0 beyond the edge."""
    height, width = x.shape[-2:]
    padded = F.pad(x, (max(-across, 0), max(across, 0), max(-down, 0), max(down, 0)))
    top, left = max(down, 0), max(across, 0)
    return padded[..., top : top + height, left : left + width]


def neighbours(reach: int) -> Iterator[tuple[int, int]]:
    """The steps (down, across) to the eight neighbours at this distance."""
    steps = (-reach, 0, reach)
    return ((down, across) for down in steps for across in steps if down or across)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum((1, 2)) / weights.sum((1, 2)).clamp_min(1)
