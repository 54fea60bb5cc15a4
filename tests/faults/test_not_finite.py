"""Weights and probabilities that are no numbers end a command, and are never saved."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors import safe_open

import boxseg
from boxseg.cli import execute
from boxseg.data.toy import write_toy
from boxseg.errors import CheckpointError, NotFiniteError
from boxseg.inference.mask_networks import shipped_weights
from boxseg.nn.deeplab import Segmenter
from boxseg.nn.mask_network import MaskNetwork
from boxseg.nn.weights.files import embedded_lite0, read_state
from boxseg.runs.layout import LAST
from boxseg.training.box_classifier import BoxClassifierModule
from boxseg.training.checkpoints import last_checkpoint

SMALL = ("iterations=4", "batch=2", "crop=33", "model.weights=none", "workers=0", "checkpoint_every=2")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set and a network."""
    home = tmp_path_factory.mktemp("run")
    write_toy(home / "data", train=2, val=3, size=64)
    words = ["segment", f"data={home}/data", f"out={home}/s", "val_split=", "labels=ground-truth", *SMALL]
    assert execute(words) == 0
    return home


def spoil(file: Path, to: Path, value: float) -> str:
    """A copy of a checkpoint with one value that is no number; returns the tensor's name."""
    tensors = safetensors.torch.load_file(file)
    with safe_open(file, "pt") as opened:
        header = opened.metadata()
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point() and tensor.numel() > 9)
    tensors[name].view(-1)[7] = value
    safetensors.torch.save_file(tensors, to, header)
    return name


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_checkpoint_is_refused(value: float, run: Path, tmp_path: Path) -> None:
    name = spoil(run / "s" / "model.safetensors", tmp_path / "bad.safetensors", value)
    with pytest.raises(CheckpointError, match=rf"bad\.safetensors holds values in {name} that are no numbers"):
        boxseg.load(tmp_path / "bad.safetensors")
    spoil(shipped_weights(), tmp_path / "masks.safetensors", value)
    with pytest.raises(CheckpointError, match="no numbers"):
        boxseg.Masker(tmp_path / "masks.safetensors")


def test_weights_to_start_from_are_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = read_state(embedded_lite0())
    state["_conv_stem.weight"][0, 0, 0, 0] = math.nan
    torch.save(state, tmp_path / "bad.pth")
    words = ["classify", f"data={run}/data", f"out={tmp_path}/c", f"model.weights={tmp_path}/bad.pth"]
    assert execute(words) == 2
    assert f"model.weights={tmp_path}/bad.pth holds values in _conv_stem.weight" in capsys.readouterr().err


@pytest.mark.parametrize("crf", ["true", "false"])
@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_predictions_name_the_photo(
    verb: str,
    crf: str,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    logits, photos = Segmenter.logits, (run / "data/ImageSets/Segmentation/val.txt").read_text().split()
    seen: list[int] = []

    def overflowing(self: Segmenter, cosine: torch.Tensor) -> torch.Tensor:
        seen.append(len(seen))
        return logits(self, cosine) * (math.nan if len(seen) > 1 else 1)

    monkeypatch.setattr(Segmenter, "logits", overflowing)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # one photo after the other
    words = [verb, f"checkpoint={run}/s", f"data={run}/data", "split=val", f"out={tmp_path}/out", f"crf={crf}"]
    assert execute(words) == 2
    said = capsys.readouterr().err
    assert f"boxseg: {photos[1]}: the network's probabilities are no numbers (NaN)" in said
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_predictions_in_memory(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Segmenter, "logits", lambda _, cosine: cosine * math.nan)
    with pytest.raises(NotFiniteError, match="no numbers"):
        boxseg.load(run / "s")(np.zeros((20, 30, 3), np.uint8))
    forward = MaskNetwork.forward
    monkeypatch.setattr(MaskNetwork, "forward", lambda *given: forward(*given) * math.nan)
    with pytest.raises(NotFiniteError, match="no numbers"):
        boxseg.masks(np.zeros((20, 30, 3), np.uint8), [[1, 1, 19, 19]])


def test_a_training_keeps_what_it_had_before(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A step that spoils the weights is not saved: neither as a checkpoint nor as a model."""

    def spoiling(self: Any) -> None:
        if self.global_step == 4:
            with torch.no_grad():
                self.network.weight[0, 0] = math.nan

    words = ["classify", f"data={run}/data", f"out={tmp_path}/c", *SMALL]
    with monkeypatch.context() as patched:
        patched.setattr(BoxClassifierModule, "after_step", spoiling)
        assert execute(words) == 2
    said = capsys.readouterr().err
    assert "the weights weight are no numbers (NaN or infinite) after iteration 4, and are not saved" in said
    assert "try a lower optimiser.lr" in said
    assert not (tmp_path / "c" / "model.safetensors").exists()
    found = last_checkpoint(tmp_path / "c", "classify")
    assert found is not None
    assert (found.file, found.step) == (tmp_path / "c" / LAST, 2)
    assert execute(words) == 0  # goes on from there
