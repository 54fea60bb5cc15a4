"""Networks small enough for tests that only need one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from boxseg.nn.backbones.base import TORCHVISION, Backbone


class Edges(Backbone):
    """A backbone that sees 3 pixels around each cell, and is exported in a moment."""

    def __init__(self) -> None:
        super().__init__(channels=8, stride=4, preprocessing=TORCHVISION)
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.second = nn.Conv2d(8, 8, 3, stride=2, padding=1)

    def extract(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(torch.relu(self.first(x)))
        return y
