"""What holds for every image and every set of probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_crf_exact import exact_mean_field

from boxseg.crf import Bilateral, DenseCRF, Gaussian
from boxseg.crf.lattice import Lattice
from boxseg.crf.meanfield import mean_field, unary_energy

pytestmark = pytest.mark.usefixtures("path")

SMALL = DenseCRF(
    gaussian=Gaussian(sigma=2, weight=1), bilateral=Bilateral(sigma_xy=9, sigma_rgb=12, weight=2), iterations=4
)
hypothesis = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@hypothesis
@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    classes=st.integers(1, 6),
    seed=st.integers(0, 99),
    iterations=st.integers(0, 3),
)
def test_marginals_are_probabilities(
    scene: Callable[..., Any], height: int, width: int, classes: int, seed: int, iterations: int
) -> None:
    image, scores = scene(height, width, classes, seed)
    q = DenseCRF(iterations=iterations)(image, scores)
    assert q.shape == scores.shape
    assert (q >= 0).all()
    np.testing.assert_allclose(q.sum(0), 1, atol=1e-5)


@hypothesis
@given(order=st.permutations(range(4)), seed=st.integers(0, 99))
def test_order_of_classes_is_free(scene: Callable[..., Any], order: list[int], seed: int) -> None:
    image, scores = scene(9, 11, 4, seed)
    np.testing.assert_allclose(SMALL(image, scores[order]), SMALL(image, scores)[order], atol=2e-5)


def test_no_iterations_give_the_normalised_probabilities(scene: Callable[..., Any]) -> None:
    image, scores = scene(classes=4)
    clipped = np.clip(scores, 1e-5, 1)
    q = DenseCRF(iterations=0)(image, scores)
    np.testing.assert_allclose(q, clipped / clipped.sum(0), rtol=1e-5, atol=1e-7)


def test_one_pixel_keeps_its_own_message() -> None:
    scores = np.array([0.7, 0.3], dtype=np.float32).reshape(2, 1, 1)
    image = np.full((1, 1, 3), 77, dtype=np.uint8)
    q = DenseCRF(iterations=3)(image, scores)
    # A lone pixel: K = 1 after normalisation, so every iteration adds (3 + 4)·Q to its logits.
    np.testing.assert_allclose(q, exact_mean_field(image, scores, [Gaussian(), Bilateral()], 3), atol=1e-5)


def test_one_class_is_certain(scene: Callable[..., Any]) -> None:
    image, scores = scene(7, 5, classes=1)
    np.testing.assert_array_equal(DenseCRF()(image, scores), np.ones((1, 7, 5), dtype=np.float32))


@pytest.mark.parametrize("absent", [[2], [0, 3], [0, 1, 2, 3, 4]])
def test_absent_classes_change_nothing_but_the_cost(scene: Callable[..., Any], absent: list[int]) -> None:
    image, scores = scene(classes=5)
    scores[absent] = 1e-6
    q = SMALL(image, scores)
    flat = torch.from_numpy(scores).reshape(5, -1)
    kernels = [
        (Lattice.of(k.features(torch.from_numpy(image))), k.weight) for k in (SMALL.gaussian, SMALL.bilateral)
    ]
    whole = (
        mean_field(unary_energy(flat, SMALL.clip), kernels, SMALL.iterations).T.reshape(scores.shape).numpy()
    )
    np.testing.assert_allclose(q, whole, atol=2e-6)
    assert np.array_equal(q.argmax(0), whole.argmax(0))


def test_batch_list_and_single_agree(scene: Callable[..., Any]) -> None:
    scenes = [scene(seed=s) for s in range(3)]
    images, scores = (np.stack(part) for part in zip(*scenes, strict=True))
    batch = SMALL(images, scores)
    assert batch.shape == scores.shape
    for i, (image, score) in enumerate(scenes):
        np.testing.assert_array_equal(batch[i], SMALL(image, score))
    mixed = [scenes[0], scene(13, 8, seed=5)]
    results = SMALL([m[0] for m in mixed], [m[1] for m in mixed], 2)
    assert [r.shape for r in results] == [m[1].shape for m in mixed]
    np.testing.assert_array_equal(results[1], SMALL(*mixed[1]))


def test_kind_and_type_follow_the_probabilities(scene: Callable[..., Any]) -> None:
    image, scores = scene()
    q = SMALL(image, scores)
    tensor = SMALL(torch.from_numpy(image), torch.from_numpy(scores))
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(tensor.numpy(), q)
    double = SMALL(image, scores.astype(np.float64))
    assert double.dtype == np.float64
    np.testing.assert_allclose(double, q, atol=1e-5)
    assert SMALL(image, torch.from_numpy(scores).half()).dtype == torch.float16


def test_arguments_stay_as_they_are(scene: Callable[..., Any]) -> None:
    image, scores = scene()
    before = image.copy(), scores.copy()
    image.flags.writeable = scores.flags.writeable = False
    SMALL(image, scores)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(scores, before[1])


def test_views_with_other_strides_work(scene: Callable[..., Any]) -> None:
    image, scores = scene()
    mirrored = SMALL(image[:, ::-1], scores[:, :, ::-1])
    np.testing.assert_array_equal(mirrored, SMALL(image[:, ::-1].copy(), scores[:, :, ::-1].copy()))
    moved = torch.from_numpy(scores).permute(1, 2, 0).contiguous().permute(2, 0, 1)
    np.testing.assert_array_equal(SMALL(image, moved).numpy(), SMALL(image, scores))


def test_gradient_with_respect_to_the_probabilities(scene: Callable[..., Any]) -> None:
    image, scores = scene(4, 5, classes=3)
    crf = DenseCRF(gaussian=Gaussian(weight=1), bilateral=Bilateral(sigma_rgb=20, weight=1), iterations=2)
    probabilities = torch.from_numpy(scores).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda p: crf(image, p), (probabilities,))
