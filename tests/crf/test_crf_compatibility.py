"""Penalties of one's own for labels side by side, in place of Potts."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from boxseg.crf import Bilateral, DenseCRF, Gaussian, native
from boxseg.crf.inputs import MOST_WEIGHT
from boxseg.crf.lattice import Lattice

KERNELS: dict[str, Any] = {
    "gaussian": Gaussian(sigma=2, weight=1.5),
    "bilateral": Bilateral(sigma_xy=10, sigma_rgb=15, weight=2),
}


def symmetric(classes: int, seed: int, reach: float = 2.0) -> NDArray[np.float64]:
    half = np.random.default_rng(seed).uniform(-reach, reach, (classes, classes))
    return half + half.T


def by_definition(
    image: NDArray[np.uint8], scores: NDArray[np.float32], penalty: NDArray[np.float64], iterations: int
) -> NDArray[np.float64]:
    """Algorithm 1 of Krähenbühl and Koltun with its label transform, label by label, float64."""
    energy = -np.log(np.clip(scores.reshape(len(scores), -1).astype(np.float64), 1e-5, 1))
    classes, pixels = energy.shape
    filters = []
    for kernel in KERNELS.values():
        lattice = Lattice.of(kernel.features(torch.from_numpy(image)))
        k = lattice.filter(torch.eye(pixels, dtype=torch.float64)).numpy()
        norm = 1 / np.sqrt(k.sum(1))
        filters.append(kernel.weight * norm[:, None] * k * norm[None])
    q = np.exp(-energy)
    q /= q.sum(0)
    for _ in range(iterations):
        logits = -energy
        for label in range(classes):
            for other in range(classes):
                for k in filters:
                    logits[label] -= penalty[label, other] * (k @ q[other])
        q = np.exp(logits - logits.max(0))
        q /= q.sum(0)
    return q.reshape(scores.shape)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("classes", [1, 2, 4, 7])
def test_is_the_definition(scene: Callable[..., Any], classes: int) -> None:
    image, scores = scene(11, 13, classes)
    penalty = symmetric(classes, classes)
    q = DenseCRF(**KERNELS, compatibility=penalty, iterations=4)(image, scores)
    np.testing.assert_allclose(q, by_definition(image, scores, penalty, 4), atol=2e-5)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("classes", [2, 3, 21])
def test_potts_written_out_is_potts(scene: Callable[..., Any], classes: int) -> None:
    image, scores = scene(20, 25, classes)
    scores[classes // 2] = 0  # an absent class is not pruned here, and is in the other
    potts = 1 - np.eye(classes)
    plain = DenseCRF(**KERNELS)(image, scores)
    written = DenseCRF(**KERNELS, compatibility=potts)(image, scores)
    np.testing.assert_allclose(written, plain, atol=2e-5)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    classes=st.integers(1, 40),
    seed=st.integers(0, 99),
    reach=st.sampled_from([0.1, 1.0, 300.0]),
    weight=st.floats(-2, 5),
)
def test_compiled_equals_torch(
    scene: Callable[..., Any], size: tuple[int, int], classes: int, seed: int, reach: float, weight: float
) -> None:
    if native.library() is None:
        pytest.skip("installed without the compiled library")
    image, scores = scene(*size, classes, seed)
    crf = DenseCRF(
        gaussian=Gaussian(sigma=2, weight=weight), compatibility=symmetric(classes, seed, reach), iterations=2
    )
    q = crf(image, scores)
    by_torch = crf(image, torch.from_numpy(scores).requires_grad_()).detach().numpy()
    if reach < 100:
        np.testing.assert_allclose(q, by_torch, atol=1e-4)
    else:  # the largest of many huge numbers hangs on their last bits: only that nothing overflows
        np.testing.assert_allclose(q.sum(0), 1, atol=1e-4)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("weight", [MOST_WEIGHT, -MOST_WEIGHT])
@pytest.mark.parametrize("penalties", [None, MOST_WEIGHT, -MOST_WEIGHT])
def test_the_largest_weights_and_penalties_stay_in_range(
    scene: Callable[..., Any], weight: float, penalties: float | None
) -> None:
    image, scores = scene(20, 30, 5)
    crf = DenseCRF(
        gaussian=Gaussian(weight=weight),
        bilateral=Bilateral(weight=weight),
        compatibility=None if penalties is None else penalties * (1 - np.eye(5)),
        iterations=3,
    )
    np.testing.assert_allclose(crf(image, scores).sum(0), 1, atol=1e-4)


@pytest.mark.usefixtures("path")
def test_a_pair_that_attracts_spreads_its_label(scene: Callable[..., Any]) -> None:
    """Where label 2 is cheap beside label 1 it gains around label 1, and only there."""
    image, scores = scene(24, 30, 3)
    attracted = 1 - np.eye(3)
    attracted[1, 2] = attracted[2, 1] = -1
    before = DenseCRF(**KERNELS, compatibility=1 - np.eye(3))(image, scores)
    after = DenseCRF(**KERNELS, compatibility=attracted)(image, scores)
    disc = image[..., 0] > 128
    gained = after[2] - before[2]
    assert gained[disc].mean() > 0.05 > gained[~disc].mean()


def test_a_prepared_image_uses_it(scene: Callable[..., Any]) -> None:
    image, scores = scene(15, 18, 4)
    crf = DenseCRF(**KERNELS, compatibility=symmetric(4, 0))
    np.testing.assert_array_equal(crf.lattice(image)(scores), crf(image, scores))


def test_it_is_differentiable(scene: Callable[..., Any]) -> None:
    image, scores = scene(4, 5, 3)
    crf = DenseCRF(**KERNELS, compatibility=symmetric(3, 1), iterations=2)
    probabilities = torch.from_numpy(scores).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda p: crf(image, p), probabilities, atol=1e-4)


def test_a_crf_with_it_compares_and_travels() -> None:
    crf = DenseCRF(compatibility=torch.eye(2))
    assert crf == DenseCRF(compatibility=[[1, 0], [0, 1]])
    assert crf != DenseCRF()
    assert pickle.loads(pickle.dumps(crf)) == crf


@pytest.mark.parametrize(
    ("compatibility", "message"),
    [
        (np.ones((2, 3)), "expected .classes, classes."),
        (np.ones(2), "expected .classes, classes."),
        (np.ones((0, 0)), "expected .classes, classes."),
        ([[0, 1], [2, 0]], "not symmetric"),
        ([[0, np.nan], [np.nan, 0]], "NaN"),
        ([[0, 1e16], [1e16, 0]], "penalty of 1e.16, expected at most 1e.15"),
    ],
)
def test_bad_penalties_are_named(compatibility: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DenseCRF(compatibility=compatibility)


def test_another_number_of_classes_is_named(scene: Callable[..., Any]) -> None:
    image, scores = scene(5, 5, 3)
    crf = DenseCRF(compatibility=np.eye(2))
    for call in (lambda: crf(image, scores), lambda: crf.lattice(image)(scores)):
        with pytest.raises(ValueError, match="3 classes for a compatibility of 2"):
            call()
