"""The mask network: from a crop around one box to the mask of the object in it, of whatever class.

An encoder of ImageNet features and a decoder that goes back to stride 2, as in U-Net (Ronneberger et al.,
MICCAI 2015) and FPN (Lin et al., CVPR 2017). Where the box lies and what other boxes cover enters as maps
beside the features, at every level.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from boxseg.nn.backbones.base import convolve
from boxseg.nn.backbones.efficientnet_lite import EfficientNetLite0

# Side of a crop as the network sees it and of the grid it answers on, whose cell (i, j) lies over pixel (2i,
# 2j).
SIDE = 257
GRID = 129
# Distances to the four sides of the box, inside the box, covered by other boxes.
GUIDES = 6
# Boxes over a cell that are told apart: none, one, more.
MOST_OTHERS = 2

# Blocks of EfficientNet-Lite0 after which a stride ends, and their channels: strides 2, 4, 8, 16 and 32.
_LEVELS = {0: 16, 2: 24, 4: 40, 10: 112, 15: 320}
# Blocks that keep their ImageNet weights: edges and colours are the same everywhere, and two fifths of the time
# of a training step would go into them.
FROZEN_BLOCKS = 3


class MaskNetwork(nn.Module):
    """EfficientNet-Lite0 and a decoder of 0.4 M parameters.

    Attributes:
        backbone: The encoder.
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone = EfficientNetLite0(stride=32, features="blocks")
        s2, s4, s8, s16, s32 = _LEVELS.values()
        self.guide = nn.Conv2d(GUIDES, s4, 1)
        self.from_32 = nn.Conv2d(s32, 128, 1)
        self.from_16 = nn.Conv2d(s16 + GUIDES, 128, 1)
        self.at_16 = nn.Sequential(nn.GroupNorm(8, 128), nn.ReLU(inplace=True), _block(128, 96), _block(96, 96))
        self.from_8 = nn.Conv2d(s8 + GUIDES, 96, 1)
        self.at_8 = _block(96, 64)
        self.from_4 = nn.Conv2d(s4 + GUIDES, 64, 1)
        self.at_4 = nn.Sequential(_block(64, 32), _block(32, 32))
        self.narrow = nn.Conv2d(32, 16, 1)
        self.from_2 = nn.Conv2d(s2 + GUIDES, 16, 1)
        self.at_2 = _block(16, 16, groups=4)
        self.logit = nn.Conv2d(16, 1, 1)
        # The encoder begins as it was on ImageNet: it learns by itself to look at the box.
        nn.init.zeros_(self.guide.weight)
        nn.init.zeros_(self.guide.bias)  # type: ignore[arg-type]
        self._freeze()

    def _freeze(self) -> None:
        backbone = self.backbone
        for part in (backbone.conv_stem, backbone.bn0, *list(backbone.blocks)[:FROZEN_BLOCKS]):
            part.requires_grad_(False)

    def forward(self, crops: Tensor, guides: Tensor) -> Tensor:
        """Logits of the object's mask.

        Args:
            crops: (B, 3, SIDE, SIDE) RGB, 0..255, uint8 or float.
            guides: (B, GUIDES, GRID, GRID), as `guide_maps` makes them.

        Returns:
            (B, GRID, GRID).
        """
        crops = self.backbone.normalise(crops)
        levels = [guides.to(crops.dtype)]
        for _ in range(3):
            levels.append(levels[-1][..., ::2, ::2])
        g2, g4, g8, g16 = levels
        f2, f4, f8, f16, f32 = self._encode(crops, g4)
        y = self.at_16(_up(self.from_32(f32), g16) + self.from_16(torch.cat([f16, g16], 1)))
        y = self.at_8(_up(y, g8) + self.from_8(torch.cat([f8, g8], 1)))
        y = self.at_4(_up(y, g4) + self.from_4(torch.cat([f4, g4], 1)))
        y = self.at_2(_up(self.narrow(y), g2) + self.from_2(torch.cat([f2, g2], 1)))
        logits: Tensor = self.logit(y)[:, 0]
        return logits

    def _encode(self, x: Tensor, guides: Tensor) -> list[Tensor]:
        """Features at strides 2, 4, 8, 16 and 32; from stride 8 on they know of the box."""
        backbone = self.backbone
        found = []
        with torch.no_grad():
            x = backbone.act(convolve(x, backbone.conv_stem, backbone.bn0))
            for place in range(FROZEN_BLOCKS):
                x = backbone.blocks[place](x)
                if place in _LEVELS:
                    found.append(x)
        x = x + self.guide(guides)
        for place in range(FROZEN_BLOCKS, len(backbone.blocks)):
            x = backbone.blocks[place](x)
            if place in _LEVELS:
                found.append(x)
        return found


def guide_maps(boxes: Tensor, others: Tensor) -> Tensor:
    """What the network is told of the boxes.

    Args:
        boxes: (B, 4) xyxy, the box of each crop, in pixels of the crop.
        others: (B, GRID, GRID), how many other boxes cover a cell, MOST_OTHERS at most.

    Returns:
        (B, GUIDES, GRID, GRID): distances of a cell to the left, right, top and bottom side, in widths and
        heights of the box, negative outside it, from -0.5 to 1.5; 1 inside the box; the share of MOST_OTHERS.
    """
    places = _cells(boxes)
    left, top, right, bottom = boxes.to(places.dtype)[:, :, None].unbind(1)
    width, height = (right - left).clamp_min(1), (bottom - top).clamp_min(1)
    across = torch.stack([(places - left) / width, (right - places) / width], 1).clamp(-0.5, 1.5)
    down = torch.stack([(places - top) / height, (bottom - places) / height], 1).clamp(-0.5, 1.5)
    shape = (-1, -1, GRID, GRID)
    return torch.cat(
        [
            across[:, :, None, :].expand(shape),
            down[:, :, :, None].expand(shape),
            inside_box(boxes)[:, None],
            others[:, None].to(places.dtype) / MOST_OTHERS,
        ],
        1,
    )


def inside_box(boxes: Tensor) -> Tensor:
    """(B, GRID, GRID), 1 on cells inside the boxes (B, 4) xyxy in pixels of the crop, 0 elsewhere."""
    places = _cells(boxes)
    left, top, right, bottom = boxes.to(places.dtype)[:, :, None].unbind(1)
    columns, rows = (left < places) & (places < right), (top < places) & (places < bottom)
    return (rows[:, :, None] & columns[:, None, :]).to(places.dtype)


def _cells(boxes: Tensor) -> Tensor:
    """(1, GRID), where cells lie, in pixels of the crop: over the centres of every other pixel."""
    return torch.arange(GRID, device=boxes.device, dtype=torch.float32)[None] * 2 + 0.5


def _block(channels: int, out: int, groups: int = 8) -> nn.Sequential:
    convolution = nn.Conv2d(channels, out, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(groups, out), nn.ReLU(inplace=True))


def _up(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=True)
