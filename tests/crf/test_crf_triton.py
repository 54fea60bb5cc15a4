"""The GPU path against the torch path: in Triton's interpreter, or on a GPU where there is one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from boxseg.crf import Bilateral, DenseCRF, Features, Gaussian, gpu, native

pytest.importorskip("triton", reason="the kernels need Triton, which is made for Linux")

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CRF = DenseCRF(
    gaussian=Gaussian(sigma=2, weight=1), bilateral=Bilateral(sigma_xy=9, sigma_rgb=12, weight=2), iterations=2
)
Images = list[tuple[NDArray[np.uint8], NDArray[np.float32]]]


@pytest.fixture(autouse=True)
def kernels_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "usable", lambda scores: False)
    monkeypatch.setattr(gpu, "DEVICES", ("cuda", "cpu"))
    if DEVICE == "cpu":  # the interpreter's time goes by the number of programs
        monkeypatch.setattr(gpu, "TILE", 2**16)
        monkeypatch.setattr(gpu, "MOST_ROWS", 2**11)
        monkeypatch.setattr(gpu, "SHORT", 2**9)


def on_device(crf: DenseCRF, scenes: Images) -> list[NDArray[np.float32]]:
    results = crf(
        [torch.from_numpy(image).to(DEVICE) for image, _ in scenes],
        [torch.from_numpy(scores).to(DEVICE) for _, scores in scenes],
    )
    return [q.cpu().numpy() for q in results]


def by_torch(crf: DenseCRF, scenes: Images) -> list[NDArray[np.float32]]:
    """The torch path on the CPU, image by image: a gradient is asked for."""
    return [crf(i, torch.from_numpy(s).requires_grad_()).detach().numpy() for i, s in scenes]


def assert_equal(ours: list[NDArray[np.float32]], expected: list[NDArray[np.float32]]) -> None:
    for q, reference in zip(ours, expected, strict=True):
        np.testing.assert_allclose(q, reference, atol=1e-5)
        assert np.array_equal(q.argmax(0), reference.argmax(0))


@pytest.mark.parametrize("classes", [1, 2, 3, 21])
def test_batch(scene: Callable[..., Any], classes: int) -> None:
    scenes = [scene(15, 18, classes, seed) for seed in range(3)]
    images, scores = (torch.from_numpy(np.stack(part)).to(DEVICE) for part in zip(*scenes, strict=True))
    q = CRF(images, scores)
    assert q.shape == scores.shape
    assert q.device == scores.device
    assert_equal(list(q.cpu().numpy()), by_torch(CRF, scenes))


def test_images_of_different_sizes_and_classes(scene: Callable[..., Any]) -> None:
    scenes = [
        scene(*size)
        for size in [(14, 11, 3), (1, 1, 3), (7, 9, 5, 1), (1, 17, 1), (14, 11, 2, 2), (8, 8, 4), (1, 1, 1)]
    ]
    assert_equal(on_device(CRF, scenes), by_torch(CRF, scenes))


def test_many_programs_and_points_with_many_entries(
    scene: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "TILE", 64)
    monkeypatch.setattr(gpu, "MOST_ROWS", 16)
    monkeypatch.setattr(gpu, "SHORT", 32)
    crf = DenseCRF(
        gaussian=Gaussian(sigma=1), bilateral=Bilateral(sigma_xy=20, sigma_rgb=200, weight=1), iterations=1
    )
    scenes = [scene(9, 9, 3), scene(1, 6, 3)]
    counts = gpu.Batch([torch.from_numpy(i) for i, _ in scenes], crf._kernels())._starts.diff()
    assert counts.max() > 64
    assert counts.min() < 32
    assert_equal(on_device(crf, scenes), by_torch(crf, scenes))


def test_a_result_depends_on_no_other_image_and_no_chance(
    scene: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes = [scene(10, 12, 3, seed) for seed in range(2)] + [scene(7, 9, 3)]
    together = on_device(CRF, scenes)
    again = on_device(CRF, scenes[::-1])[::-1]
    monkeypatch.setattr(gpu, "PIXELS_AT_ONCE", 10 * 12 * 2)
    in_two_runs = on_device(CRF, scenes)
    for other in (again, in_two_runs):
        assert all(np.array_equal(*pair) for pair in zip(other, together, strict=True))


@given(counts=st.lists(st.integers(1, 2**23 + 5)))
def test_runs_cover_all_images_in_order(counts: list[int]) -> None:
    runs = list(gpu._runs(counts))
    assert [number for start, stop in runs for number in range(start, stop)] == list(range(len(counts)))
    assert all(stop - start == 1 or sum(counts[start:stop]) <= gpu.PIXELS_AT_ONCE for start, stop in runs)


def test_absent_classes_are_those_of_each_image(scene: Callable[..., Any]) -> None:
    scenes = [scene(12, 14, 6, seed) for seed in range(4)]
    for (_, scores), absent in zip(scenes, [[], [0, 4], [1, 2, 3], range(6)], strict=True):
        scores[list(absent)] = 0
    assert_equal(on_device(CRF, scenes), by_torch(CRF, scenes))


@pytest.mark.parametrize("absent", [[], [1]])
def test_compatibility(scene: Callable[..., Any], absent: list[int]) -> None:
    image, scores = scene(12, 14, 3)
    scores[absent] = 0
    matrix = np.array([[0, 1, 2], [1, 0.5, 0.25], [2, 0.25, -1]], dtype=np.float32)
    crf = DenseCRF(bilateral=Bilateral(sigma_rgb=12), iterations=2, compatibility=matrix)
    assert_equal(on_device(crf, [(image, scores)] * 2), by_torch(crf, [(image, scores)] * 2))


@pytest.mark.parametrize(
    "crf",
    [
        DenseCRF(iterations=0),
        DenseCRF(gaussian=None, iterations=2),
        DenseCRF(bilateral=None, iterations=2),
        DenseCRF(gaussian=Gaussian(weight=-2), bilateral=Bilateral(sigma_rgb=20, weight=30), iterations=2),
        DenseCRF(bilateral=Bilateral(sigma_xy=(0.3, 2), sigma_rgb=(0.5, 3, 90)), iterations=2),
        DenseCRF(clip=1e-30, iterations=1),
    ],
    ids=["no iterations", "bilateral", "gaussian", "weights", "sigmas", "clip"],
)
def test_parameters(scene: Callable[..., Any], crf: DenseCRF) -> None:
    scenes = [scene(11, 13, 3), scene(6, 5, 3)]
    assert_equal(on_device(crf, scenes), by_torch(crf, scenes))


@pytest.mark.parametrize("dimensions", [1, 16])
def test_features_of_a_prepared_image(scene: Callable[..., Any], dimensions: int) -> None:
    image, scores = scene(8, 9)
    values = np.random.default_rng(0).normal(0, 1.5, (dimensions, 8, 9)).astype(np.float32)
    prepared = CRF.lattice(image, [Features(values=values, weight=2)])
    for factor in (1, 0.5):
        given_scores = torch.from_numpy(scores * np.float32(factor))
        expected = prepared(given_scores.clone().requires_grad_()).detach()
        np.testing.assert_allclose(prepared(given_scores.to(DEVICE)).cpu(), expected, atol=1e-5)


def test_other_types(scene: Callable[..., Any]) -> None:
    image, scores = scene(6, 7)
    half = CRF(image, torch.from_numpy(scores).half().to(DEVICE))
    assert half.dtype == torch.float16
    np.testing.assert_allclose(half.cpu(), by_torch(CRF, [(image, scores)])[0], atol=5e-3)
    assert CRF(image, torch.from_numpy(scores).double().to(DEVICE)).dtype == torch.float64


def test_a_gradient_takes_the_torch_path(scene: Callable[..., Any]) -> None:
    image, scores = scene(5, 6)
    probabilities = torch.from_numpy(scores).to(DEVICE).requires_grad_()
    CRF(image, probabilities)[0].sum().backward()
    assert probabilities.grad is not None
    assert probabilities.grad.abs().max() > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", ["small0_chelsea_C2_sec", "small2_china_C21_sec", "small3_chelsea_C5_deeplabv1"]
)
def test_equals_pydensecrf(shared_data: Path, case: str) -> None:
    stored = np.load(shared_data / "crf_oracle" / f"{case}.npz")
    params = json.loads(str(stored["params"]))
    crf = DenseCRF(
        gaussian=Gaussian(sigma=params["pos_sxy"], weight=params["pos_w"]),
        bilateral=Bilateral(sigma_xy=params["bi_sxy"], sigma_rgb=params["bi_srgb"], weight=params["bi_w"]),
    )
    [q] = on_device(crf, [(stored["image"], stored["probs"])])
    assert np.array_equal(q.argmax(0), stored["Q_iter10"].argmax(0))
    assert np.abs(q - stored["Q_iter10"]).max() <= 2e-5


@pytest.mark.parametrize("installed", ["no", "3.2.0"])
def test_without_a_triton_that_will_do_torch_does_it(
    scene: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, installed: str
) -> None:
    scenes = [scene(6, 7)]
    monkeypatch.delitem(sys.modules, "boxseg.crf.gpu_kernels", raising=False)
    if installed == "no":
        monkeypatch.setitem(sys.modules, "boxseg.crf.gpu_kernels", None)
    else:
        monkeypatch.setattr("triton.__version__", installed)
    monkeypatch.delattr("boxseg.crf.gpu_kernels", raising=False)
    gpu.triton_kernels.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="pip install triton"):
            q = on_device(CRF, scenes)
    finally:
        gpu.triton_kernels.cache_clear()
    assert_equal(q, by_torch(CRF, scenes))


def test_triton_is_not_imported_before_it_is_needed() -> None:
    program = "import sys, boxseg.crf; sys.exit('triton' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_kernels_compile_for_a_gpu(tmp_path: Path) -> None:
    # What the interpreter accepts the compiler may not: that of Triton 3.7 could not carry a tensor of Booleans
    # through the blur's loop.
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    environment.pop("TRITON_INTERPRET", None)
    program = Path(__file__).with_name("compile_gpu_kernels.py")
    done = subprocess.run(
        [sys.executable, program], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("cubin") == 16
