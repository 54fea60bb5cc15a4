"""Networks small enough for tests that only need one."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from boxseg.config import Model, Segment
from boxseg.inference.networks import save_network, start_segmenter
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


def write_uneven_segmenter(file: Path, classes: tuple[str, ...]) -> Path:
    """A segmentation network that is not trained, and says something else in every place."""
    segmenter, _ = start_segmenter(Model(), len(classes), 0)
    nn.init.orthogonal_(segmenter.classifier.weight, generator=torch.Generator().manual_seed(1))
    save_network(file, segmenter, classes=classes, model=Model(), options=Segment())
    return file
