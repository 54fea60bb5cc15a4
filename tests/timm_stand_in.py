"""What stands for timm, which cannot be imported without torchvision, and one small model of it."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest
import torch
from torch import Tensor, nn


class Tiles(nn.Module):
    """Two stages of tiles, 4 and 8 pixels, the second one's channels last, as timm's Swin has them."""

    def __init__(self, out_indices: tuple[int, ...] = (0, 1)) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 5, 4, 4), nn.Conv2d(5, 7, 2, 2)
        self.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
        places = tuple(out_indices)
        channels = [(5, 7)[place] for place in places]
        self.feature_info = types.SimpleNamespace(out_indices=places, channels=lambda: channels)

    def forward(self, x: Tensor) -> list[Tensor]:
        first = self.first(x)
        both = (first, self.second(first).permute(0, 2, 3, 1))
        return [both[place] for place in self.feature_info.out_indices]


def install(monkeypatch: pytest.MonkeyPatch, name: str) -> types.ModuleType:
    """`import timm` gives the stand-in, which knows one model of this name."""

    def create_model(_: str, *, pretrained: bool, features_only: bool, **options: Any) -> Tiles:
        torch.manual_seed(int(pretrained))
        return Tiles(**options)  # knows no dynamic_img_size

    module = types.ModuleType("timm")
    module.create_model = create_model  # type: ignore[attr-defined]
    module.is_model = lambda asked: asked == name  # type: ignore[attr-defined]
    module.list_models = lambda: [name]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", module)
    return module
