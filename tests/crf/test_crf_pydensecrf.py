"""The usual script, with only its import changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import boxseg.crf.pydensecrf.densecrf as dcrf
from boxseg.crf.pydensecrf.utils import (
    create_pairwise_bilateral,
    create_pairwise_gaussian,
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
        lambda d: d.addPairwiseGaussian(sxy=3, compat=3, normalization=dcrf.NO_NORMALIZATION),
        lambda d: d.addPairwiseGaussian(sxy=0, compat=3),
        lambda d: d.addPairwiseBilateral(sxy=3, srgb=3, rgbim=np.zeros((4, 3, 3)), compat=3),
    ],
)
def test_what_is_not_supported_is_named(call: Callable[[dcrf.DenseCRF2D], object]) -> None:
    with pytest.raises(ValueError, match=r"expected|NaN|setUnaryEnergy"):
        call(dcrf.DenseCRF2D(4, 3, 3))
