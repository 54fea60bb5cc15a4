"""Weight files of VGG-16 and ResNets: every tensor comes to its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from boxseg.config import Model
from boxseg.errors import CheckpointError
from boxseg.nn.backbones.base import CAFFE, TORCHVISION
from boxseg.nn.backbones.registry import build_backbone
from boxseg.nn.deeplab import build_segmenter
from boxseg.nn.weights.loading import load_weights
from boxseg.nn.weights.naming import NAMING_SCHEMES, convert
from weight_files import (
    VGG_LAYERS,
    VGG_NAMES,
    caffe_resnet,
    caffe_vgg16,
    check_preprocessing,
    resnet,
    torchvision_vgg16,
)


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
    scheme = next(f for f in NAMING_SCHEMES if f.title == "torchvision VGG-16")
    outputs, inputs = torch.arange(4096.0), torch.arange(512.0 * 49)
    for axis in ("out", "in"):
        state = {
            "classifier.0.weight": (outputs[:, None] if axis == "out" else inputs).expand(4096, 512 * 49),
            "classifier.3.weight": (outputs[:, None] if axis == "out" else outputs).expand(4096, 4096),
            "classifier.0.bias": outputs,
            "classifier.3.bias": outputs,
        }
        tensors, _ = convert(scheme, state, fully_connected="subsample")
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
    ("name", "style"),
    [
        ("resnet50", "torchvision"),
        ("resnet50", "caffe"),
        ("resnet101", "torchvision"),
        ("resnet101", "caffe"),
    ],
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
    assert (report.scheme, report.new, report.ignored) == ("Caffe ResNet", (), ("fc1000.weight",))
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


@pytest.mark.parametrize("scheme", FILES)
def test_every_tensor_of_file_and_network_is_accounted_for_once(tmp_path: Path, scheme: str) -> None:
    name, make = FILES[scheme]
    torch.save(make(), tmp_path / "w.pth")
    network = build_segmenter(Model(backbone=name), 3)  # type: ignore[arg-type]
    report = load_weights(network, str(tmp_path / "w.pth"))
    assert report.scheme == scheme
    parts = (*report.loaded, *report.new, *report.own)
    assert sorted(parts) == sorted(network.state_dict())
    assert {part.split(".")[-1] for part in report.own} <= {
        "mean", "std", "order", "_extra_state", "num_batches_tracked"
    }  # fmt: skip
    assert set(report.new) == {n for n, _ in network.named_parameters() if not n.startswith("backbone.")}
    assert set(report.ignored) < set(make())
    expected = "(RGB - (123.675, " if "torchvision" in scheme else "BGR - (104.008, "
    assert str(report.preprocessing).startswith(expected)
    told = report.as_dict()
    assert told["loaded"] == list(report.loaded)
    assert told["own"] == list(report.own)
