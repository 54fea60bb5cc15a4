"""The usual script, with only its import changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import boxseg.crf.pydensecrf.densecrf as dcrf
from boxseg.crf import native
from boxseg.crf.lattice import Lattice
from boxseg.crf.pydensecrf import eigen
from boxseg.crf.pydensecrf.utils import (
    compute_unary,
    create_pairwise_bilateral,
    create_pairwise_gaussian,
    softmax_to_unary,
    unary_from_labels,
    unary_from_softmax,
)


@pytest.mark.parametrize("case", ["small2_china_C21_sec", "small3_chelsea_C5_deeplabv1"])
def test_the_usual_call_gives_the_stored_answer(shared_data: Path, case: str) -> None:
    stored = np.load(shared_data / "crf_oracle" / f"{case}.npz")
    params = json.loads(str(stored["params"]))
    image, probs = stored["image"], stored["probs"]
    height, width = image.shape[:2]
    d = dcrf.DenseCRF2D(width, height, len(probs))
    d.setUnaryEnergy(unary_from_softmax(probs))
    d.addPairwiseGaussian(sxy=params["pos_sxy"], compat=params["pos_w"])
    d.addPairwiseBilateral(sxy=params["bi_sxy"], srgb=params["bi_srgb"], rgbim=image, compat=params["bi_w"])
    q = np.array(d.inference(10)).reshape(probs.shape)
    assert np.array_equal(q.argmax(0), stored["Q_iter10"].argmax(0))
    assert np.abs(q - stored["Q_iter10"]).max() <= 2e-5


def test_flat_crf_with_features_works(scene: Callable[..., Any]) -> None:
    image, scores = scene(12, 17, 3)
    d = dcrf.DenseCRF(12 * 17, 3)
    d.setUnaryEnergy(unary_from_softmax(scores))
    d.addPairwiseEnergy(create_pairwise_gaussian(sdims=(3, 3), shape=(12, 17)), compat=3)
    d.addPairwiseEnergy(
        create_pairwise_bilateral(sdims=(9, 9), schan=(12, 12, 12), img=image, chdim=2), compat=4
    )
    q = d.inference(5)
    assert q.shape == (3, 12 * 17)
    np.testing.assert_allclose(q.sum(0), 1, atol=1e-5)
    assert (q.argmax(0) != scores.reshape(3, -1).argmax(0)).any()


def test_wide_energies_are_left_to_torch(scene: Callable[..., Any]) -> None:
    _, scores = scene(9, 9, 3)
    narrow, wide = unary_from_softmax(scores), unary_from_softmax(scores)
    wide[2] = 200.0
    results = []
    for energy in (narrow[:2], wide):
        d = dcrf.DenseCRF2D(9, 9, len(energy))
        d.setUnaryEnergy(energy)
        d.addPairwiseGaussian(sxy=2, compat=3)
        results.append(d.inference(4))
    np.testing.assert_allclose(results[1][:2], results[0], atol=1e-5)
    assert results[1][2].max() < 1e-20


def test_unary_from_labels() -> None:
    energy = unary_from_labels(np.array([[0, 1], [2, 3]]), 3, gt_prob=0.7)
    assert energy.shape == (3, 4)
    np.testing.assert_allclose(np.exp(-energy).sum(0), 1, rtol=1e-6)
    np.testing.assert_allclose(np.exp(-energy)[:, 0], 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(np.exp(-energy)[:, 2], [0.15, 0.7, 0.15], rtol=1e-6)
    sure = unary_from_labels(np.array([0, 2]), 3, gt_prob=0.5, zero_unsure=False)
    np.testing.assert_allclose(np.exp(-sure)[:, 0], [0.5, 0.25, 0.25], rtol=1e-6)


def test_features_of_a_grey_image_have_one_channel() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    features = create_pairwise_bilateral(sdims=(1, 2), schan=(4,), img=grey)
    np.testing.assert_allclose(features[0], [0, 0, 0, 1, 1, 1])
    np.testing.assert_allclose(features[1], [0, 0.5, 1, 0, 0.5, 1])
    np.testing.assert_allclose(features[2], np.arange(6) / 4)


def test_unary_from_softmax_scale_and_clip() -> None:
    np.testing.assert_allclose(unary_from_softmax(np.array([[1.0], [0.0]]))[1], -np.log(1e-5), rtol=1e-6)
    mixed = unary_from_softmax(np.array([[1.0], [0.0]]), scale=0.5, clip=None)
    np.testing.assert_allclose(np.exp(-mixed).ravel(), [0.75, 0.25], rtol=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda d: d.setUnaryEnergy(np.zeros((2, 5))),
        lambda d: d.setUnaryEnergy(np.full((3, 12), np.nan)),
        lambda d: d.inference(1),
        lambda d: d.addPairwiseGaussian(sxy=3, compat=np.eye(4)),
        lambda d: d.addPairwiseGaussian(sxy=3, compat=np.ones(2)),
        lambda d: d.addPairwiseGaussian(sxy=3, compat=3, normalization=4),
        lambda d: d.addPairwiseGaussian(sxy=3, compat=3, kernel=3),
        lambda d: d.setUnaryEnergy(np.full((3, 12), np.inf)),
        lambda d: d.klDivergence(np.full((3, 12), 1 / 3)),
        lambda d: eigen.matrixXf(np.zeros((2, 3))),  # of 64 bits
        lambda d: eigen.vectorXf(np.zeros((2, 3), np.float32)),
        lambda d: d.addPairwiseGaussian(sxy=0, compat=3),
        lambda d: d.addPairwiseGaussian(sxy=3, compat=1e39),
        lambda d: d.addPairwiseGaussian(sxy=3, compat=np.full((3, 3), 1e30)),
        lambda d: d.addPairwiseBilateral(sxy=3, srgb=3, rgbim=np.zeros((4, 3, 3)), compat=3),
    ],
)
def test_what_is_not_supported_is_named(call: Callable[[dcrf.DenseCRF2D], object]) -> None:
    with pytest.raises(ValueError, match=r"expected|NaN|setUnaryEnergy"):
        call(dcrf.DenseCRF2D(4, 3, 3))


NORMS = (dcrf.NO_NORMALIZATION, dcrf.NORMALIZE_BEFORE, dcrf.NORMALIZE_AFTER, dcrf.NORMALIZE_SYMMETRIC)
PENALTY = np.float32([[0, 1, 2], [1, 0, 0.5], [2, 0.5, -0.3]])


def small(normalization: int, compat: Any, scene: Callable[..., Any], kernel: int = 1) -> dcrf.DenseCRF2D:
    image, scores = scene(7, 6, 3)
    d = dcrf.DenseCRF2D(6, 7, 3)
    d.setUnaryEnergy(unary_from_softmax(scores))
    d.addPairwiseGaussian(sxy=2, compat=compat, kernel=kernel, normalization=normalization)
    d.addPairwiseBilateral(sxy=4, srgb=30, rgbim=image, compat=2, normalization=normalization)
    return d


@pytest.mark.parametrize("compat", [3, PENALTY])
@pytest.mark.parametrize("normalization", NORMS)
def test_steps_by_hand_are_inference(normalization: int, compat: Any, scene: Callable[..., Any]) -> None:
    """Bit by bit, in compiled code and in torch; what is put in place of Q is where the next step begins."""
    d = small(normalization, compat, scene)
    q, first, second = d.startInference()
    for n in range(8):
        assert np.array_equal(q, small(normalization, compat, scene).inference(n)), n
        assert d.stepInference(q, first, second) is None
    q, first, second = d.startInference()
    q[...] = q[::-1].copy()
    start = q.copy()
    d.stepInference(q, first, second)
    np.testing.assert_allclose(q, slow_step(d, start, normalization, compat, scene), atol=2e-6)


def kernels(normalization: int, scene: Callable[..., Any]) -> list[np.ndarray]:
    """What each pixel gets from each other one, (N, N), normalised; by the lattice, one pixel at a time."""
    image, _ = scene(7, 6, 3)
    places = create_pairwise_gaussian(sdims=(2, 2), shape=(7, 6))[::-1]
    alike = create_pairwise_bilateral(sdims=(4, 4), schan=(30, 30, 30), img=image, chdim=2)[[1, 0, 2, 3, 4]]
    found = []
    for features in (places, alike):
        lattice = Lattice.of(torch.from_numpy(np.ascontiguousarray(features.T)))
        plain = np.stack([lattice.filter(column[:, None]).numpy()[:, 0] for column in torch.eye(42)], axis=1)
        norms = plain.astype(float).sum(axis=1)
        before, after = {0: (0, 0), 1: (1, 0), 2: (0, 1), 3: (0.5, 0.5)}[normalization]
        found.append(norms[:, None] ** -after * plain * norms[None, :] ** -before)
    return found


def compatibilities(compat: Any) -> list[np.ndarray]:
    """Energies of two labels side by side; Potts, up to a constant, is a reward for equal ones."""
    return [-3 * np.eye(3) if np.ndim(compat) == 0 else PENALTY.astype(float), -2 * np.eye(3)]


def slow_step(
    d: dcrf.DenseCRF2D, q: np.ndarray, normalization: int, compat: Any, scene: Callable[..., Any]
) -> np.ndarray:
    """Mean field, algorithm 1, pixel by pixel."""
    energy = unary_from_softmax(scene(7, 6, 3)[1]).astype(float)
    for kernel, penalty in zip(kernels(normalization, scene), compatibilities(compat), strict=True):
        for i in range(42):
            for label in range(3):
                energy[label, i] += sum(
                    penalty[label, other] * kernel[i, j] * q[other, j] for j in range(42) for other in range(3)
                )
    weights = np.exp(-energy)
    return weights / weights.sum(axis=0)


@pytest.mark.parametrize("compat", [3, PENALTY])
@pytest.mark.parametrize("normalization", NORMS)
def test_the_divergence_by_the_equation(normalization: int, compat: Any, scene: Callable[..., Any]) -> None:
    d = small(normalization, compat, scene)
    q = np.random.default_rng(3).dirichlet(np.ones(3), 42).T.astype(np.float32)
    unary = unary_from_softmax(scene(7, 6, 3)[1])
    expected = sum(q[c, i] * (np.log(q[c, i]) + unary[c, i]) for c in range(3) for i in range(42))
    for kernel, penalty in zip(kernels(normalization, scene), compatibilities(compat), strict=True):
        for i in range(42):
            for j in range(42):
                expected += kernel[i, j] * (q[:, i] @ penalty @ q[:, j])
    assert d.klDivergence(q) == pytest.approx(expected, rel=1e-5, abs=1e-4)


def test_mean_field_makes_the_divergence_small(scene: Callable[..., Any]) -> None:
    d = small(dcrf.NORMALIZE_SYMMETRIC, 0.5, scene)
    q, first, second = d.startInference()
    found = [d.klDivergence(q)]
    for _ in range(6):
        d.stepInference(q, first, second)
        found.append(d.klDivergence(q))
    assert found == sorted(found, reverse=True)
    assert found[0] - found[-1] > 1


@pytest.mark.parametrize("kernel", [dcrf.CONST_KERNEL, dcrf.FULL_KERNEL])
def test_types_of_kernels_differ_in_what_can_be_learnt_only(kernel: int, scene: Callable[..., Any]) -> None:
    q = small(dcrf.NORMALIZE_SYMMETRIC, 3, scene, kernel).inference(3)
    assert np.array_equal(q, small(dcrf.NORMALIZE_SYMMETRIC, 3, scene).inference(3))


def test_a_kernel_added_later_counts(scene: Callable[..., Any]) -> None:
    d = small(dcrf.NORMALIZE_SYMMETRIC, 3, scene)
    before, other = d.inference(3), d.klDivergence(d.inference(3))
    d.addPairwiseGaussian(sxy=1, compat=5)
    assert np.abs(d.inference(3) - before).max() > 1e-3
    assert d.klDivergence(before) != pytest.approx(other)


def test_old_names() -> None:
    scores = np.float32([[1, 0.25], [0, 0.75]])
    with pytest.warns(DeprecationWarning, match="use unary_from_softmax instead"):
        whole, half = softmax_to_unary(scores), softmax_to_unary(scores, GT_PROB=0.5)
    np.testing.assert_allclose(np.exp(-whole), scores, rtol=1e-6)
    np.testing.assert_allclose(np.exp(-half), [[0.75, 0.375], [0.25, 0.625]], rtol=1e-6)
    d = dcrf.DenseCRF2D(2, 1, 2)
    d.setUnaryEnergy(whole)
    d.addPairwiseGaussian(sxy=1, compat=1)
    assert d.inference(2)[1, 0] == 0
    with pytest.warns(DeprecationWarning, match="use unary_from_labels instead"):
        energy = compute_unary(np.array([[0, 1], [2, 3]]), 3)
    assert np.array_equal(energy, unary_from_labels(np.array([[0, 1], [2, 3]]), 3, gt_prob=0.5))


def test_matrices_and_unaries() -> None:
    energy = np.float32([[1, 2, 3], [3, 2, 1]])
    given = eigen.matrixXf(energy)
    assert isinstance(given, eigen.MatrixXf)
    given[0, 0] = 7
    assert energy[0, 0] == 1
    assert np.array_equal(eigen.vectorXf(energy[0]), energy[0])
    results = []
    for unary in (dcrf.ConstUnary(energy), dcrf.LogisticUnary(np.eye(2, dtype=np.float32), energy)):
        d = dcrf.DenseCRF(3, 2)
        d.setUnary(unary)
        results.append(d.inference(0))
    weights = np.exp(-energy)
    np.testing.assert_allclose(results, np.stack([weights / weights.sum(0)] * 2), rtol=1e-6)


def test_without_the_compiled_code_steps_are_inference(
    scene: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = small(dcrf.NORMALIZE_SYMMETRIC, 3, scene).inference(4)
    monkeypatch.setattr(native, "library", lambda: None)
    d = small(dcrf.NORMALIZE_SYMMETRIC, 3, scene)
    q, first, second = d.startInference()
    for _ in range(4):
        d.stepInference(q, first, second)
    assert np.array_equal(q, d.inference(4))
    np.testing.assert_allclose(q, compiled, atol=1e-5)
