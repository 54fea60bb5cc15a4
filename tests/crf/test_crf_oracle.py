"""The answer is pydensecrf's: stored results of that library on real photos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boxseg.crf import Bilateral, DenseCRF, Gaussian

pytestmark = pytest.mark.usefixtures("path")

CASES = [
    "case0_chelsea_C2_sec",
    "case1_coffee_C3_sec",
    "small0_chelsea_C2_sec",
    "small1_coffee_C3_sec",
    "small2_china_C21_sec",
    "small3_chelsea_C5_deeplabv1",
    "small4_coffee_C21_deeplabv2",
    "small5_china_C2_deeplabv1",
]


def crf_of(params: dict[str, Any], iterations: int) -> DenseCRF:
    return DenseCRF(
        gaussian=Gaussian(sigma=params["pos_sxy"], weight=params["pos_w"]),
        bilateral=Bilateral(sigma_xy=params["bi_sxy"], sigma_rgb=params["bi_srgb"], weight=params["bi_w"]),
        iterations=iterations,
    )


@pytest.mark.parametrize("case", CASES)
def test_equals_pydensecrf(shared_data: Path, case: str) -> None:
    stored = np.load(shared_data / "crf_oracle" / f"{case}.npz")
    params = json.loads(str(stored["params"]))
    expected = {int(k[6:]): stored[k] for k in stored.files if k.startswith("Q_iter")}
    if "Q" in stored.files:
        expected[params["iters"]] = stored["Q"]
    assert 10 in expected
    for iterations, q in expected.items():
        ours = crf_of(params, iterations)(stored["image"], stored["probs"])
        assert ours.dtype == np.float32
        assert np.array_equal(ours.argmax(0), q.argmax(0)), f"labels after {iterations} iterations"
        assert np.abs(ours - q).max() <= 2e-5, f"Q after {iterations} iterations"
