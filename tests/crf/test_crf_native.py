"""The compiled path against the torch path, and what is its own: instruction sets, threads, kept memory."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from boxseg.crf import Bilateral, DenseCRF, Gaussian, native
from boxseg.crf.meanfield import Settings

hypothesis = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def compiled() -> None:
    if native.library() is None:
        pytest.skip("installed without the compiled library")


def by_torch(crf: DenseCRF, image: NDArray[np.uint8], scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """The torch path: a gradient is asked for."""
    return crf(image, torch.from_numpy(scores).requires_grad_()).detach().numpy()


def compiled_at(
    level: int, crf: DenseCRF, image: NDArray[np.uint8], scores: NDArray[np.float32]
) -> NDArray[np.float32]:
    engine = native.Engine(level)
    assert engine.build(torch.from_numpy(image), crf._kernels())
    flat = torch.from_numpy(scores).reshape(len(scores), -1)
    q = torch.empty_like(flat)
    engine.infer(flat, Settings(iterations=crf.iterations, clip=crf.clip), q)
    return q.numpy().reshape(scores.shape)


@hypothesis
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    classes=st.integers(1, 40),
    seed=st.integers(0, 99),
    sigmas=st.tuples(st.floats(0.5, 20), st.floats(2, 150), st.floats(1, 60)),
    weights=st.tuples(st.floats(-2, 5), st.floats(0, 10)),
    absent=st.sets(st.integers(0, 39), max_size=30),
)
def test_equals_the_torch_path(
    scene: Callable[..., Any],
    size: tuple[int, int],
    classes: int,
    seed: int,
    sigmas: tuple[float, float, float],
    weights: tuple[float, float],
    absent: set[int],
) -> None:
    image, scores = scene(*size, classes, seed)
    scores[[c for c in absent if c < classes]] = 0
    crf = DenseCRF(
        gaussian=Gaussian(sigma=sigmas[0], weight=weights[0]),
        bilateral=Bilateral(sigma_xy=sigmas[1], sigma_rgb=sigmas[2], weight=weights[1]),
        iterations=3,
    )
    np.testing.assert_allclose(crf(image, scores), by_torch(crf, image, scores), atol=1e-4)


@pytest.mark.parametrize("weight", [30.0, 300.0])
def test_large_weights_do_not_overflow(scene: Callable[..., Any], weight: float) -> None:
    image, scores = scene(20, 20, 5)
    crf = DenseCRF(bilateral=Bilateral(sigma_rgb=20, weight=weight), iterations=3)
    q = crf(image, scores)
    np.testing.assert_allclose(q.sum(0), 1, atol=1e-5)
    assert (q.argmax(0) == by_torch(crf, image, scores).argmax(0)).mean() > 0.99


@pytest.mark.parametrize("classes", [1, 2, 3, 5, 6, 7, 8, 9, 12, 14, 21, 34])
def test_instruction_sets_give_the_same_bits(scene: Callable[..., Any], classes: int) -> None:
    image, scores = scene(33, 47, classes)
    crf = DenseCRF(iterations=4)
    slowest = compiled_at(0, crf, image, scores)
    np.testing.assert_allclose(slowest, by_torch(crf, image, scores), atol=2e-5)
    for level in range(1, len(native.levels())):
        np.testing.assert_array_equal(compiled_at(level, crf, image, scores), slowest)


def test_memory_kept_from_another_image_does_not_show(scene: Callable[..., Any]) -> None:
    crf = DenseCRF(iterations=3)
    sizes = [(20, 30, 3), (20, 30, 3), (30, 20, 21), (7, 9, 2), (20, 30, 2), (64, 64, 6), (20, 30, 3)]
    for seed, (height, width, classes) in enumerate(sizes):
        image, scores = scene(height, width, classes, seed)
        np.testing.assert_array_equal(crf(image, scores), DenseCRF(iterations=3)(image, scores))


def test_kernel_kept_from_the_image_before_is_the_same(scene: Callable[..., Any]) -> None:
    engine = native.Engine()
    image, scores = scene()
    flat = torch.from_numpy(scores).reshape(3, -1)
    kernels: list[list[Gaussian | Bilateral]] = [
        [Gaussian(sigma=3), Bilateral()],
        [Gaussian(sigma=3), Bilateral(sigma_rgb=9)],
        [Gaussian(sigma=2), Bilateral()],
        [Gaussian(sigma=2, weight=1), Bilateral()],
        [Gaussian(sigma=2, weight=1)],
        [Bilateral()],
        [Bilateral(), Gaussian()],
    ]
    for chosen in kernels:
        results = []
        for used in (engine, native.Engine()):
            assert used.build(torch.from_numpy(image), chosen)
            results.append(torch.empty_like(flat))
            used.infer(flat, Settings(iterations=2, clip=1e-5), results[-1])
        assert torch.equal(*results)


def test_threads_change_nothing(scene: Callable[..., Any]) -> None:
    scenes = [scene(30 + s % 3, 41, 3, s) for s in range(12)]
    images, scores = [s[0] for s in scenes], [s[1] for s in scenes]
    crf = DenseCRF(iterations=3)
    one = crf(images, scores, num_threads=1)
    for threads in (2, 5, 50):
        for a, b in zip(one, crf(images, scores, num_threads=threads), strict=True):
            np.testing.assert_array_equal(a, b)


def test_error_in_a_thread_is_raised(scene: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    image, scores = scene()

    def fail(*_: object) -> bool:
        raise MemoryError("not enough")

    monkeypatch.setattr(native.Engine, "build", fail)
    with pytest.raises(MemoryError, match="not enough"):
        DenseCRF()([image, image], [scores, scores], num_threads=2)


def test_a_used_crf_can_be_copied_and_sent(scene: Callable[..., Any]) -> None:
    image, scores = scene()
    crf = DenseCRF(iterations=2)
    q = crf(image, scores)
    for other in (copy.deepcopy(crf), pickle.loads(pickle.dumps(crf))):
        assert other == crf
        np.testing.assert_array_equal(other(image, scores), q)


def test_keys_of_more_than_64_bits_are_left_to_torch(scene: Callable[..., Any]) -> None:
    image, scores = scene()
    image[::2, ::2] = 255
    crf = DenseCRF(bilateral=Bilateral(sigma_xy=0.009, sigma_rgb=0.06), iterations=2)
    assert not native.Engine().build(torch.from_numpy(image), crf._kernels())
    np.testing.assert_allclose(crf(image, scores), by_torch(crf, image, scores), atol=1e-6)


def test_without_the_library_one_warning_and_the_same_answer(
    scene: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image, scores = scene()
    expected = DenseCRF()(image, scores)
    monkeypatch.setattr(native, "_folders", lambda: [tmp_path])
    native.library.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="without its compiled CRF.*install GCC or Clang"):
            q = DenseCRF()(image, scores)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            DenseCRF()(image, scores)
    finally:
        native.library.cache_clear()
    np.testing.assert_allclose(q, expected, atol=2e-5)


def test_library_of_another_version_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "LIBRARY_VERSION", native.LIBRARY_VERSION + 1)
    native.library.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="another version"):
            assert native.library() is None
    finally:
        native.library.cache_clear()


def test_photo(shared_data: Path) -> None:
    """A whole photo, probabilities from its mask: labels equal on every pixel."""
    voc = shared_data / "voc2012" / "VOCdevkit" / "VOC2012"
    name = (voc / "ImageSets/Segmentation/val.txt").read_text().split()[0]
    image = np.asarray(Image.open(voc / "JPEGImages" / f"{name}.jpg").convert("RGB"))
    mask = np.asarray(Image.open(voc / "SegmentationClassAug" / f"{name}.png"))
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.0, (21, *mask.shape)) + 2.5 * (np.arange(21)[:, None, None] == mask)
    scores = (np.exp(logits) / np.exp(logits).sum(0)).astype(np.float32)
    crf = DenseCRF()
    q, expected = crf(image, scores), by_torch(crf, image, scores)
    assert np.array_equal(q.argmax(0), expected.argmax(0))
    assert np.abs(q - expected).max() < 1e-4


def smooth(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """A photo-like image: a few flat regions with soft borders."""
    small = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def test_lattices_of_positions_serve_their_size_and_kernel_only() -> None:
    rng = np.random.default_rng(0)
    cases = []
    for height, width in ((40, 30), (30, 40), (40, 30), (33, 47)):
        for gaussian in (Gaussian(sigma=3, weight=3), Gaussian(sigma=2, weight=3), Gaussian(sigma=3, weight=1)):
            scores = rng.dirichlet(np.ones(3), (height, width)).transpose(2, 0, 1).astype(np.float32)
            cases.append(
                (DenseCRF(gaussian=gaussian), smooth(rng, height, width), np.ascontiguousarray(scores))
            )
    first = [crf(image, scores) for crf, image, scores in cases]
    again = [crf(image, scores) for crf, image, scores in reversed(cases)][::-1]
    for (crf, image, scores), one, two in zip(cases, first, again, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_allclose(one, by_torch(crf, image, scores), atol=5e-5)


@pytest.mark.parametrize("iterations", [1, 2, 5, 6, 10, 11])
def test_pixels_that_seem_certain_still_change_their_minds(iterations: int) -> None:
    rng = np.random.default_rng(iterations)
    crf = DenseCRF(iterations=iterations)
    for seed in range(6):
        image = smooth(rng, 90, 110)
        # A certain background, a box of doubt, certain islands.
        scores = np.full((3, 90, 110), 1e-5, np.float32)
        scores[0] = 1
        scores[:, 20:70, 30:90] = rng.dirichlet(np.ones(3) * 0.5, (50, 60)).transpose(2, 0, 1)
        for _ in range(seed):
            x, y, label = rng.integers(100), rng.integers(80), rng.integers(3)
            scores[:, y : y + 20, x : x + 20] = 1e-5
            scores[label, y : y + 20, x : x + 20] = 1
        q, expected = crf(image, scores), by_torch(crf, image, scores)
        np.testing.assert_allclose(q, expected, atol=2e-4)
        assert (q.argmax(0) != expected.argmax(0)).mean() < 1e-4
