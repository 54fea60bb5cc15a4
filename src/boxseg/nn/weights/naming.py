"""Naming schemes: how other projects name and shape the tensors of our backbones, and what input they expect.

A scheme recognises its files by a tensor name; `convert` gives a state dict in our names and shapes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from boxseg.errors import CheckpointError
from boxseg.nn.backbones.base import CAFFE, TENSORFLOW_LITE, TORCHVISION, Backbone, Preprocessing
from boxseg.nn.backbones.efficientnet_lite import EfficientNetLite0
from boxseg.nn.backbones.resnet import ResNet, Style
from boxseg.nn.backbones.vgg import CONVOLUTIONS, FC_CHANNELS, VGG16

FullyConnected = Literal["subsample", "fresh"]
State = Mapping[str, Tensor]
# Tensors by our name, and for each of our names the names in the file that it was made from.
Converted = tuple[dict[str, Tensor], dict[str, tuple[str, ...]]]

# Our name for the number that Caffe's batch norm divides its statistics by.
FACTOR = "factor"


@dataclass(frozen=True, kw_only=True)
class NamingScheme:
    """One way of naming the weights of a backbone.

    Args:
        title: For messages.
        backbone: The backbones it fits.
        telltale: Regular expression that fully matches some name in such a file.
        rename: Gives our name of a tensor, or None if we do not use it.
        preprocessing: What these weights expect of their input; None if the file says it.
        style: Where a ResNet strides with these weights.
    """

    title: str
    backbone: type[Backbone]
    telltale: str
    rename: Callable[[str], str | None]
    preprocessing: Preprocessing | None
    style: Style | None = None


def convert(scheme: NamingScheme, state: State, *, fully_connected: FullyConnected) -> Converted:
    """A state dict in our names and shapes.

    `fully_connected` is for VGG-16's 4,096-channel fc6 and fc7: `subsample` as DeepLab did, or leave `fresh`.

    Raises:
        CheckpointError: Two tensors of the file get the same name.
    """
    tensors: dict[str, Tensor] = {}
    origin: dict[str, tuple[str, ...]] = {}
    for name, tensor in state.items():
        ours = scheme.rename(name)
        if ours is None or (fully_connected == "fresh" and ours.startswith(("fc6.", "fc7."))):
            continue
        if ours in origin:
            raise CheckpointError(f"{scheme.title} weights: {origin[ours][0]} and {name} both claim {ours}")
        tensors[ours] = _subsample(ours, tensor) if ours.startswith(("fc6.", "fc7.")) else tensor
        origin[ours] = (name,)
    return _fold(tensors, origin)


def _fold(tensors: dict[str, Tensor], origin: dict[str, tuple[str, ...]]) -> Converted:
    """Fold what Caffe stores apart into batch norm's mean and variance.

    Caffe stores sums of means and variances, and the number to divide them by (0: of nothing). A convolution's
    bias before a batch norm shifts its mean.
    """
    tensors, origin = dict(tensors), dict(origin)

    def change(name: str, part: str, tensor: Tensor) -> None:
        tensors[name], origin[name] = tensor, (*origin[name], *origin[part])

    for part in [name for name in tensors if name.endswith(f".{FACTOR}")]:
        count = tensors.pop(part).flatten()
        for statistic in ("running_mean", "running_var"):
            name = part.replace(FACTOR, statistic)
            if name in tensors:
                change(name, part, tensors[name] / count if count.any() else torch.zeros_like(tensors[name]))
    for part in [name for name in tensors if re.search(r"(^|\.)(conv\d|downsample\.0)\.bias$", name)]:
        mean = part.replace("conv", "bn").replace("downsample.0", "downsample.1")
        mean = mean.replace(".bias", ".running_mean")
        if mean in tensors and tensors[mean].shape == tensors[part].shape:
            change(mean, part, tensors[mean] - tensors.pop(part))
    return tensors, origin


def _subsample(name: str, tensor: Tensor) -> Tensor:
    """VGG-16's fc6 (4096, 512·7·7) as (1024, 512, 3, 3), its fc7 (4096, 4096) as (1024, 1024, 1, 1).

    Every third row and column of the 7x7 window and every fourth channel stay; other shapes pass unchanged.

    Source: Chen et al., DeepLab v1, ICLR 2015, Sec. 3.1 (decimation of fully connected layers).
    """
    wide = 4 * FC_CHANNELS
    if tensor.shape[0] != wide:
        return tensor
    if name == "fc6.weight" and tensor.numel() == wide * 512 * 49:
        return tensor.reshape(wide, 512, 7, 7)[::4, :, ::3, ::3]
    if name == "fc7.weight" and tensor.numel() == wide * wide:
        return tensor.reshape(wide, wide, 1, 1)[::4, ::4]
    return tensor[::4] if name.endswith(".bias") else tensor


def _lite_name(name: str) -> str | None:
    """`_blocks.0._bn1.weight` -> `blocks.0.bn1.weight`."""
    ours = re.sub(r"(^|\.)_", r"\1", name)
    return None if ours.startswith("fc.") else ours


# torchvision numbers convolutions, ReLUs and pools of VGG-16 in one sequence.
_NUMBERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
_VGG_LAYERS = {f"features.{number}": name for number, name in zip(_NUMBERS, CONVOLUTIONS, strict=True)}
_VGG_LAYERS |= {"classifier.0": "fc6", "classifier.3": "fc7"}


def _torchvision_vgg_name(name: str) -> str | None:
    """`features.28.bias` -> `conv5_3.bias`, `classifier.0.bias` -> `fc6.bias`."""
    layer, _, kind = name.rpartition(".")
    return f"{_VGG_LAYERS[layer]}.{kind}" if layer in _VGG_LAYERS else None


# Convolution and batch norm of each part of a block, the shortcut last, and their names in two kinds of files.
_PARTS = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"), ("downsample.0", "downsample.1"))
_NESTED_PARTS = dict(zip(("reduce", "conv3x3", "increase", "shortcut"), _PARTS, strict=True))
_CAFFE_BRANCHES = dict(zip(("2a", "2b", "2c", "1"), _PARTS, strict=True))
_NESTED_BLOCK = re.compile(r"layer([2-5])\.block(\d+)\.(reduce|conv3x3|increase|shortcut)\.(conv|bn)\.(\w+)")


def _nested_resnet_name(name: str) -> str | None:
    """`layer2.block1.reduce.conv.weight` -> `layer1.0.conv1.weight`; the stem is `layer1.conv1`."""
    if stem := re.fullmatch(r"layer1\.conv1\.(conv|bn)\.(\w+)", name):
        return f"{stem[1]}1.{stem[2]}"
    if match := _NESTED_BLOCK.fullmatch(name):
        layer, block, part, kind, tensor = match.groups()
        convolution, norm = _NESTED_PARTS[part]
        ours = convolution if kind == "conv" else norm
        return f"layer{int(layer) - 1}.{int(block) - 1}.{ours}.{tensor}"
    return None


_CAFFE_LAYER = re.compile(r"(res|bn|scale)([2-5])([a-z])(\d*)_branch(1|2[abc])\.(\w+)")
_CAFFE_STEM = {"conv1": "res", "bn_conv1": "bn", "scale_conv1": "scale"}
# Names or places of the tensors in Caffe's layers; ours first.
_CAFFE_TENSORS: dict[str, tuple[tuple[str, ...], ...]] = {
    "res": (("weight", "0"), ("bias", "1")),
    "scale": (("weight", "0", "gamma"), ("bias", "1", "beta")),
    "bn": (
        ("running_mean", "mean", "0"),
        ("running_var", "var", "variance", "1"),
        (FACTOR, "scale_factor", "2"),
        ("weight",),  # in files with merged scale layers
        ("bias",),
    ),
}


def _caffe_resnet_name(name: str) -> str | None:
    """`scale3b2_branch2a.weight` -> `layer2.2.bn1.weight`; the stem is `conv1`, `bn_conv1`, `scale_conv1`."""
    layer, _, tensor = name.rpartition(".")
    if kind := _CAFFE_STEM.get(layer):
        prefix, branch = "", "2a"
    elif match := _CAFFE_LAYER.fullmatch(name):
        kind, stage, letter, number, branch, tensor = match.groups()
        block = int(number) if number else ord(letter) - ord("a")
        prefix = f"layer{int(stage) - 1}.{block}."
    else:
        return None
    convolution, norm = _CAFFE_BRANCHES[branch]
    part = prefix + (convolution if kind == "res" else norm)
    return next((f"{part}.{names[0]}" for names in _CAFFE_TENSORS[kind] if tensor in names), None)


# The first match is taken; boxseg's own files differ from torchvision's by the normalisation in them.
NAMING_SCHEMES = (
    NamingScheme(
        title="boxseg", backbone=Backbone, telltale="order", rename=lambda name: name, preprocessing=None
    ),
    NamingScheme(
        title="EfficientNet-Lite0 (PyTorch)",
        backbone=EfficientNetLite0,
        telltale=r"_conv_stem\.weight",
        rename=_lite_name,
        preprocessing=TENSORFLOW_LITE,
    ),
    NamingScheme(
        title="torchvision VGG-16",
        backbone=VGG16,
        telltale=r"features\.\d+\.weight",
        rename=_torchvision_vgg_name,
        preprocessing=TORCHVISION,
    ),
    NamingScheme(
        title="Caffe VGG-16",
        backbone=VGG16,
        telltale=r"conv\d_\d\.weight",
        # Keeps names of a deeper VGG too, so that loading sees layers that the backbone lacks.
        rename=lambda name: name if re.match(r"(conv[1-5]_\d+|fc[67])(\.|$)", name) else None,
        preprocessing=CAFFE,
    ),
    NamingScheme(
        title="deeplab-pytorch ResNet",
        backbone=ResNet,
        telltale=r"layer\d\.block\d+\..*",
        rename=_nested_resnet_name,
        preprocessing=CAFFE,
        style="caffe",
    ),
    NamingScheme(
        title="Caffe ResNet",
        backbone=ResNet,
        telltale=r"res\d[a-z]\d*_branch\d[abc]?\..*",
        rename=_caffe_resnet_name,
        preprocessing=CAFFE,
        style="caffe",
    ),
    NamingScheme(
        title="torchvision ResNet",
        backbone=ResNet,
        telltale=r"layer\d\.\d+\.conv1\.weight",
        rename=lambda name: None if name.startswith("fc.") else name,
        preprocessing=TORCHVISION,
        style="torchvision",
    ),
)
