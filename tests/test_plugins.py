"""Names that plug-ins add: registered, of packages, clashing, broken."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import boxseg
from boxseg import formats, plugins
from boxseg.config import Data, Label, Model, Segment, TrainerOptions
from boxseg.data.loading import LabelTraining
from boxseg.data.toy import write_toy
from boxseg.errors import BoxsegError, CheckpointError, ConfigError
from boxseg.inference.networks import load_segmenter
from boxseg.jobs import LabelJob
from boxseg.labelling.methods import start_method
from boxseg.nn.backbones.registry import build_backbone
from boxseg.nn.backbones.vgg import VGG16
from boxseg.training.loop import check_training
from boxseg.training.segmenter import SegmenterModule
from documented_plugin import install, list_entry_points


@pytest.fixture(autouse=True)
def nothing_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_registered", {})


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toy")
    write_toy(root, train=4, val=1, size=64, seed=1)
    return root


def half(logits: torch.Tensor, *_: Any) -> torch.Tensor:
    return logits.mean() / 2


def test_a_registered_loss_is_known_and_may_be_registered_again() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown segment\.loss=half \(one of nal, .*; no plug-in adds one\)"
    ):
        Segment(loss="half")
    boxseg.register("loss", "half", torch.mean)
    boxseg.register("loss", "half", half)
    assert Segment(loss="half").loss == "half"
    assert plugins.find("loss", "half") is half
    assert plugins.names("loss") == ("half",)
    with pytest.raises(ConfigError, match=r"unknown label\.method=half"):
        Label(method="half")


@pytest.mark.parametrize(
    ("kind", "name", "plugin", "message"),
    [
        ("los", "half", half, "unknown kind 'los', did you mean 'loss'"),
        ("loss", "nal", half, "loss 'nal' is one of boxseg's own; choose another name"),
        ("format", "auto", half, "format 'auto' is one of boxseg's own"),
        ("backbone", "hf:mine", VGG16, "'hf:mine' cannot name a backbone; use letters"),
        ("label_method", "m", 3, "label method 'm': expected a function or class, got int"),
    ],
)
def test_what_cannot_be_registered(kind: Any, name: str, plugin: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        boxseg.register(kind, name, plugin)


def test_packages_that_clash_or_do_not_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list_entry_points(tmp_path, "broken", {"boxseg.losses": "gone = nowhere_at_all:loss"})
    monkeypatch.syspath_prepend(tmp_path)
    assert Segment(loss="gone").loss == "gone"  # nothing is imported before it is used
    with pytest.raises(
        ConfigError, match=r"loss 'gone': nowhere_at_all:loss of broken 0\.1 cannot be imported .*"
    ):
        plugins.find("loss", "gone")
    list_entry_points(tmp_path / "second", "another", {"boxseg.losses": "gone = elsewhere:loss"})
    monkeypatch.syspath_prepend(tmp_path / "second")
    with pytest.raises(
        ConfigError, match=r"two packages add a loss 'gone': another 0\.1 and broken 0\.1; unins"
    ):
        Segment(loss="gone")
    list_entry_points(tmp_path / "third", "thief", {"boxseg.losses": "nal = elsewhere:loss"})
    monkeypatch.syspath_prepend(tmp_path / "third")
    with pytest.raises(ConfigError, match=r"thief 0\.1: loss 'nal' is one of boxseg's own"):
        Segment(loss="gone")
    assert Segment(loss="nal").loss == "nal"


def test_names_of_our_own_read_no_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "entry_points", lambda **_: pytest.fail("entry points were read"))
    Segment(loss="er"), Label(method="box"), Data(root=Path(), format="coco"), Model(backbone="hf:x")
    build_backbone("efficientnet_lite0")


def test_a_plug_in_is_not_imported_with_the_options(tmp_path: Path) -> None:
    site = install(tmp_path)
    code = "import sys; from boxseg.config import *; Segment(loss='focal'); Model(backbone='tiny')"
    code += "; sys.exit('boxseg_extras' in sys.modules or 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(site)}, check=False)
    assert done.returncode == 0


def test_a_function_may_build_a_backbone() -> None:
    boxseg.register("backbone", "wide", partial(VGG16, fc_dilation=12))
    module = SegmenterModule(classes=2, iterations=1, backbone="wide", model=Model(weights="none"))
    assert module.network(torch.zeros(1, 3, 33, 33)).shape == (1, 3, 5, 5)
    boxseg.register("backbone", "wrong", lambda **_: torch.nn.Identity())
    with pytest.raises(ConfigError, match=r"backbone 'wrong' gave a Identity, expected a boxseg\."):
        build_backbone("wrong")


class Own(VGG16):
    """A backbone with weights of its own."""

    def load_pretrained(self) -> tuple[list[str], list[str]]:
        torch.nn.init.ones_(self.conv1_1.weight)  # type: ignore[arg-type]
        return ["conv1_1.weight"], ["fc8.weight"]


def test_a_backbone_brings_its_weights(tmp_path: Path) -> None:
    boxseg.register("backbone", "own", Own)
    module = SegmenterModule(classes=2, iterations=1, backbone="own")
    assert module.weights.loaded == ("backbone.conv1_1.weight",)
    assert "backbone.conv1_2.weight" in module.weights.new
    assert "Own (its own): 1 tensor loaded" in module.weights.summary()
    module.save(tmp_path / "own.safetensors", ["a", "b"])
    assert load_segmenter(tmp_path / "own.safetensors", torch.device("cpu")).classes == ("a", "b")
    with pytest.raises(CheckpointError, match="torchvision has no file for Own"):
        SegmenterModule(classes=2, iterations=1, model=Model(backbone="own", weights="imagenet"))
    with pytest.raises(ConfigError, match="3 class names for a network of 2 classes"):
        module.save(tmp_path / "own.safetensors", ["a", "b", "c"])
    plugins._registered.clear()
    with pytest.raises(
        CheckpointError, match=r"backbone 'own' that a script has added: call boxseg\.register\('b"
    ):
        boxseg.load(tmp_path / "own.safetensors")


def test_what_a_method_and_a_format_give_is_checked(toy: Path) -> None:
    boxseg.register("label_method", "nothing", lambda job, dataset: dataset)
    job = LabelJob(data=Data(root=toy), out=Path("o"), label=Label(method="nothing"))
    with pytest.raises(
        ConfigError, match=r"label method 'nothing' gave a BoxDataset without origin, device, on"
    ):
        start_method(job, formats.load(job.data))
    boxseg.register("format", "nothing", lambda data: [])
    with pytest.raises(ConfigError, match=r"format 'nothing' gave a list, expected a boxseg\.formats"):
        formats.load(Data(root=toy, format="nothing"))


def test_what_cannot_be_sent_is_said_before_processes_start(toy: Path) -> None:
    boxseg.register("loss", "local", lambda logits, *_: logits.mean())
    options = Segment(loss="local", batch=2)
    module = SegmenterModule(classes=5, iterations=1, model=Model(weights="none"), segment=options)
    images = LabelTraining(formats.load(Data(root=toy)), options.augment, 0, ["ground-truth"])
    trainer = TrainerOptions(accelerator="cpu", devices=2)
    with pytest.raises(
        ConfigError, match=r"segment: .*<lambda> cannot be sent to the processes of several devi"
    ):
        check_training(module, images, trainer)


def test_what_a_notebook_defines_cannot_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half, "__module__", "__main__")
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    with pytest.raises(ConfigError, match=r"loss cannot be sent .* \(it is defined in a notebook or prompt\)"):
        plugins.require_sendable(half, "loss")


def test_a_loss_that_ignores_totals_is_refused_in_parts(toy: Path, tmp_path: Path) -> None:
    boxseg.register("loss", "half", half)
    small = {"batch": 2, "iterations": 1, "crop": 33, "weights": "none", "workers": 0, "loss": "half"}
    words: dict[str, Any] = {"data": str(toy), "labels": "ground-truth", "data.val_split": "", **small}
    boxseg.segment(**words, out=str(tmp_path / "whole"))
    with pytest.raises(
        BoxsegError, match=r"the loss 'half' does not divide by options\.totals, as trainer\.acc"
    ):
        boxseg.segment(**words, out=str(tmp_path / "parts"), accumulate=2)
