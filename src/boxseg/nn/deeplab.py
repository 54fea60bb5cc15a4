"""The two networks of boxseg: a box classifier (stage 1) and a DeepLab segmentation network (stage 3)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from boxseg.config import Model
from boxseg.nn.backbones.base import Backbone, HeadName, conv3x3, init_convolutions
from boxseg.nn.backbones.registry import backbone_type, build_backbone
from boxseg.nn.upsample import upsample_aligned


class BoxClassifier(nn.Module):
    """Backbone and a bias-free linear classifier of pooled features.

    Pooling is separate (`boxseg.nn.pooling`); this holds the parameters, for L classes and the background.
    """

    def __init__(self, backbone: Backbone, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.classes = classes
        self.stride = backbone.stride
        self.weight = nn.Parameter(torch.empty(classes + 1, backbone.channels))
        nn.init.normal_(self.weight, std=0.01)

    def features(self, images: Tensor) -> Tensor:
        """Features (B, C, h, w) of raw photos (B, 3, H, W)."""
        f: Tensor = self.backbone(images)
        return f

    forward = features


class LargeFOV(nn.Module):
    """3x3 convolution with a large field of view, then 1x1, each with ReLU and channel dropout.

    `stride` is the backbone's, `width` the number of output channels, `rate` the dilation in cells of stride 8.

    Source: Chen et al., DeepLab v1, ICLR 2015, Sec. 5.1 (LargeFOV).
    """

    def __init__(self, channels: int, *, stride: int, width: int = 256, rate: int = 12) -> None:
        super().__init__()
        self.fc6 = conv3x3(channels, width, dilation=cells(rate, stride))
        self.fc7 = nn.Conv2d(width, width, 1)
        self.dropout = nn.Dropout2d(0.5)
        self.channels = width
        init_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, h, w) -> (B, width, h, w)."""
        x = self.dropout(F.relu(self.fc6(x)))
        y: Tensor = self.dropout(F.relu(self.fc7(x)))
        return y


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: 3x3 convolutions of several dilations, summed, then ReLU.

    `stride` is the backbone's, `width` the number of output channels, `rates` dilations in cells of stride 8.

    Source: Chen et al., DeepLab v2, TPAMI 2018, Sec. 3.2 (ASPP-L).
    """

    def __init__(
        self, channels: int, *, stride: int, width: int = 256, rates: tuple[int, ...] = (6, 12, 18, 24)
    ) -> None:
        super().__init__()
        branches = [conv3x3(channels, width, dilation=cells(rate, stride)) for rate in rates]
        for branch in branches:
            assert branch.bias is not None
            nn.init.normal_(branch.weight, std=0.01)
            nn.init.zeros_(branch.bias)
        self.branches = nn.ModuleList(branches)
        self.channels = width

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, h, w) -> (B, width, h, w)."""
        return F.relu(torch.stack([branch(x) for branch in self.branches]).sum(0))


class NoHead(nn.Identity):
    """Stands for the head where the backbone includes it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels


class CosineClassifier(nn.Module):
    """Cosine similarity to one vector per class, background added; logits are the temperature T times it.

    Source: Oh et al., BANA, CVPR 2021, Sec. 3.3.
    """

    def __init__(self, channels: int, classes: int, temperature: float = 20.0) -> None:
        super().__init__()
        self.temperature = temperature
        self.weight = nn.Parameter(torch.empty(classes + 1, channels))
        nn.init.normal_(self.weight, std=0.01)

    def forward(self, features: Tensor) -> Tensor:
        """Cosines (B, L + 1, h, w), in -1..1, of features (B, C, h, w); 0 where a feature is 0."""
        if torch.is_autocast_enabled(features.device.type):
            # Half precision would round the cosine to 1/256 before T and γ magnify it.
            with torch.autocast(features.device.type, enabled=False):
                return self._cosine(features.float())
        return self._cosine(features)

    def _cosine(self, features: Tensor) -> Tensor:
        weight = F.normalize(self.weight, dim=1)
        return F.conv2d(F.normalize(features, dim=1), weight[:, :, None, None])

    def logits(self, cosine: Tensor) -> Tensor:
        """Logits, of the shape of the cosines."""
        return self.temperature * cosine


class Segmenter(nn.Module):
    """Backbone, head and cosine classifier, for L object classes and the background.

    The head maps features of the backbone to φ and has an attribute `channels`; the temperature is T.
    """

    def __init__(
        self, backbone: Backbone, head: LargeFOV | ASPP | NoHead, classes: int, temperature: float = 20.0
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.classes = classes
        self.stride = backbone.stride
        self.temperature = temperature
        self.classifier = CosineClassifier(head.channels, classes, temperature)

    def features(self, images: Tensor) -> Tensor:
        """φ, (B, C, h, w), of raw photos (B, 3, H, W)."""
        phi: Tensor = self.head(self.backbone(images))
        return phi

    def forward(self, images: Tensor) -> Tensor:
        """Cosines with every class at feature resolution.

        Args:
            images: (B, 3, H, W) RGB, 0..255, uint8 or float.

        Returns:
            (B, L + 1, h, w), in -1..1.
        """
        cosine: Tensor = self.classifier(self.features(images))
        return cosine

    def logits(self, cosine: Tensor) -> Tensor:
        """T · cosine."""
        return self.classifier.logits(cosine)

    def upsample(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Maps (B, K, h, w) of this network at the size (H, W) of its images."""
        return upsample_aligned(maps, size, self.stride)


def cells(rate: int, stride: int) -> int:
    """Convert a dilation in cells of stride 8 to cells of another stride; at least 1."""
    return max(1, round(8 * rate / stride))


def build_head(name: HeadName, backbone: Backbone, **options: Any) -> LargeFOV | ASPP | NoHead:
    """A segmentation head for this backbone; `options` are those of its class."""
    if name == "largefov" and backbone.includes_largefov:
        return NoHead(backbone.channels)
    kinds: dict[HeadName, type[LargeFOV] | type[ASPP]] = {"largefov": LargeFOV, "aspp": ASPP}
    return kinds[name](backbone.channels, stride=backbone.stride, **options)


def build_classifier(
    model: Model, classes: int, architecture: dict[str, Any] | None = None, **backbone_options: Any
) -> BoxClassifier:
    """A box classifier with random weights, for L classes.

    `architecture` is that of the backbone in a checkpoint; None takes it from its name or its library.

    Raises:
        ConfigError: Unknown backbone.
        MissingExtraError: The backbone's library is not installed.
    """
    return BoxClassifier(_start_backbone(model, architecture, backbone_options), classes)


def build_segmenter(
    model: Model, classes: int, architecture: dict[str, Any] | None = None, **backbone_options: Any
) -> Segmenter:
    """A segmentation network with random weights; arguments and errors as for `build_classifier`."""
    kind = backbone_type(model.backbone)
    usual: type[Backbone] = kind if isinstance(kind, type) else Backbone  # a function names no default head
    name = usual.default_head if model.head == "auto" else model.head
    backbone = _start_backbone(model, architecture, usual.options_under(name) | backbone_options)
    return Segmenter(backbone, build_head(name, backbone), classes, model.temperature)


def _start_backbone(model: Model, architecture: dict[str, Any] | None, options: dict[str, Any]) -> Backbone:
    library = {"stage": model.stage} if ":" in model.backbone else {}
    kept = {} if architecture is None else {"architecture": architecture}
    backbone = build_backbone(model.backbone, batch_norm=model.batch_norm, **{**library, **kept, **options})
    if model.freeze:
        backbone.freeze()
    return backbone
