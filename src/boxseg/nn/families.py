"""Weight families: how other projects name and shape the tensors of our backbones, and what input they expect.

A family recognises its files by a telling name, and turns a state dict into ours without changing it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from boxseg.nn.base import CAFFE, TENSORFLOW_LITE, TORCHVISION, Backbone, Preprocessing
from boxseg.nn.efficientnet_lite import EfficientNetLite0
from boxseg.nn.resnet import ResNet, Style
from boxseg.nn.vgg import CONVOLUTIONS, FC_CHANNELS, VGG16

FullyConnected = Literal["subsample", "fresh"]
State = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Family:
    """One way of naming the weights of a backbone.

    Args:
        title: For messages.
        backbone: The backbones it fits.
        telltale: A regular expression that some name in such a file matches from start to end.
        rename: Our name of a tensor, or None for one that we have no use for.
        preprocessing: What these weights expect of their input; None where the file itself says.
        style: Where a ResNet strides with these weights.
    """

    title: str
    backbone: type[Backbone]
    telltale: str
    rename: Callable[[str], str | None]
    preprocessing: Preprocessing | None
    style: Style | None = None

    def fits(self, backbone: Backbone, names: State) -> bool:
        """Whether these are names of this family for this backbone."""
        return isinstance(backbone, self.backbone) and any(re.fullmatch(self.telltale, n) for n in names)


def convert(
    family: Family, state: State, *, fully_connected: FullyConnected
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A state dict of a family in our names and shapes.

    Args:
        family: The family.
        state: Its tensors.
        fully_connected: VGG-16's 4,096-channel fc6 and fc7: `subsample` them as DeepLab did, or leave them
            `fresh`.

    Returns:
        Our name to tensor, and our name to the file's name of each.
    """
    tensors: dict[str, Tensor] = {}
    origin: dict[str, str] = {}
    for name, tensor in state.items():
        ours = family.rename(name)
        if ours is None or (fully_connected == "fresh" and ours.startswith(("fc6.", "fc7."))):
            continue
        tensors[ours] = _subsample(ours, tensor) if ours.startswith(("fc6.", "fc7.")) else tensor
        origin[ours] = name
    return tensors, origin


def _subsample(name: str, tensor: Tensor) -> Tensor:
    """VGG-16's fc6 (4096, 512·7·7) as (1024, 512, 3, 3), its fc7 (4096, 4096) as (1024, 1024, 1, 1).

    Every third row and column of the 7x7 window and every fourth channel stay; tensors that are of the small
    shape already, or of any other, pass as they are.

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
_VGG_FEATURES = dict(zip((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), CONVOLUTIONS, strict=True))


def _torchvision_vgg_name(name: str) -> str | None:
    """`features.28.bias` -> `conv5_3.bias`, `classifier.0.bias` -> `fc6.bias`."""
    group, number, kind = [*name.split("."), "", ""][:3]
    if group == "features" and number.isdigit() and int(number) in _VGG_FEATURES:
        return f"{_VGG_FEATURES[int(number)]}.{kind}"
    fully_connected = {"0": "fc6", "3": "fc7"}
    if group == "classifier" and number in fully_connected:
        return f"{fully_connected[number]}.{kind}"
    return None


def _caffe_vgg_name(name: str) -> str | None:
    return name if name.split(".")[0] in {*CONVOLUTIONS, "fc6", "fc7"} else None


def _torchvision_resnet_name(name: str) -> str | None:
    return None if name.startswith("fc.") else name


_CAFFE_BLOCK = re.compile(r"layer([2-5])\.block(\d+)\.(reduce|conv3x3|increase|shortcut)\.(conv|bn)\.(\w+)")
_CAFFE_PARTS = {"reduce": "1", "conv3x3": "2", "increase": "3"}


def _caffe_resnet_name(name: str) -> str | None:
    """`layer2.block1.reduce.conv.weight` -> `layer1.0.conv1.weight`; the stem is `layer1.conv1`."""
    if stem := re.fullmatch(r"layer1\.conv1\.(conv|bn)\.(\w+)", name):
        return f"{stem[1]}1.{stem[2]}"
    if match := _CAFFE_BLOCK.fullmatch(name):
        layer, block, part, kind, tensor = match.groups()
        prefix = f"layer{int(layer) - 1}.{int(block) - 1}"
        if part == "shortcut":
            return f"{prefix}.downsample.{'0' if kind == 'conv' else '1'}.{tensor}"
        return f"{prefix}.{kind}{_CAFFE_PARTS[part]}.{tensor}"
    return None


# The first that fits is taken; boxseg's own files are told from torchvision's by the normalisation in them.
FAMILIES = (
    Family(
        title="boxseg",
        backbone=Backbone,
        telltale="order",
        rename=lambda name: name,
        preprocessing=None,
    ),
    Family(
        title="EfficientNet-Lite0 (PyTorch)",
        backbone=EfficientNetLite0,
        telltale=r"_conv_stem\.weight",
        rename=_lite_name,
        preprocessing=TENSORFLOW_LITE,
    ),
    Family(
        title="torchvision VGG-16",
        backbone=VGG16,
        telltale=r"features\.\d+\.weight",
        rename=_torchvision_vgg_name,
        preprocessing=TORCHVISION,
    ),
    Family(
        title="Caffe VGG-16",
        backbone=VGG16,
        telltale=r"conv\d_\d\.weight",
        rename=_caffe_vgg_name,
        preprocessing=CAFFE,
    ),
    Family(
        title="Caffe ResNet",
        backbone=ResNet,
        telltale=r"layer\d\.block\d+\..*",
        rename=_caffe_resnet_name,
        preprocessing=CAFFE,
        style="caffe",
    ),
    Family(
        title="torchvision ResNet",
        backbone=ResNet,
        telltale=r"layer\d\.\d+\.conv1\.weight",
        rename=_torchvision_resnet_name,
        preprocessing=TORCHVISION,
        style="torchvision",
    ),
)
