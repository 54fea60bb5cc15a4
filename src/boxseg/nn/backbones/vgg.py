"""VGG-16 as DeepLab-LargeFOV lays it out: stride 8, fc6 and fc7 as convolutions.

Source: Simonyan and Zisserman, ICLR 2015; Chen et al., Semantic Image Segmentation with Deep Convolutional
Nets and Fully Connected CRFs, ICLR 2015, Sec. 3.1.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from boxseg.nn.backbones.base import CAFFE, Backbone, BatchNorm, HeadName, conv3x3, init_convolutions
from boxseg.nn.row_bands import in_bands

# Channels of the convolutions of each block.
BLOCKS = {1: (64, 64), 2: (128, 128), 3: (256, 256, 256), 4: (512, 512, 512), 5: (512, 512, 512)}
CONVOLUTIONS = [f"conv{block}_{index + 1}" for block, widths in BLOCKS.items() for index in range(len(widths))]
FC_CHANNELS = 1024
# How far a cell after the first three blocks (stride 8) sees, pixels.
FINE_REACH = 25


class VGG16(Backbone):
    """VGG-16 at stride 8: 3x3 pooling throughout, pool4 and pool5 at stride 1, conv5 dilated by 2.

    Args:
        fc_dilation: Dilation of fc6: 1 in the box classifier, 12 in DeepLab-LargeFOV.
        features: `fc7` (1024 channels), or `pool5` (512 channels, no fc6 and fc7) for use under another head.
        batch_norm: Has no effect: VGG-16 has no batch norm.
    """

    own_layers: ClassVar[bool] = True

    def __init__(
        self,
        *,
        fc_dilation: int = 1,
        features: Literal["fc7", "pool5"] = "fc7",
        batch_norm: BatchNorm = "frozen",
    ) -> None:
        has_fc = features == "fc7"
        channels = FC_CHANNELS if has_fc else BLOCKS[5][-1]
        super().__init__(channels=channels, stride=8, preprocessing=CAFFE, batch_norm=batch_norm)
        previous = 3
        for block, widths in BLOCKS.items():
            for index, width in enumerate(widths, start=1):
                layer = conv3x3(previous, width, dilation=2 if block == 5 else 1)
                self.add_module(f"conv{block}_{index}", layer)
                previous = width
        self.includes_largefov = has_fc
        if has_fc:
            self.fc6 = conv3x3(previous, FC_CHANNELS, dilation=fc_dilation)
            self.fc7 = nn.Conv2d(FC_CHANNELS, FC_CHANNELS, 1)
            self.dropout = nn.Dropout2d(0.5)
        init_convolutions(self)

    @classmethod
    def options_under(cls, head: HeadName) -> dict[str, Any]:
        """fc6 dilated by 12 is the LargeFOV head; other heads take pool5."""
        return {"fc_dilation": 12} if head == "largefov" else {"features": "pool5"}

    def extract(self, x: Tensor) -> Tensor:
        """Features (B, C, h, w) of normalised, padded images (B, 3, H, W)."""
        x = in_bands(lambda part: self._blocks(part, (1, 2, 3)), x, stride=8, reach=FINE_REACH)
        x = self._blocks(x, (4, 5))
        if self.includes_largefov:
            x = self.dropout(F.relu(self.fc6(x), inplace=True))
            x = self.dropout(F.relu(self.fc7(x), inplace=True))
        return x

    def _blocks(self, x: Tensor, numbers: tuple[int, ...]) -> Tensor:
        for block in numbers:
            for index in range(len(BLOCKS[block])):
                x = F.relu(self.get_submodule(f"conv{block}_{index + 1}")(x), inplace=True)
            x = F.max_pool2d(x, 3, stride=2 if block <= 3 else 1, padding=1)
        return x
