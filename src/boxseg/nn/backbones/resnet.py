"""ResNet-50 and ResNet-101, dilated to stride 8.

Source: He et al., Deep Residual Learning, CVPR 2016, Table 1; dilation as in Chen et al., DeepLab v2,
TPAMI 2018, Sec. 3.1.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from boxseg.errors import ConfigError
from boxseg.nn.backbones.base import (
    TORCHVISION,
    Backbone,
    BatchNorm,
    HeadName,
    conv3x3,
    convolve,
    init_convolutions,
)
from boxseg.nn.row_bands import in_bands

Style = Literal["torchvision", "caffe"]

# How far the stem and the first two layers see, pixels, in Caffe's style; 45 in torchvision's.
FINE_REACH = 49


class ResNet(Backbone):
    """A bottleneck ResNet without its classifier; tensor names are torchvision's.

    Beyond the chosen stride, strides become dilations: the cells of the original stride keep their values
    and those between are new.

    Args:
        stride: 8, 16 or 32.
        style: Where a strided block strides: on its 3x3 convolution (`torchvision`) or on its first 1x1
            (`caffe`, the original). Kept in the state dict, as it belongs to the weights.
        batch_norm: `frozen` or `train`.

    Raises:
        ConfigError: Another stride.
    """

    default_head: ClassVar[HeadName] = "aspp"
    own_layers: ClassVar[bool] = True
    depths: ClassVar[tuple[int, int, int, int]]

    def __init__(
        self, *, stride: int = 8, style: Style = "torchvision", batch_norm: BatchNorm = "frozen"
    ) -> None:
        if stride not in (8, 16, 32):
            raise ConfigError(f"stride {stride} of a ResNet: expected 8, 16 or 32")
        super().__init__(channels=2048, stride=stride, preprocessing=TORCHVISION, batch_norm=batch_norm)
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = batch_norm_layer(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _layer(64, 64, self.depths[0])
        self.layer2 = _layer(256, 128, self.depths[1])
        self.layer3 = _layer(512, 256, self.depths[2])
        self.layer4 = _layer(1024, 512, self.depths[3])
        self.set_style(style)
        init_convolutions(self)
        # Blocks start as the identity, which keeps the scale of a random network without batch statistics.
        for module in self.modules():
            if isinstance(module, Bottleneck):
                nn.init.zeros_(module.bn3.weight)
        self.train()

    def set_style(self, style: Style) -> None:
        """Lay out strides and dilations in this style."""
        self.style: Style = style
        reached, dilation = 4, 1
        for layer, step in ((self.layer1, 1), (self.layer2, 2), (self.layer3, 2), (self.layer4, 2)):
            before = dilation
            if step == 2 and reached == self.stride:
                step, dilation = 1, 2 * dilation
            reached *= step
            for index, block in enumerate(layer):
                assert isinstance(block, Bottleneck)
                # A 3x3 that would have strided still reads the finer grid: it keeps the earlier dilation.
                keeps = index == 0 and style == "torchvision"
                block.arrange(step if index == 0 else 1, before if keeps else dilation, style)

    def get_extra_state(self) -> Tensor:
        """The style, for the state dict."""
        return torch.tensor(self.style == "caffe")

    def set_extra_state(self, state: Tensor) -> None:
        """Take the style of a state dict."""
        self.set_style("caffe" if bool(state) else "torchvision")

    def extract(self, x: Tensor) -> Tensor:
        """Features (B, 2048, h, w) of normalised, padded images (B, 3, H, W)."""
        y: Tensor = self.layer4(self.layer3(in_bands(self._fine, x, stride=8, reach=FINE_REACH)))
        return y

    def _fine(self, x: Tensor) -> Tensor:
        x = self.maxpool(F.relu(convolve(x, self.conv1, self.bn1), inplace=True))
        y: Tensor = self.layer2(self.layer1(x))
        return y


class ResNet50(ResNet):
    """ResNet-50."""

    depths = (3, 4, 6, 3)


class ResNet101(ResNet):
    """ResNet-101."""

    depths = (3, 4, 23, 3)


class Bottleneck(nn.Module):
    """1x1 down, 3x3, 1x1 up by four, added to the input."""

    def __init__(self, channels: int, width: int, *, downsample: bool) -> None:
        super().__init__()
        out = 4 * width
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = batch_norm_layer(width)
        self.conv2 = conv3x3(width, width, bias=False)
        self.bn2 = batch_norm_layer(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = batch_norm_layer(out)
        self.downsample: nn.Sequential | None = None
        if downsample:
            self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, bias=False), batch_norm_layer(out))

    def arrange(self, stride: int, dilation: int, style: Style) -> None:
        """Set stride and dilation of the convolutions."""
        first, second = (stride, 1) if style == "caffe" else (1, stride)
        self.conv1.stride = (first, first)
        self.conv2.stride = (second, second)
        self.conv2.dilation = self.conv2.padding = (dilation, dilation)
        if self.downsample is not None:
            self.downsample[0].stride = (stride, stride)  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, h, w) -> (B, 4 · width, h / stride, w / stride)."""
        y = F.relu(convolve(x, self.conv1, self.bn1), inplace=True)
        y = F.relu(convolve(y, self.conv2, self.bn2), inplace=True)
        y = convolve(y, self.conv3, self.bn3)
        shortcut = x if self.downsample is None else convolve(x, *self.downsample)
        return F.relu(y.add_(shortcut), inplace=True)


def batch_norm_layer(channels: int) -> nn.BatchNorm2d:
    """Batch norm with DeepLab's slow average (momentum 0.999 in Caffe's convention)."""
    return nn.BatchNorm2d(channels, momentum=0.001)


def _layer(channels: int, width: int, depth: int) -> nn.Sequential:
    first = Bottleneck(channels, width, downsample=True)
    return nn.Sequential(first, *(Bottleneck(4 * width, width, downsample=False) for _ in range(depth - 1)))
