"""The network: its backbone, weights and head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from boxseg.errors import require
from boxseg.plugins import require_name

# Libraries whose models can be backbones, by the word before the colon.
LIBRARIES = ("hf", "timm")


@dataclass(frozen=True, kw_only=True)
class Model:
    """The network: a backbone and the layers on top of it.

    Args:
        backbone: Feature extractor: `efficientnet_lite0`, `vgg16`, `resnet50` or `resnet101`; `hf:NAME` for a
            model of transformers (its name on the hub, or a folder); `timm:NAME` for a model of timm; or the
            name of a plug-in's.
        weights: Weights to start from. `default`: the ImageNet weights that come with boxseg
            (efficientnet_lite0), the ones published with the model (`hf:` and `timm:`), else `imagenet`.
            `imagenet`: download torchvision's file. `none`: random weights. Or a file (.safetensors, .pth) with
            the names of torchvision, Caffe or deeplab-pytorch.
        freeze: Keep the backbone fixed and train only the layers on top: each step takes less time and memory.
        stage: `hf:` and `timm:` only: use the features of this stage, counted from 1. By default the last.
        fully_connected: fc6 and fc7 of VGG-16: `subsample` the pretrained layers to 1,024 channels, as DeepLab
            does, or start with `fresh` random weights, scaled to the features below them and with a learning
            rate to match.
        preprocessing: How the weights expect a photo: `torchvision` (RGB, ImageNet's mean and deviation) or
            `caffe` (BGR, 0..255, mean subtracted); `auto` decides by the names in the weight file.
        head: `largefov` (DeepLab v1) or `aspp` (DeepLab v2); `auto` takes aspp for ResNets and largefov for the
            rest.
        batch_norm: `frozen` keeps the pretrained statistics during training, `train` updates them.
        temperature: Temperature T of the cosine classifier.
    """

    backbone: str = "efficientnet_lite0"
    weights: str = "default"
    freeze: bool = False
    stage: int | None = None
    fully_connected: Literal["subsample", "fresh"] = "subsample"
    preprocessing: Literal["auto", "torchvision", "caffe"] = "auto"
    head: Literal["auto", "largefov", "aspp"] = "auto"
    batch_norm: Literal["frozen", "train"] = "frozen"
    temperature: float = 20.0

    def __post_init__(self) -> None:
        library, _, name = self.backbone.partition(":")
        borrowed = library in LIBRARIES and bool(name)
        if not borrowed:
            others = "hf:NAME of transformers, a model of its hub or a folder; timm:NAME; "
            require_name("backbone", "model.backbone", self.backbone, others)
        require(self.stage is None or self.stage >= 1, f"model.stage must be 1 or more, got {self.stage}")
        require(
            self.stage is None or borrowed,
            f"model.stage is for hf: and timm: backbones only, not for {self.backbone}",
        )
        require(self.temperature > 0, f"model.temperature must be positive, got {self.temperature}")
