"""Stage 3, section 3.3: the six losses, each on maps of full size.

Every function takes logits (B, L + 1, H, W), Y_crf and Y_ret (B, H, W) with 255 ignored.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

IGNORE = 255


def nal(
    logits: Tensor, y_crf: Tensor, y_ret: Tensor, temperature: float, weight: float, gamma: float
) -> Tensor:
    """CE on S + λ Σ σ CE / Σ σ elsewhere, σ = (D_c* / max D)^γ, D = 1 + cos."""
    reliable, doubtful = regions(y_crf, y_ret)
    similarity = 1 + logits / temperature
    confidence = (of_label(similarity, y_crf) / similarity.max(1).values) ** gamma * doubtful
    ce = cross_entropy(logits, y_crf)
    return mean(ce, reliable) + weight * (confidence * ce).sum() / confidence.sum()


def er(logits: Tensor, y_crf: Tensor, y_ret: Tensor, weight: float) -> Tensor:
    """CE on S + λ entropy elsewhere."""
    reliable, doubtful = regions(y_crf, y_ret)
    prediction = logits.softmax(1)
    entropy = -(prediction * logits.log_softmax(1)).sum(1)
    return mean(cross_entropy(logits, y_crf), reliable) + weight * mean(entropy, doubtful)


def bs(logits: Tensor, y_crf: Tensor, y_ret: Tensor, weight: float, progress: float) -> Tensor:
    """CE on S + λ CE with the target β onehot(Y_crf) + (1 - β) prediction elsewhere, β = (1 - progress)^0.9."""
    reliable, doubtful = regions(y_crf, y_ret)
    beta = (1 - progress) ** 0.9
    onehot = torch.zeros_like(logits).scatter(1, labels_of(y_crf)[:, None], 1)
    target = beta * onehot + (1 - beta) * logits.softmax(1)
    soft = -(target * logits.log_softmax(1)).sum(1)
    return mean(cross_entropy(logits, y_crf), reliable) + weight * mean(soft, doubtful)


def baseline(logits: Tensor, y_crf: Tensor, y_ret: Tensor) -> Tensor:
    """CE on S."""
    return mean(cross_entropy(logits, y_crf), regions(y_crf, y_ret)[0])


def ce_crf(logits: Tensor, y_crf: Tensor, y_ret: Tensor) -> Tensor:
    """CE with Y_crf."""
    return mean(cross_entropy(logits, y_crf), y_crf != IGNORE)


def ce_ret(logits: Tensor, y_crf: Tensor, y_ret: Tensor) -> Tensor:
    """CE with Y_ret."""
    return mean(cross_entropy(logits, y_ret), (y_crf != IGNORE) & (y_ret != IGNORE))


def losses(
    temperature: float, weight: float, gamma: float, progress: float
) -> dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]]:
    """The six by name, as functions of logits and both labels."""
    return {
        "nal": lambda x, a, b: nal(x, a, b, temperature, weight, gamma),
        "er": lambda x, a, b: er(x, a, b, weight),
        "bs": lambda x, a, b: bs(x, a, b, weight, progress),
        "baseline": baseline,
        "ce_crf": ce_crf,
        "ce_ret": ce_ret,
    }


def regions(y_crf: Tensor, y_ret: Tensor) -> tuple[Tensor, Tensor]:
    """S, where both labels agree, and where they do not (B, H, W)."""
    known = y_crf != IGNORE
    return known & (y_crf == y_ret), known & (y_crf != y_ret)


def labels_of(y: Tensor) -> Tensor:
    """Labels as indices; ignored pixels, masked out later, have 0."""
    return torch.where(y == IGNORE, 0, y).long()


def of_label(maps: Tensor, y: Tensor) -> Tensor:
    """Values (B, H, W) of maps (B, L + 1, H, W) at each pixel's label."""
    return maps.gather(1, labels_of(y)[:, None])[:, 0]


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """-log softmax of the label at each pixel, (B, H, W)."""
    return -of_label(logits.log_softmax(1), y)


def mean(values: Tensor, where: Tensor) -> Tensor:
    """Mean of values (B, H, W) where a mask is True."""
    return (values * where).sum() / where.sum()
