"""A small scene with an edge to follow and noisy probabilities; the two ways to compute."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from boxseg.crf import native

Scene = tuple[NDArray[np.uint8], NDArray[np.float32]]


@pytest.fixture
def scene() -> Callable[..., Scene]:
    """A function (height, width, classes, seed) -> image (H, W, 3) uint8, probabilities (C, H, W) float32."""

    def make(height: int = 24, width: int = 30, classes: int = 3, seed: int = 0) -> Scene:
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:height, :width]
        disc = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(height, width) / 3) ** 2
        colours = np.where(disc[..., None], [200, 60, 40], [60, 90, 160])
        image = np.clip(colours + rng.normal(0, 6, (height, width, 3)), 0, 255).astype(np.uint8)
        logits = rng.normal(0, 1.5, (classes, height, width))
        logits[min(1, classes - 1)] += np.where(disc, 2.0, -2.0)
        scores = np.exp(logits - logits.max(0))
        return image, (scores / scores.sum(0)).astype(np.float32)

    return make


@pytest.fixture(params=["compiled", "torch"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test runs with the compiled library and again without."""
    if request.param == "torch":
        monkeypatch.setattr(native, "usable", lambda scores: False)
    elif native.library() is None:
        pytest.skip("installed without the compiled library")
    return str(request.param)
