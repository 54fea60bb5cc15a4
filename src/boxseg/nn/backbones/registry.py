"""The registry of backbones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from boxseg import plugins
from boxseg.errors import ConfigError
from boxseg.nn.backbones.base import Backbone, BatchNorm
from boxseg.nn.backbones.efficientnet_lite import EfficientNetLite0
from boxseg.nn.backbones.from_timm import TimmBackbone
from boxseg.nn.backbones.from_transformers import HuggingFaceBackbone
from boxseg.nn.backbones.other_libraries import LibraryBackbone
from boxseg.nn.backbones.resnet import ResNet50, ResNet101
from boxseg.nn.backbones.vgg import VGG16

BACKBONES: dict[str, type[Backbone]] = {
    "efficientnet_lite0": EfficientNetLite0,
    "vgg16": VGG16,
    "resnet50": ResNet50,
    "resnet101": ResNet101,
}

# By the word before the colon, as in `hf:NAME`.
LIBRARY_BACKBONES: dict[str, type[LibraryBackbone]] = {"hf": HuggingFaceBackbone, "timm": TimmBackbone}


def backbone_type(name: str) -> type[Backbone] | Callable[..., Backbone]:
    """The class of a backbone; for a plug-in it may be a function that builds one.

    Raises:
        ConfigError: There is none of this name, or its plug-in cannot be imported.
    """
    library, colon, _ = name.partition(":")
    known = LIBRARY_BACKBONES.get(library) if colon else BACKBONES.get(name)
    return known or plugins.find("backbone", name)


def build_backbone(name: str, *, batch_norm: BatchNorm = "frozen", **options: Any) -> Backbone:
    """A backbone with random weights.

    Args:
        name: Which one; `hf:NAME` and `timm:NAME` are models of other libraries.
        batch_norm: `frozen` or `train`.
        options: Architecture options of its class, such as `stride`.

    Raises:
        ConfigError: Unknown name or option; or a plug-in gives something else.
        MissingExtraError: The other library is not installed.
    """
    kind = backbone_type(name)
    try:
        if isinstance(kind, type) and issubclass(kind, LibraryBackbone):
            return kind.build(name.partition(":")[2], batch_norm=batch_norm, **options)
        build: Callable[..., Any] = kind
        backbone = build(batch_norm=batch_norm, **options)
    except TypeError as error:
        if "unexpected keyword" in str(error):
            raise ConfigError(f"backbone '{name}' has no such option: {error}") from error
        raise
    if not isinstance(backbone, Backbone):
        raise ConfigError(
            f"backbone '{name}' gave a {type(backbone).__name__}, expected a boxseg.nn.backbones.base.Backbone"
        )
    return backbone
