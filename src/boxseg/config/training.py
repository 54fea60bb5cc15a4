"""What both trainings have: learning rates, and random changes of the images."""

from __future__ import annotations

import math
from dataclasses import dataclass

from boxseg.errors import require


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """SGD with the papers' learning-rate multipliers: 1 weights, 2 biases, 10 new weights, 20 new biases.

    Args:
        lr: Learning rate of pretrained weights.
        momentum: Momentum of SGD.
        weight_decay: Weight decay of weights; biases have none.
        new_lr: Factor on the learning rate for layers that start from random weights.
        bias_lr: Factor on the learning rate for biases.
    """

    lr: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 5e-4
    new_lr: float = 10.0
    bias_lr: float = 2.0

    def __post_init__(self) -> None:
        require(0 < self.lr < math.inf, f"optimiser.lr must be positive, got {self.lr}")
        require(0 <= self.momentum < 1, f"optimiser.momentum must be from 0 to below 1, got {self.momentum}")
        for name in ("weight_decay", "new_lr", "bias_lr"):
            value = getattr(self, name)
            require(0 <= value < math.inf, f"optimiser.{name} must be 0 or more, got {value}")


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Random changes of training images, applied in this order.

    Args:
        crop: Side of the square crop, in pixels.
        scale: Smallest and largest scale.
        flip: Probability of a horizontal flip.
        jitter: Strength of the changes of brightness, contrast and saturation.
    """

    crop: int = 321
    scale: tuple[float, float] = (0.5, 1.5)
    flip: float = 0.5
    jitter: float = 0.5

    def __post_init__(self) -> None:
        require(self.crop >= 16, f"augment.crop must be at least 16 pixels, got {self.crop}")
        require(
            0 < self.scale[0] <= self.scale[1],
            f"augment.scale must be [smallest, largest], got {list(self.scale)}",
        )
        require(0 <= self.flip <= 1, f"augment.flip is a probability, got {self.flip}")
        require(0 <= self.jitter < 1, f"augment.jitter must be in 0..1, got {self.jitter}")
