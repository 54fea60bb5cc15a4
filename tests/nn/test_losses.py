from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor

from boxseg.nn.losses import LOSSES, LossOptions
from boxseg.nn.upsample import upsample_aligned
from boxseg.plugins import LossName
from measure import MEGABYTE, allocated

SHAPE = (2, 4, 5, 6)  # B, L + 1, H, W
OPTIONS = LossOptions(stride=1, temperature=20.0, weight=0.1, gamma=7.0, progress=0.3, detach_confidence=False)
NAMES = list(LOSSES)


def example(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of random cosines; labels that agree on a third of the pixels, with all kinds of 255."""
    generator = torch.Generator().manual_seed(seed)
    logits = 20 * (2 * torch.rand(SHAPE, dtype=torch.float64, generator=generator) - 1)
    pixels = (SHAPE[0], *SHAPE[2:])
    y_crf = torch.randint(0, SHAPE[1], pixels, generator=generator)
    y_ret = torch.where(
        torch.rand(pixels, generator=generator) < 0.3,
        y_crf,
        torch.randint(0, SHAPE[1], pixels, generator=generator),
    )
    y_crf[0, 0, :3] = 255
    y_ret[0, 0, 1:5] = 255
    return logits, y_crf.to(torch.uint8), y_ret.to(torch.uint8)


def reference(name: str, logits: Tensor, y_crf: Tensor, y_ret: Tensor, options: LossOptions) -> float:
    """Section 3.3 as one loop over pixels, in plain floats."""

    def divided(total: float, count: float) -> float:
        return total / count if count else 0.0

    sure: list[float] = []
    crf: list[float] = []
    ret: list[float] = []
    doubtful: list[float] = []
    weights: list[float] = []
    beta = (1 - options.progress) ** 0.9
    for b in range(logits.shape[0]):
        for y in range(logits.shape[2]):
            for x in range(logits.shape[3]):
                c, r = int(y_crf[b, y, x]), int(y_ret[b, y, x])
                if c == 255:
                    continue
                z = [float(value) for value in logits[b, :, y, x]]
                sum_exp = sum(math.exp(value) for value in z)
                p = [math.exp(value) / sum_exp for value in z]
                crf.append(-math.log(p[c]))
                if r != 255:
                    ret.append(-math.log(p[r]))
                if c == r:
                    sure.append(-math.log(p[c]))
                    continue
                entropy = -sum(value * math.log(value) for value in p)
                if name == "nal":
                    similarity = [1 + value / options.temperature for value in z]
                    sigma = (similarity[c] / max(similarity)) ** options.gamma
                    weights.append(sigma)
                    doubtful.append(-sigma * math.log(p[c]))
                elif name == "er":
                    weights.append(1.0)
                    doubtful.append(entropy)
                else:
                    target = [beta * (k == c) + (1 - beta) * p[k] for k in range(len(p))]
                    weights.append(1.0)
                    doubtful.append(-sum(t * math.log(value) for t, value in zip(target, p, strict=True)))
    if name == "ce_crf":
        return divided(sum(crf), len(crf))
    if name == "ce_ret":
        return divided(sum(ret), len(ret))
    certain = divided(sum(sure), len(sure))
    if name == "baseline":
        return certain
    return certain + options.weight * divided(sum(doubtful), sum(weights))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_equations(name: LossName, seed: int) -> None:
    logits, y_crf, y_ret = example(seed)
    for options in (OPTIONS, replace(OPTIONS, weight=2.0, gamma=1.5, progress=0.9, temperature=25.0)):
        expected = reference(name, logits, y_crf, y_ret, options)
        actual = LOSSES[name](logits, y_crf, y_ret, options)
        assert float(actual) == pytest.approx(expected, abs=1e-9)
        wide = LOSSES[name](logits, y_crf.long(), y_ret.long(), options)
        assert torch.equal(wide, actual)


def test_a_detached_confidence_changes_the_gradient_not_the_loss() -> None:
    logits, y_crf, y_ret = example(3)
    logits = logits.requires_grad_()
    fixed = replace(OPTIONS, detach_confidence=True)
    through = LOSSES["nal"](logits, y_crf, y_ret, OPTIONS)
    stopped = LOSSES["nal"](logits, y_crf, y_ret, fixed)
    assert torch.equal(through, stopped)
    (slope,) = torch.autograd.grad(stopped, logits)
    assert not torch.allclose(slope, torch.autograd.grad(through, logits)[0])
    # σ held at its value: the gradient of Σ σ CE / Σ σ is a weighted mean of the gradients of CE.
    doubtful = (y_crf != y_ret) & (y_crf != 255)
    similarity = 1 + logits.detach() / 20
    label = y_crf.long().masked_fill(y_crf == 255, 0)
    sigma = (similarity.gather(1, label[:, None])[:, 0] / similarity.amax(1)) ** 7 * doubtful
    onehot = torch.nn.functional.one_hot(label, SHAPE[1]).movedim(-1, 1)
    sure = ((y_crf == y_ret) & (y_crf != 255)).double()
    pixel = sure / sure.sum() + 0.1 * sigma / sigma.sum()
    expected = pixel[:, None] * (logits.detach().softmax(1) - onehot)
    torch.testing.assert_close(slope, expected)


def test_bootstrapping_moves_from_the_labels_to_the_entropy() -> None:
    logits, y_crf, y_ret = example(4)
    everywhere = torch.full_like(y_ret, 255)
    start = LOSSES["bs"](logits, y_crf, everywhere, replace(OPTIONS, progress=0.0))
    torch.testing.assert_close(start, 0.1 * LOSSES["ce_crf"](logits, y_crf, everywhere, OPTIONS))
    end = LOSSES["bs"](logits, y_crf, everywhere, replace(OPTIONS, progress=1.0))
    torch.testing.assert_close(end, LOSSES["er"](logits, y_crf, everywhere, OPTIONS))


@pytest.mark.parametrize("name", NAMES)
def test_ignored_pixels_have_no_influence(name: LossName) -> None:
    logits, y_crf, y_ret = example(5)
    changed = torch.where((y_crf == 255)[:, None], -logits, logits)
    assert not torch.equal(changed, logits)
    assert torch.equal(
        LOSSES[name](changed, y_crf, y_ret, OPTIONS), LOSSES[name](logits, y_crf, y_ret, OPTIONS)
    )
    logits = logits.requires_grad_()
    (slope,) = torch.autograd.grad(LOSSES[name](logits, y_crf, y_ret, OPTIONS), logits)
    assert torch.all(slope.movedim(1, -1)[y_crf == 255] == 0)


def empty_cases() -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    logits, _, _ = example(6)
    pixels = (SHAPE[0], *SHAPE[2:])
    zero, one, ignored = (torch.full(pixels, value, dtype=torch.uint8) for value in (0, 1, 255))
    opposite = torch.full(SHAPE, -20.0, dtype=torch.float64)  # every cosine is -1
    worst = opposite.clone()
    worst[:, 1] = 20.0  # the label has cosine -1, another class 1: σ = 0 everywhere
    return {
        "S is empty": (logits, zero, one),
        "S is everything": (logits, one, one),
        "all ignored": (logits, ignored, ignored),
        "only Y_ret ignores": (logits, zero, ignored),
        "only Y_crf ignores": (logits, ignored, zero),
        "cosines of -1": (opposite, zero, one),
        "no confidence": (worst, zero, one),
        "one class": (logits[:, :1], zero, ignored),
        "far out of range": (logits * 1e3, zero, one),
    }


@pytest.mark.parametrize("case", empty_cases())
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_every_special_case_is_finite(case: str, name: LossName, dtype: torch.dtype) -> None:
    logits, y_crf, y_ret = empty_cases()[case]
    for gamma in (7.0, 0.5):
        z = logits.to(dtype).requires_grad_()
        loss = LOSSES[name](z, y_crf, y_ret, replace(OPTIONS, gamma=gamma))
        (slope,) = torch.autograd.grad(loss, z)
        assert loss.shape == ()
        assert loss.isfinite()
        assert slope.isfinite().all()
        assert slope.dtype == dtype
        if case in ("all ignored", "only Y_crf ignores"):
            assert loss == 0


@pytest.mark.parametrize("name", NAMES)
def test_gradients(name: LossName) -> None:
    cases = {"ordinary": example(2)} | empty_cases()
    for case in ("ordinary", "S is empty", "S is everything", "all ignored", "only Y_ret ignores"):
        logits, y_crf, y_ret = cases[case]
        z = logits.clone().requires_grad_()
        assert torch.autograd.gradcheck(
            lambda z, crf=y_crf, ret=y_ret: LOSSES[name](z, crf, ret, OPTIONS), (z,)
        ), case


def test_without_a_doubtful_pixel_nal_er_and_bs_are_the_baseline() -> None:
    logits, y_crf, _ = example(7)
    baseline = LOSSES["baseline"](logits, y_crf, y_crf, OPTIONS)
    for name in ("nal", "er", "bs", "ce_crf", "ce_ret"):
        torch.testing.assert_close(LOSSES[name](logits, y_crf, y_crf, OPTIONS), baseline)


def test_every_name_has_a_loss() -> None:
    assert set(LOSSES) == set(get_args(LossName))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(33, 21), (30, 19), (1, 1)])
def test_logits_of_a_stride_are_upsampled(name: LossName, size: tuple[int, int]) -> None:
    """The same loss and gradient as from full-size logits, which the tests above compare with the equations."""
    stride = 4
    generator = torch.Generator().manual_seed(0)
    cells = [-(-(side - 1) // stride) + 1 for side in size]
    logits = 20 * (2 * torch.rand(2, 5, *cells, dtype=torch.float64, generator=generator) - 1)
    y_crf, y_ret = (torch.randint(0, 6, (2, *size), generator=generator).to(torch.uint8) for _ in range(2))
    y_crf[y_crf == 5] = 255
    y_ret[y_ret == 5] = 255
    values, slopes = [], []
    for maps, options in (
        (lambda z: z, replace(OPTIONS, stride=stride)),
        (lambda z: upsample_aligned(z, size, stride), OPTIONS),
    ):
        z = logits.clone().requires_grad_()
        values.append(LOSSES[name](maps(z), y_crf, y_ret, options))
        slopes.append(*torch.autograd.grad(values[-1], z))
    torch.testing.assert_close(*values)
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("name", NAMES)
def test_autocast_changes_nothing(name: LossName) -> None:
    logits, y_crf, y_ret = example(8)
    z = logits.float().requires_grad_()
    exact = torch.autograd.grad(LOSSES[name](z, y_crf, y_ret, OPTIONS), z)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = LOSSES[name](z, y_crf, y_ret, OPTIONS)
    assert torch.equal(torch.autograd.grad(loss, z)[0], exact[0])


@pytest.mark.parametrize("name", NAMES)
def test_no_tensor_has_the_size_of_the_upsampled_logits(name: LossName) -> None:
    """Forward and backward together hold less than 0.4 of it at their peak; where every pixel is doubtful, the
    values of these and their gradient, and where they are."""
    stride, side = 16, 16 * 16 + 1
    logits = torch.rand(2, 21, 17, 17, generator=torch.Generator().manual_seed(0)).requires_grad_()
    full = 2 * 21 * side * side * logits.element_size() / MEGABYTE
    y_crf = torch.ones(2, side, side, dtype=torch.uint8)
    for doubtful, peak in ((0, 0.3), (20, 0.4), (side, 2.6)):
        y_ret = y_crf.clone()
        y_ret[:, :doubtful] = 0

        def work(y_ret: Tensor = y_ret) -> None:
            loss = LOSSES[name](logits, y_crf, y_ret, replace(OPTIONS, stride=stride))
            torch.autograd.grad(loss, logits)

        assert allocated(work) < peak * full
