"""Numbers and names that another program would refuse in a traceback are refused as options."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch

from boxseg.config import PRECISIONS, SHORT_PRECISIONS, Crf, Optimiser, TrainerOptions
from boxseg.errors import ConfigError
from boxseg.inference.devices import torch_devices
from boxseg.inference.refine import refine
from boxseg.options import build_job, parse_words
from boxseg.training.loop import Task


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("precision=foo", r"unknown trainer\.precision=foo \(one of 32-true, 16-mixed, bf16-mixed, "),
        ("precision=bf16-mixd", "did you mean 'bf16-mixed'"),
        ("seed=99999999999999999999", r"trainer\.seed must be 0 or more and below 4294967296, got 9999"),
        ("momentum=-1", r"optimiser\.momentum must be from 0 to below 1, got -1"),
        ("momentum=1", r"optimiser\.momentum must be from 0 to below 1, got 1"),
        ("momentum=nan", r"optimiser\.momentum must be from 0 to below 1, got nan"),
        ("lr=inf", r"optimiser\.lr must be positive, got inf"),
        ("weight_decay=-1", r"optimiser\.weight_decay must be 0 or more, got -1"),
        ("new_lr=-1", r"optimiser\.new_lr must be 0 or more, got -1"),
        ("bias_lr=-1", r"optimiser\.bias_lr must be 0 or more, got -1"),
    ],
)
def test_of_a_training(word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_job("classify", parse_words(["data=d", "out=o", word], "classify"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma_xy": 0.0}, r"crf\.sigma_xy must be positive, 1e-30 to 1e\+30, got 0"),
        ({"sigma_rgb": float("inf")}, r"crf\.sigma_rgb must be positive, .*, got inf"),
        ({"gaussian_sigma": -1.0}, r"crf\.gaussian_sigma must be positive, .*, got -1"),
        ({"gaussian_sigma": 1e-45}, r"crf\.gaussian_sigma must be positive, .*, got 1e-45"),
        ({"bilateral_weight": float("nan")}, r"crf\.bilateral_weight must be a number from .*, got nan"),
        ({"gaussian_weight": 1e39}, r"crf\.gaussian_weight must be a number from .* to 1e\+15, got 1e\+39"),
    ],
)
def test_of_the_crf(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Crf(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Crf(sigma_xy=1e-9), r"crf\.sigma_xy too small for 9x7 pixels: use .* or more"),
        (Crf(gaussian_sigma=1e-9), r"crf\.gaussian_sigma too small for 9x7 pixels: use .* or more"),
    ],
)
def test_a_reach_too_small_for_a_photo(options: Crf, message: str) -> None:
    photo, scores = torch.zeros(7, 9, 3, dtype=torch.uint8), torch.full((2, 7, 9), 0.5)
    with pytest.raises(ConfigError, match=message):
        refine(options, [photo], [scores])
    assert refine(replace(options, enabled=False), [photo], [scores])[0] is scores


def test_every_precision_of_lightning_is_known() -> None:
    from lightning.fabric.plugins.precision import precision

    theirs: list[Any] = [*get_args(precision._PRECISION_INPUT_STR), *get_args(precision._PRECISION_INPUT_INT)]
    theirs += get_args(precision._PRECISION_INPUT_STR_ALIAS)
    half = {"16-true", "bf16-true"}
    assert {str(name) for name in theirs} == {*PRECISIONS, *half}
    for name in half:
        with pytest.raises(ConfigError, match=f"would also round the corners of boxes: take {name[:-4]}mixed"):
            TrainerOptions(precision=name)
    assert precision._PRECISION_INPUT_STR_ALIAS_CONVERSION == SHORT_PRECISIONS
    for name in PRECISIONS:
        assert TrainerOptions(precision=name).precision in get_args(precision._PRECISION_INPUT_STR)
    job = build_job("classify", parse_words(["data=d", "out=o", "precision=16"], "classify"))
    assert job.trainer.precision == "16-mixed"  # type: ignore[union-attr]


def test_learning_without_momentum_or_from_fixed_weights_is_none_of_these() -> None:
    Optimiser(momentum=0, weight_decay=0, new_lr=0, bias_lr=0)
    TrainerOptions(seed=2**32 - 1)


@pytest.mark.parametrize("name", ["mps", "xpu", "meta"])
def test_a_device_that_is_not_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=rf"trainer\.accelerator={name}: torch finds no such device"):
        torch_devices(TrainerOptions(accelerator=name))


def test_what_lightning_finds_wrong_with_a_device(tmp_path: Path) -> None:
    """It has no single GPUs by name, as torch has."""
    task = Task(
        module=SimpleNamespace(stage="classify", iterations=1),  # type: ignore[arg-type]
        images=None,  # type: ignore[arg-type]
        sampler=SimpleNamespace(epochs=1),  # type: ignore[arg-type]
        trainer=TrainerOptions(accelerator="cuda:0"),
        folder=tmp_path,
        every=1,
        callbacks=(),
    )
    with pytest.raises(
        ConfigError, match=r"accelerator=cuda:0 with trainer\.precision=32-true does not work on this machine"
    ):
        task.alone(1)


def test_one_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert torch_devices(TrainerOptions(accelerator="mps")) == [torch.device("mps")]
