"""EfficientNet-Lite0: small, fast on a CPU, and its ImageNet weights come with the installation.

Source: Tan and Le, EfficientNet, ICML 2019; the Lite variants (no squeeze-and-excitation, ReLU6) are
TensorFlow's, 2020.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from boxseg.errors import ConfigError
from boxseg.nn.backbones.base import TENSORFLOW_LITE, Backbone, BatchNorm, HeadName, convolve, init_convolutions
from boxseg.nn.backbones.layers import DepthwiseConv2d, ReLU6
from boxseg.nn.row_bands import in_bands

# kernel, stride, expansion, output channels, blocks
BLOCKS = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
STEM_CHANNELS = 32
# Blocks of the first three stages, up to stride 8, and how far these and the stem see, pixels.
FINE_BLOCKS, FINE_REACH = 5, 33
HEAD_CHANNELS = 1280


class EfficientNetLite0(Backbone):
    """EfficientNet-Lite0 without its classifier.

    Beyond the chosen stride, strides become dilations: the cells of the original stride keep their values
    and those between are new. On sizes stride · k + 1 TensorFlow's SAME padding is symmetric, so the
    original network is computed exactly.

    Args:
        stride: 8, 16 or 32.
        features: `head`: output of the 1x1 convolution after the last block (1280 channels, ReLU6);
            `blocks`: of the last block (320 channels, linear).
        batch_norm: `frozen` or `train`.

    Raises:
        ConfigError: Another stride.
    """

    own_layers: ClassVar[bool] = True

    def __init__(
        self,
        *,
        stride: int = 16,
        features: Literal["blocks", "head"] = "head",
        batch_norm: BatchNorm = "frozen",
    ) -> None:
        if stride not in (8, 16, 32):
            raise ConfigError(f"stride {stride} of efficientnet_lite0: expected 8, 16 or 32")
        channels = HEAD_CHANNELS if features == "head" else BLOCKS[-1][3]
        super().__init__(channels=channels, stride=stride, preprocessing=TENSORFLOW_LITE, batch_norm=batch_norm)
        self.conv_stem = nn.Conv2d(3, STEM_CHANNELS, 3, stride=2, padding=1, bias=False)
        self.bn0 = batch_norm_layer(STEM_CHANNELS)
        self.blocks = nn.Sequential(*_blocks(stride))
        self.act = ReLU6()
        self.has_head = features == "head"
        if self.has_head:
            self.conv_head = nn.Conv2d(BLOCKS[-1][3], HEAD_CHANNELS, 1, bias=False)
            self.bn1 = batch_norm_layer(HEAD_CHANNELS)
        init_convolutions(self)
        self.train()

    @classmethod
    def options_under(cls, head: HeadName) -> dict[str, Any]:
        """A segmentation head takes the features of the last block."""
        return {"features": "blocks"}

    def extract(self, x: Tensor) -> Tensor:
        """Features (B, C, h, w) of normalised, padded images (B, 3, H, W)."""
        y: Tensor = self.blocks[FINE_BLOCKS:](in_bands(self._fine, x, stride=8, reach=FINE_REACH))
        if self.has_head:
            y = self.act(convolve(y, self.conv_head, self.bn1))
        return y

    def _fine(self, x: Tensor) -> Tensor:
        y: Tensor = self.blocks[:FINE_BLOCKS](self.act(convolve(x, self.conv_stem, self.bn0)))
        return y


class MBConv(nn.Module):
    """Inverted bottleneck: expand 1x1, filter each channel, project 1x1; with `skip`, add the input.

    Source: Sandler et al., MobileNetV2, CVPR 2018, Sec. 3.3.
    """

    def __init__(
        self, channels: int, out: int, *, kernel: int, stride: int, dilation: int, expansion: int, skip: bool
    ) -> None:
        super().__init__()
        wide = channels * expansion
        self.expands = expansion != 1
        if self.expands:
            self.expand_conv = nn.Conv2d(channels, wide, 1, bias=False)
            self.bn0 = batch_norm_layer(wide)
        self.depthwise_conv = DepthwiseConv2d(wide, kernel, stride=stride, dilation=dilation)
        self.bn1 = batch_norm_layer(wide)
        self.project_conv = nn.Conv2d(wide, out, 1, bias=False)
        self.bn2 = batch_norm_layer(out)
        self.act = ReLU6()
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, h, w) -> (B, out, h / stride, w / stride)."""
        y = self.act(convolve(x, self.expand_conv, self.bn0)) if self.expands else x
        y = self.act(convolve(y, self.depthwise_conv, self.bn1))
        y = convolve(y, self.project_conv, self.bn2)
        return x + y if self.skip else y


def batch_norm_layer(channels: int) -> nn.BatchNorm2d:
    """Batch norm with TensorFlow's constants: ε 1e-3, decay 0.99."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _blocks(output_stride: int) -> list[MBConv]:
    blocks = []
    channels, reached, dilation = STEM_CHANNELS, 2, 1
    for kernel, stage_stride, expansion, out, repeats in BLOCKS:
        for index in range(repeats):
            stride, next_dilation = stage_stride if index == 0 else 1, dilation
            if stride == 2 and reached == output_stride:
                # The layer that would have strided still reads the finer grid; only later layers dilate.
                stride, next_dilation = 1, 2 * dilation
            skip = index > 0  # as trained: never where the stage strides, even if that became a dilation
            geometry = {"kernel": kernel, "stride": stride, "dilation": dilation}
            blocks.append(MBConv(channels, out, **geometry, expansion=expansion, skip=skip))
            channels, reached, dilation = out, reached * stride, next_dilation
    return blocks
