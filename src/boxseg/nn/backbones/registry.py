"""The registry of backbones."""

from __future__ import annotations

from typing import Any

from boxseg.errors import ConfigError, did_you_mean
from boxseg.nn.backbones.base import Backbone, BatchNorm
from boxseg.nn.backbones.efficientnet_lite import EfficientNetLite0
from boxseg.nn.backbones.from_timm import TimmBackbone
from boxseg.nn.backbones.from_transformers import HuggingFaceBackbone
from boxseg.nn.backbones.other_libraries import LibraryBackbone
from boxseg.nn.backbones.resnet import ResNet50, ResNet101
from boxseg.nn.backbones.vgg import VGG16
from boxseg.nn.upsample import upsample_aligned

__all__ = ["BACKBONES", "Backbone", "build_backbone", "upsample_aligned"]

BACKBONES: dict[str, type[Backbone]] = {
    "efficientnet_lite0": EfficientNetLite0,
    "vgg16": VGG16,
    "resnet50": ResNet50,
    "resnet101": ResNet101,
}

# By the word before the colon of `hf:NAME`.
LIBRARIES: dict[str, type[LibraryBackbone]] = {"hf": HuggingFaceBackbone, "timm": TimmBackbone}


def backbone_type(name: str) -> type[Backbone]:
    """The class of a backbone.

    Raises:
        ConfigError: There is none of this name.
    """
    library, colon, _ = name.partition(":")
    if colon and library in LIBRARIES:
        return LIBRARIES[library]
    if name not in BACKBONES:
        known = ", ".join(BACKBONES)
        raise ConfigError(
            f"unknown backbone '{name}'{did_you_mean(name, BACKBONES)} (there are {known}, hf:NAME, timm:NAME)"
        )
    return BACKBONES[name]


def build_backbone(name: str, *, batch_norm: BatchNorm = "frozen", **options: Any) -> Backbone:
    """A backbone with random weights.

    Args:
        name: Which one; `hf:NAME` and `timm:NAME` are models of other libraries.
        batch_norm: `frozen` or `train`.
        options: Architecture options of its class, such as `stride`.

    Raises:
        ConfigError: Unknown name or option.
        MissingExtraError: The other library is not installed.
    """
    kind = backbone_type(name)
    try:
        if issubclass(kind, LibraryBackbone):
            return kind.build(name.partition(":")[2], batch_norm=batch_norm, **options)
        return kind(batch_norm=batch_norm, **options)
    except TypeError as error:
        if "unexpected keyword" in str(error):
            raise ConfigError(f"backbone '{name}' has no such option: {error}") from error
        raise
