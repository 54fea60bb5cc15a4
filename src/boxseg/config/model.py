"""The network: its backbone, weights and head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from boxseg.errors import did_you_mean, require

BackboneName = Literal["efficientnet_lite0", "vgg16", "resnet50", "resnet101"]

# Whose models a backbone may be, by the word before the colon.
LIBRARIES = ("hf", "timm")


def require_backbone(name: str, stage: int | None) -> None:
    """Check the name of a backbone: one of boxseg's own, or hf:NAME, timm:NAME."""
    known = get_args(BackboneName)
    library, _, foreign = name.partition(":")
    require(
        name in known or (library in LIBRARIES and bool(foreign)),
        f"unknown model.backbone={name}{did_you_mean(name, known)} (one of {', '.join(known)}; hf:NAME of "
        "transformers, a model of its hub or a folder; or timm:NAME)",
    )
    require(stage is None or stage >= 1, f"model.stage must be 1 or more, got {stage}")
    require(stage is None or bool(foreign), f"model.stage is for hf: and timm: backbones, {name} has none")


@dataclass(frozen=True, kw_only=True)
class Model:
    """The network below the classifiers.

    Args:
        backbone: Feature extractor: `efficientnet_lite0`, `vgg16`, `resnet50`, `resnet101`; `hf:NAME` for a
            model of transformers (a name on its hub, or a folder), `timm:NAME` for one of timm.
        weights: `default` (embedded ImageNet weights for efficientnet_lite0, those published under its name for
            `hf:` and `timm:`, otherwise `imagenet`), `imagenet` (downloads torchvision's file), `none`
            (random), or a file (.safetensors, .pth) in the names of torchvision, Caffe or deeplab-pytorch.
        freeze: Train what is above the backbone only: less time and memory a step.
        stage: `hf:` and `timm:` only: take the features of this stage, counted from 1, instead of the last.
        fully_connected: fc6 and fc7 of a full VGG-16: `subsample` them to 1,024 channels as DeepLab did, or
            start them `fresh`.
        preprocessing: What the weights expect of a photo: `torchvision` (RGB, ImageNet's mean and deviation),
            `caffe` (BGR, 0..255, mean subtracted), or `auto`: as the names in the file suggest.
        head: `largefov` (DeepLab v1), `aspp` (DeepLab v2), or `auto`: aspp for ResNets, else largefov.
        batch_norm: `frozen` keeps the pretrained statistics while training, `train` updates them.
        temperature: T of the cosine classifier.
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
        require_backbone(self.backbone, self.stage)
        require(self.temperature > 0, f"model.temperature must be positive, got {self.temperature}")
