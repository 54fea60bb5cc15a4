"""Stage 3: six losses on two pseudo labels per pixel, with one signature.

`loss(logits, y_crf, y_ret, options) -> scalar`. S, the reliable pixels, is where Y_crf and Y_ret agree; the
others are doubtful. A pixel that Y_crf ignores (255: padding, crowds) is neither; one that only Y_ret ignores
is doubtful. A mean over no pixel is 0, with zero gradients.

Logits come at the network's stride. They are upsampled to the labels' size and differentiated a few rows at a
time: no tensor has the size of the upsampled logits.

Source: Oh, Kim, Ham, "Background-Aware Pooling and Noise-Aware Loss", CVPR 2021, section 3.3 and table 5.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from boxseg import plugins
from boxseg.dataset import IGNORE
from boxseg.nn.full_size import Chosen, Places, over_full_size

# Smallest D_c: at a cosine of -1 the logarithm of the confidence, and its slope, are infinite.
SMALLEST_SIMILARITY = 1e-6


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """Options of all losses; each uses those it needs. Defaults are those of `boxseg.config`.

    Attributes:
        stride: Pixels between two cells of the logits; all use it.
        temperature: T, so that logits / T are cosines (nal).
        weight: λ, weight of the part on doubtful pixels (nal, er, bs).
        gamma: γ, sharpness of the confidence (nal).
        progress: Share of the training that is done, 0..1 (bs).
        detach_confidence: Stop the gradient through the confidence σ (nal).
        totals: (2,), pixel counts of the whole batch (`count_pixels`), the divisors of the two means if this is
            a part of it; None for a whole batch.
    """

    stride: int
    temperature: float
    weight: float
    gamma: float
    progress: float
    detach_confidence: bool
    totals: Tensor | None = None


Loss = Callable[[Tensor, Tensor, Tensor, LossOptions], Tensor]
OfDoubtful = Callable[[Tensor, Tensor], tuple[Tensor, ...]]


def nal(logits: Tensor, y_crf: Tensor, y_ret: Tensor, options: LossOptions) -> Tensor:
    """Noise-aware loss: doubtful pixels are weighted by how plausible the network finds Y_crf there.

    L = mean over S of CE + λ Σ σ CE / Σ σ over doubtful pixels, both against c* = Y_crf, with
    σ = (D_c* / max_c D_c)^γ and D_c = 1 + cos(φ, W_c).

    Args:
        logits: (B, L + 1, h, w), T cos(φ, W_c).
        y_crf: (B, H, W) integer, 255 ignored.
        y_ret: (B, H, W) integer, 255 doubtful.
        options: Uses stride, temperature, weight, gamma, detach_confidence.

    Source: section 3.3.
    """

    def terms(doubtful: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        cosines = (
            torch.stack([doubtful.gather(1, label[:, None])[:, 0], doubtful.max(1).values])
            / options.temperature
        )
        own, largest = (1 + cosines).clamp_min(SMALLEST_SIMILARITY).log()
        return F.cross_entropy(doubtful, label, reduction="none"), own - largest

    def mean(ce: Tensor, log_confidence: Tensor) -> Tensor:
        # σ / Σ σ, as a softmax of log σ: powers of small similarities would underflow.
        share = (options.gamma * log_confidence).softmax(0)
        if options.detach_confidence:
            share = share.detach()
        noisy = (share * ce).sum()
        if options.totals is not None:
            # Σ σ of the whole batch is not known yet: a part counts by its number of doubtful pixels.
            noisy = noisy * (len(ce) / _positive(options.totals[1]))
        return noisy

    return _loss(logits, y_crf, y_ret, options, terms, mean)


def er(logits: Tensor, y_crf: Tensor, y_ret: Tensor, options: LossOptions) -> Tensor:
    """Entropy regularisation: mean over S of CE + λ mean entropy of the prediction over doubtful pixels.

    Arguments as in `nal`; uses stride and weight.

    Source: Grandvalet and Bengio, "Semi-supervised learning by entropy minimization", NeurIPS 2004.
    """

    def terms(doubtful: Tensor, _: Tensor) -> tuple[Tensor]:
        return (_entropy(doubtful.log_softmax(1)),)

    return _loss(logits, y_crf, y_ret, options, terms, functools.partial(_mean, options))


def bs(logits: Tensor, y_crf: Tensor, y_ret: Tensor, options: LossOptions) -> Tensor:
    """Soft bootstrapping: on doubtful pixels the target is β onehot(Y_crf) + (1 - β) prediction.

    β = (1 - progress)^0.9 moves the target from the labels to the prediction. The gradient passes through the
    prediction in the target, as in the source, which makes that part an entropy: with a fixed target its
    gradient would be exactly zero, and bootstrapping no more than a smaller λ.

    Arguments as in `nal`; uses stride, weight and progress.

    Source: Reed et al., "Training deep neural networks on noisy labels with bootstrapping", ICLR workshop
        2015, soft bootstrapping.
    """
    beta = (1 - options.progress) ** 0.9

    def terms(doubtful: Tensor, label: Tensor) -> tuple[Tensor]:
        log_p = doubtful.log_softmax(1)
        return (beta * F.nll_loss(log_p, label, reduction="none") + (1 - beta) * _entropy(log_p),)

    return _loss(logits, y_crf, y_ret, options, terms, functools.partial(_mean, options))


def baseline(logits: Tensor, y_crf: Tensor, y_ret: Tensor, options: LossOptions) -> Tensor:
    """Cross-entropy on S only; arguments as in `nal`, uses stride alone."""
    return _cross_entropy(logits, _agreed(y_crf, y_ret), options)


def ce_crf(logits: Tensor, y_crf: Tensor, y_ret: Tensor, options: LossOptions) -> Tensor:
    """Cross-entropy with Y_crf wherever it is not 255; arguments as in `nal`, uses stride alone."""
    return _cross_entropy(logits, y_crf, options)


def ce_ret(logits: Tensor, y_crf: Tensor, y_ret: Tensor, options: LossOptions) -> Tensor:
    """Cross-entropy with Y_ret wherever neither label is 255; arguments as in `nal`, uses stride alone."""
    return _cross_entropy(logits, _retrieved(y_crf, y_ret), options)


LOSSES: dict[str, Loss] = {
    "nal": nal,
    "er": er,
    "bs": bs,
    "baseline": baseline,
    "ce_crf": ce_crf,
    "ce_ret": ce_ret,
}


def find_loss(name: str) -> Loss:
    """One of the six, or a plug-in's.

    Raises:
        ConfigError: There is none of this name, or its plug-in cannot be imported.
    """
    if name in LOSSES:
        return LOSSES[name]
    found: Loss = plugins.find("loss", name)
    return found


def count_pixels(loss: str, y_crf: Tensor, y_ret: Tensor) -> Tensor:
    """Counts (2,) of the pixels in the two means of a loss: those with a label to learn, and doubtful ones.

    For a plug-in's loss labels to learn are those of S: both counts sum to pixels that Y_crf does not ignore.
    """
    others = {"ce_crf": y_crf, "ce_ret": _retrieved(y_crf, y_ret)}
    learnt = others.get(loss, _agreed(y_crf, y_ret))
    return torch.stack([(learnt != IGNORE).sum(), ((y_crf != y_ret) & (y_crf != IGNORE)).sum()])


def _agreed(y_crf: Tensor, y_ret: Tensor) -> Tensor:
    """Labels of S, 255 elsewhere."""
    return torch.where(y_crf == y_ret, y_crf, IGNORE)


def _retrieved(y_crf: Tensor, y_ret: Tensor) -> Tensor:
    """Y_ret where neither is 255."""
    return torch.where(y_crf == IGNORE, IGNORE, y_ret)


def _cross_entropy(logits: Tensor, labels: Tensor, options: LossOptions) -> Tensor:
    return _loss(logits, labels, labels, options)


def _loss(
    logits: Tensor,
    y_crf: Tensor,
    y_ret: Tensor,
    options: LossOptions,
    terms: OfDoubtful | None = None,
    mean: Callable[..., Tensor] = torch.mean,
) -> Tensor:
    """Mean cross-entropy over S, plus λ times a mean over the doubtful pixels.

    `terms` gives tensors (m,) from logits (m, L + 1) and Y_crf (m,) int64 of some doubtful pixels; `mean` gives
    a scalar from those of all doubtful pixels.
    """
    doubtful = (y_crf != y_ret) & (y_crf != IGNORE)
    reliable = _agreed(y_crf, y_ret)
    count = _positive((reliable != IGNORE).sum() if options.totals is None else options.totals[0])

    def cross_entropy(full: Tensor, rows: slice) -> tuple[Tensor, Callable[[], Tensor]]:
        label = reliable[:, rows, None]
        known = (label != IGNORE).to(full.dtype)
        label = torch.where(label == IGNORE, 0, label).long()
        log_p = full.log_softmax(2)
        own = log_p.gather(2, label)

        def gradient() -> Tensor:
            return log_p.exp_().scatter_(2, label, own.expm1()).mul_(known)  # p - onehot

        return -(own * known).sum(), gradient

    def of_doubtful(values: Tensor, places: Places) -> tuple[Tensor, ...]:
        assert terms is not None
        return terms(values, y_crf[places].long())

    def weighted(*some: Tensor) -> Tensor:
        return options.weight * mean(*some) * count

    chosen = None if terms is None else Chosen(doubtful, of_doubtful, weighted)
    size = (y_crf.shape[1], y_crf.shape[2])
    return over_full_size(logits, size, options.stride, cross_entropy, chosen) / count


def _entropy(log_p: Tensor) -> Tensor:
    return -(log_p.exp() * log_p).sum(1)


def _mean(options: LossOptions, terms: Tensor) -> Tensor:
    return terms.sum() / (max(len(terms), 1) if options.totals is None else _positive(options.totals[1]))


def _positive(count: Tensor) -> Tensor:
    """A count as a divisor: 1 for none."""
    return torch.where(count > 0, count, 1)
