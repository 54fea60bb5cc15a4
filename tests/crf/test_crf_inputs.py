"""A wrong input is named in one line; a strange one works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from boxseg.crf import Bilateral, DenseCRF, Gaussian
from boxseg.crf.lattice import Lattice

IMAGE = np.zeros((4, 6, 3), dtype=np.uint8)
SCORES = np.full((2, 4, 6), 0.5, dtype=np.float32)


def spoilt(value: float) -> np.ndarray:
    scores = SCORES.copy()
    scores[1, 2, 3] = value
    return scores


@pytest.mark.parametrize(
    ("image", "scores", "message"),
    [
        (IMAGE[..., :2], SCORES, r"image of shape \(4, 6, 2\), expected \(height, width, 3\)"),
        (IMAGE[:0], SCORES[:, :0], "expected .height, width, 3."),
        (IMAGE.astype(np.float32), SCORES, "expected raw RGB in uint8"),
        (IMAGE, SCORES[:, :3], "6x3 pixels for an image of 6x4"),
        (IMAGE, SCORES[:0], r"expected \(classes, height, width\)"),
        (IMAGE, SCORES.astype(np.int64), "expected floating-point"),
        (IMAGE, spoilt(float("nan")), "contain NaN"),
        (IMAGE, spoilt(float("inf")), "expected 0 to 1"),
        (IMAGE, spoilt(-3.0), "take the softmax of logits"),
        (IMAGE, SCORES[0], "expected 3 dimensions"),
        (IMAGE[None], SCORES[None].repeat(2, 0), "2 probability maps for 1 images"),
        ([IMAGE, IMAGE], [SCORES, SCORES[:, 1:]], "of item 1"),
        ([IMAGE], [SCORES.tolist()], "contain a list"),
    ],
)
def test_bad_arguments(image: Any, scores: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DenseCRF()(image, scores)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Gaussian(sigma=0),
        lambda: Gaussian(sigma=-1),
        lambda: Gaussian(sigma=float("nan")),
        lambda: Gaussian(sigma=(1, 2, 3)),  # type: ignore[arg-type]
        lambda: Gaussian(sigma=1e-46),  # 0 in float32
        lambda: Gaussian(weight=float("inf")),
        lambda: Gaussian(weight=-1e39),  # infinite in float32
        lambda: DenseCRF(compatibility=[[0, 1e38], [1e38, 0]]),
        lambda: Bilateral(sigma_xy=0),
        lambda: Bilateral(sigma_rgb=(3, 3, 0)),
        lambda: DenseCRF(iterations=-1),
        lambda: DenseCRF(clip=0),
    ],
)
def test_bad_parameters(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        make()


@pytest.mark.parametrize(
    ("crf", "name", "rebuild"),
    [
        (
            DenseCRF(gaussian=Gaussian(sigma=1e-4)),
            r"Gaussian\.sigma",
            lambda s: DenseCRF(gaussian=Gaussian(sigma=s)),
        ),
        (
            DenseCRF(bilateral=Bilateral(sigma_rgb=0.01)),
            r"Bilateral\.sigma_rgb",
            lambda s: DenseCRF(bilateral=Bilateral(sigma_rgb=s)),
        ),
        (
            DenseCRF(bilateral=Bilateral(sigma_xy=1e-5)),
            r"Bilateral\.sigma_xy",
            lambda s: DenseCRF(bilateral=Bilateral(sigma_xy=s)),
        ),
        (
            DenseCRF(bilateral=Bilateral(sigma_xy=1e-5, sigma_rgb=1e-5)),
            r"Bilateral\.sigma_xy and sigma_rgb",
            lambda s: DenseCRF(bilateral=Bilateral(sigma_xy=s, sigma_rgb=s)),
        ),
    ],
)
def test_sigma_too_small_names_the_smallest_usable(
    crf: DenseCRF, name: str, rebuild: Callable[[float], DenseCRF]
) -> None:
    rng = np.random.default_rng(0)
    image = rng.choice(np.array([0, 255], dtype=np.uint8), (4, 6, 3))
    with pytest.raises(ValueError, match=rf"{name} too small for 6x4 pixels: use ([\d.e-]+)") as caught:
        crf(image, SCORES)
    least = float(str(caught.value).split("use ")[1].split()[0])
    assert np.isfinite(rebuild(least)(image, SCORES)).all()
    with pytest.raises(ValueError, match="too small"):
        rebuild(least * 0.99)(image, SCORES)


def test_features_beyond_16_bits_are_refused() -> None:
    features = torch.tensor([[0.0, 0.0], [1e5, 0.0]])
    with pytest.raises(ValueError, match="larger"):
        Lattice.of(features)


def test_many_dimensions_need_more_than_one_key() -> None:
    # 9 columns of about 2^11 values: three numbers of 62 bits in a chain.
    rng = np.random.default_rng(1)
    features = torch.from_numpy(rng.integers(0, 90, (400, 9)).astype(np.float32))
    twice = Lattice.of(torch.cat([features, features]))
    assert twice.size == Lattice.of(features).size
    assert torch.equal(twice.points[:, :400], twice.points[:, 400:])
    ones = twice.filter(torch.ones(800, 1))
    torch.testing.assert_close(ones[:400], ones[400:])


def test_empty_batch_and_empty_list() -> None:
    crf = DenseCRF()
    assert crf(IMAGE[None][:0], SCORES[None][:0]).shape == (0, 2, 4, 6)
    assert crf([], []) == []


def test_kernels_can_be_left_out() -> None:
    rng = np.random.default_rng(0)
    scores = rng.dirichlet([1, 1], (4, 6)).transpose(2, 0, 1).astype(np.float32)
    alone = DenseCRF(gaussian=None, bilateral=None)(IMAGE, scores)
    np.testing.assert_allclose(alone, DenseCRF(iterations=0)(IMAGE, scores), atol=1e-6)
    off = DenseCRF(gaussian=Gaussian(weight=0))(IMAGE, scores)
    np.testing.assert_array_equal(off, DenseCRF(gaussian=None)(IMAGE, scores))


def test_num_threads_is_checked() -> None:
    with pytest.raises(ValueError, match="num_threads=0"):
        DenseCRF()(IMAGE, SCORES, num_threads=0)
