"""Lattices kept for several unaries, and kernels on features of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from boxseg.crf import Bilateral, DenseCRF, Features, Gaussian

CRF = DenseCRF(gaussian=Gaussian(sigma=2, weight=1), bilateral=Bilateral(sigma_rgb=12), iterations=3)


@pytest.mark.usefixtures("path")
def test_prepared_image_gives_what_a_call_gives(scene: Callable[..., Any]) -> None:
    image, scores = scene()
    prepared = CRF.lattice(image)
    for seed in range(3):
        _, other = scene(seed=seed)
        np.testing.assert_array_equal(prepared(other), CRF(image, other))
    assert isinstance(prepared(torch.from_numpy(scores)), torch.Tensor)
    with pytest.raises(ValueError, match="resize"):
        prepared(scores[:, 1:])


def test_prepared_image_is_differentiable(scene: Callable[..., Any]) -> None:
    image, scores = scene(5, 6)
    probabilities = torch.from_numpy(scores).requires_grad_()
    CRF.lattice(image)(probabilities)[0].sum().backward()
    assert probabilities.grad is not None
    assert probabilities.grad.abs().max() > 0


@pytest.mark.usefixtures("path")
def test_features_of_the_bilateral_kernel_are_the_bilateral_kernel(scene: Callable[..., Any]) -> None:
    image, scores = scene()
    kernel = Bilateral(sigma_xy=9, sigma_rgb=(12, 13, 14), weight=3)
    values = kernel.features(torch.from_numpy(image)).T.reshape(5, *image.shape[:2])
    crf = DenseCRF(bilateral=None, iterations=3)
    ours = crf.lattice(image[..., 0], [Features(values=values.numpy(), weight=3)])(scores)
    np.testing.assert_allclose(ours, DenseCRF(bilateral=kernel, iterations=3)(image, scores), atol=2e-5)


@pytest.mark.parametrize("dimensions", [1, 3, 7, 16])
def test_features_compiled_and_in_torch(scene: Callable[..., Any], dimensions: int) -> None:
    _, scores = scene(20, 21)
    values = np.random.default_rng(0).normal(0, 1.5, (dimensions, 20, 21)).astype(np.float32)
    prepared = DenseCRF(iterations=3).lattice(
        np.zeros((20, 21, 3), np.uint8), [Features(values=values, weight=2)]
    )
    torch_way = prepared(torch.from_numpy(scores).requires_grad_()).detach().numpy()
    np.testing.assert_allclose(prepared(scores), torch_way, atol=2e-5)


def test_depth_separates_what_colour_cannot(scene: Callable[..., Any]) -> None:
    _, scores = scene(30, 40, 2)
    depth = (np.arange(40) > 20).astype(np.float32)[None].repeat(30, 0)
    noisy = np.clip(0.5 + 0.15 * np.stack([1 - 2 * depth, 2 * depth - 1]) + (scores - 0.5) * 0.2, 0, 1)
    grey = np.full((30, 40, 3), 128, np.uint8)
    kernel = Features(values=np.stack([depth * 10, np.zeros_like(depth)]), weight=10)
    q = DenseCRF(gaussian=None, bilateral=None).lattice(grey, [kernel])(noisy)
    assert np.array_equal(q.argmax(0), depth.astype(int))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((4, 6)), "expected .1 to 16, height, width."),
        (np.zeros((17, 4, 6)), "expected .1 to 16"),
        (np.full((2, 4, 6), np.nan), "NaN"),
        (np.zeros((2, 4, 5)), "5x4 pixels for an image of 6x4"),
        (np.full((2, 4, 6), 1e5), "divide them by larger tolerances"),
    ],
)
def test_bad_features(values: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DenseCRF().lattice(np.zeros((4, 6, 3), np.uint8), [Features(values=values, weight=1)])


def test_bad_image() -> None:
    with pytest.raises(ValueError, match="uint8"):
        DenseCRF().lattice(np.zeros((4, 6, 3)))
    with pytest.raises(ValueError, match=r"expected .height, width"):
        DenseCRF(bilateral=None).lattice(np.zeros(4))


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("origin", [(0, 0), (3, 0), (40, 17), (12_345, 9_876)])
def test_the_origin_of_a_window_is_its_place_in_the_lattice(
    scene: Callable[..., Any], origin: tuple[int, int]
) -> None:
    image, scores = scene()
    positions, colours = Gaussian(origin=origin), Bilateral(sigma_xy=9, sigma_rgb=20, origin=origin)
    found = DenseCRF(gaussian=positions, bilateral=colours)(image, scores)
    x, y = np.meshgrid(np.arange(30) + origin[0], np.arange(24) + origin[1])
    places = np.stack([x, y]).astype(np.float32)
    channels = np.moveaxis(image, 2, 0).astype(np.float32) / np.float32(20)
    features = [
        Features(values=places / np.float32(3), weight=3.0),
        Features(values=np.concatenate([places / np.float32(9), channels]), weight=4.0),
    ]
    by_hand = DenseCRF(gaussian=None, bilateral=None).lattice(image, features)(scores)
    np.testing.assert_allclose(found, by_hand, atol=2e-5)
    if origin != (0, 0):
        assert not np.array_equal(found, DenseCRF(bilateral=Bilateral(sigma_xy=9, sigma_rgb=20))(image, scores))
