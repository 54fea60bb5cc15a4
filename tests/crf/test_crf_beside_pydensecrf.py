"""The same script on pydensecrf and on ours, where pydensecrf is installed: pip install -e '.[benchmark]'."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import boxseg.crf.pydensecrf.densecrf as ours

theirs = pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf is not installed")

PENALTY = np.array([[-1, 0.5, 2], [0.5, -2, 1], [2, 1, 0.3]], dtype=np.float32)


@pytest.fixture(scope="module")
def photo(shared_data: Path) -> NDArray[np.uint8]:
    file = min((shared_data / "voc2012" / "VOCdevkit" / "VOC2012" / "JPEGImages").glob("*.jpg"))
    return np.ascontiguousarray(np.array(Image.open(file).convert("RGB"))[::3, ::3])


def script(dcrf: ModuleType, photo: NDArray[np.uint8], gaussian: Any, bilateral: Any) -> NDArray[np.float32]:
    """The call of published weakly-supervised code, softmax to labels."""
    height, width = photo.shape[:2]
    rng = np.random.default_rng(0)
    scores = rng.random((3, 6, 8)).repeat(height // 6 + 1, 1).repeat(width // 8 + 1, 2)[:, :height, :width]
    scores = scores + 0.2 * rng.random(scores.shape) + 0.05
    scores /= scores.sum(0)
    d = dcrf.DenseCRF2D(width, height, 3)
    d.setUnaryEnergy(np.ascontiguousarray(-np.log(scores).reshape(3, -1), dtype=np.float32))
    d.addPairwiseGaussian(sxy=3, compat=gaussian)
    d.addPairwiseBilateral(sxy=55, srgb=3, rgbim=photo, compat=bilateral)
    return np.array(d.inference(10)).reshape(scores.shape)


@pytest.mark.parametrize(
    ("gaussian", "bilateral"),
    [(3, 4), (np.float32([-1, -2, -3]), np.float32([-4, -4, -2])), (PENALTY, 2 * PENALTY), (3, PENALTY)],
    ids=["potts", "diagonal", "matrix", "mixed"],
)
def test_the_same_answer(photo: NDArray[np.uint8], gaussian: Any, bilateral: Any) -> None:
    expected = script(theirs, photo, gaussian, bilateral)
    q = script(ours, photo, gaussian, bilateral)
    assert np.array_equal(q.argmax(0), expected.argmax(0))
    assert np.abs(q - expected).max() <= 1e-4


NORMS = ("NO_NORMALIZATION", "NORMALIZE_BEFORE", "NORMALIZE_AFTER", "NORMALIZE_SYMMETRIC")


@pytest.mark.parametrize("kernel", ["CONST_KERNEL", "DIAG_KERNEL", "FULL_KERNEL"])
@pytest.mark.parametrize("normalization", NORMS)
@pytest.mark.parametrize("compat", [3, np.float32([1, 2, 0.5]), PENALTY], ids=["potts", "diagonal", "matrix"])
def test_the_same_steps_and_divergences(normalization: str, kernel: str, compat: Any) -> None:
    scores = np.random.default_rng(0).dirichlet(np.ones(3), 42).T.astype(np.float32)
    found = []
    for dcrf in (theirs, ours):
        d = dcrf.DenseCRF2D(6, 7, 3)
        d.setUnaryEnergy(np.ascontiguousarray(-np.log(scores + 0.01)))
        kinds = {"kernel": getattr(dcrf, kernel), "normalization": getattr(dcrf, normalization)}
        d.addPairwiseGaussian(sxy=2, compat=compat, **kinds)
        q, first, second = d.startInference()
        divergences = [d.klDivergence(q)]
        for _ in range(3):
            d.stepInference(q, first, second)
            divergences.append(d.klDivergence(q))
        found.append((np.array(q), divergences))
    np.testing.assert_allclose(found[1][0], found[0][0], atol=1e-4)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-4, atol=1e-3)
