"""Stage 3: six losses on two pseudo labels per pixel, with one signature.

`loss(logits, y_crf, y_ret, options) -> scalar`. S, the reliable pixels, is where Y_crf and Y_ret agree; the
others are doubtful. A pixel that Y_crf ignores (255: padding, crowds) belongs to neither; one that only
Y_ret ignores is doubtful. A mean over no pixel is 0, with zero gradients, so no image and no batch is special.

Only doubtful pixels, a small part of a batch, are ever copied; the cross-entropy on S works in place.

Source: Oh, Kim, Ham, "Background-Aware Pooling and Noise-Aware Loss", CVPR 2021, section 3.3 and table 5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from boxseg.config import LossName
from boxseg.dataset import IGNORE

# D_c from below: the logarithm of the confidence, and its slope, are infinite at a cosine of -1.
SMALLEST_SIMILARITY = 1e-6


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """What the losses can be told; each takes what it needs. Defaults are those of `boxseg.config`.

    Attributes:
        temperature: T, so that logits / T are cosines (nal).
        weight: λ, weight of the part on doubtful pixels (nal, er, bs).
        gamma: γ, sharpness of the confidence (nal).
        progress: Share of the training that is done, 0..1 (bs).
        detach_confidence: Stop the gradient through the confidence σ (nal).
    """

    temperature: float
    weight: float
    gamma: float
    progress: float
    detach_confidence: bool


Loss = Callable[[Tensor, Tensor, Tensor, LossOptions], Tensor]


def nal(logits: Tensor, y_crf: Tensor, y_ret: Tensor, options: LossOptions) -> Tensor:
    """Noise-aware loss: doubtful pixels count as much as the network finds Y_crf plausible there.

    L = mean over S of CE + λ Σ σ CE / Σ σ over doubtful pixels, both against c* = Y_crf, with
    σ = (D_c* / max_c D_c)^γ and D_c = 1 + cos(φ, W_c).

    Args:
        logits: (B, L + 1, H, W), T cos(φ, W_c).
        y_crf: (B, H, W) integer, 255 ignored.
        y_ret: (B, H, W) integer, 255 doubtful.
        options: Uses temperature, weight, gamma, detach_confidence.

    Source: section 3.3.
    """
    doubtful, label = _doubtful(logits, y_crf, y_ret)
    cosines = (doubtful.detach() if options.detach_confidence else doubtful) / options.temperature
    similarity = (1 + cosines).clamp_min(SMALLEST_SIMILARITY).log()
    log_confidence = similarity.gather(1, label[:, None])[:, 0] - similarity.max(1).values
    # σ / Σ σ, as a softmax of log σ: powers of small similarities underflow, and their quotient with them.
    share = (options.gamma * log_confidence).softmax(0)
    noisy = (share * F.cross_entropy(doubtful, label, reduction="none")).sum()
    return _reliable(logits, y_crf, y_ret) + options.weight * noisy


def er(logits: Tensor, y_crf: Tensor, y_ret: Tensor, options: LossOptions) -> Tensor:
    """Entropy regularisation: mean over S of CE + λ mean entropy of the prediction over doubtful pixels.

    Args:
        logits: (B, L + 1, H, W).
        y_crf: (B, H, W) integer, 255 ignored.
        y_ret: (B, H, W) integer, 255 doubtful.
        options: Uses weight.

    Source: Grandvalet and Bengio, "Semi-supervised learning by entropy minimization", NeurIPS 2004.
    """
    doubtful, _ = _doubtful(logits, y_crf, y_ret)
    return _reliable(logits, y_crf, y_ret) + options.weight * _mean(_entropy(doubtful))


def bs(logits: Tensor, y_crf: Tensor, y_ret: Tensor, options: LossOptions) -> Tensor:
    """Soft bootstrapping: on doubtful pixels the target is β onehot(Y_crf) + (1 - β) prediction.

    β = (1 - progress)^0.9, from the labels alone to the prediction alone. The gradient passes through the
    prediction in the target, as in the source, which makes that part an entropy: with the target held fixed
    its gradient would be exactly zero, and bootstrapping no more than a smaller λ.

    Args:
        logits: (B, L + 1, H, W).
        y_crf: (B, H, W) integer, 255 ignored.
        y_ret: (B, H, W) integer, 255 doubtful.
        options: Uses weight, progress.

    Source: Reed et al., "Training deep neural networks on noisy labels with bootstrapping", ICLR workshop
        2015, soft bootstrapping.
    """
    doubtful, label = _doubtful(logits, y_crf, y_ret)
    beta = (1 - options.progress) ** 0.9
    terms = beta * F.cross_entropy(doubtful, label, reduction="none") + (1 - beta) * _entropy(doubtful)
    return _reliable(logits, y_crf, y_ret) + options.weight * _mean(terms)


def baseline(logits: Tensor, y_crf: Tensor, y_ret: Tensor, options: LossOptions) -> Tensor:
    """Cross-entropy on S only; arguments as in `nal`, uses no option."""
    return _reliable(logits, y_crf, y_ret)


def ce_crf(logits: Tensor, y_crf: Tensor, y_ret: Tensor, options: LossOptions) -> Tensor:
    """Cross-entropy with Y_crf wherever it is not 255; arguments as in `nal`, uses no option."""
    return _cross_entropy(logits, y_crf)


def ce_ret(logits: Tensor, y_crf: Tensor, y_ret: Tensor, options: LossOptions) -> Tensor:
    """Cross-entropy with Y_ret wherever neither label is 255; arguments as in `nal`, uses no option."""
    return _cross_entropy(logits, torch.where(y_crf == IGNORE, IGNORE, y_ret))


LOSSES: dict[LossName, Loss] = {
    "nal": nal,
    "er": er,
    "bs": bs,
    "baseline": baseline,
    "ce_crf": ce_crf,
    "ce_ret": ce_ret,
}


def _reliable(logits: Tensor, y_crf: Tensor, y_ret: Tensor) -> Tensor:
    """L_ce: mean cross-entropy over S."""
    return _cross_entropy(logits, torch.where(y_crf == y_ret, y_crf, IGNORE))


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of logits (B, L + 1, H, W) over labels (B, H, W) that are not 255."""
    # Summed afterwards: the fused mean is 0 / 0 without labels, and not deterministic on a GPU.
    terms = F.cross_entropy(_wide(logits), labels.long(), ignore_index=IGNORE, reduction="none")
    return terms.sum() / (labels != IGNORE).sum().clamp_min(1)


def _doubtful(logits: Tensor, y_crf: Tensor, y_ret: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (n, L + 1) and Y_crf (n,) of the pixels outside S."""
    where = (y_crf != y_ret) & (y_crf != IGNORE)
    return _wide(logits.movedim(1, -1)[where]), y_crf[where].long()


def _wide(logits: Tensor) -> Tensor:
    """At least float32: a half-precision cosine has three digits, its 7th power two."""
    return logits if logits.dtype == torch.float64 else logits.float()


def _entropy(logits: Tensor) -> Tensor:
    """Entropy (n,) of the predictions of logits (n, L + 1)."""
    logarithm = logits.log_softmax(1)
    return -(logarithm.exp() * logarithm).sum(1)


def _mean(terms: Tensor) -> Tensor:
    return terms.sum() / max(len(terms), 1)
