"""Weight files of VGG-16 and ResNets as other projects publish them, filled with numbers of no meaning."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from boxseg.nn.backbones.base import Preprocessing
from boxseg.nn.backbones.registry import Backbone

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
