"""The mask network and its training on boxes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from boxseg.errors import require, require_schedule


@dataclass(frozen=True, kw_only=True)
class Adapt:
    """The mask network, trained on boxes alone.

    Args:
        weights: What training starts from: `shipped`, the weights that come with boxseg; `imagenet`, the
            backbone's ImageNet weights and a new decoder; or a model.safetensors of an earlier `adapt`.
        batch: Boxes per step.
        epochs: Passes over the boxes.
        max_iterations: Steps of these passes at most; more brought nothing.
        iterations: Number of steps; replaces both.
        lr: Highest learning rate of the backbone (AdamW; it rises over `warm_up` of the schedule, then falls to
            0 along a cosine).
        decoder_lr: Factor on the learning rate for the decoder.
        weight_decay: Weight decay of AdamW.
        warm_up: Share of the schedule over which the learning rate rises.
        prior: Share of the schedule that learns from ellipses refined by colours, before the network's own
            averaged answers take their place; for `weights=imagenet` only.
        average: Share of the averaged teacher that stays at each step.
        outside: Weight of the loss outside the box.
        projection: Weight of the projection loss.
        pairwise: Weight of the pairwise colour loss.
        agreement: Weight of the agreement with the teacher's refined answers.
        labelled: Weight of the agreement with labels by class, where there are any.
        colour: λ, weight of colours when an answer is refined.
        smooth: κ, weight of neighbours when an answer is refined.
        min_side: Boxes with a shorter side than this, in pixels, are not trained on.
        margins: Smallest and largest margin around a box, as shares of its sides.
        flip: Probability that a crop is mirrored.
        jitter: Strength of the changes of brightness, contrast and saturation.
        small: Probability that a crop is shown with as few pixels as a small object has.
        smallest: Fewest pixels a side it is then shown with.
        enabled: Whether `run` trains it; with `adapt=false` the network that comes with boxseg makes the masks.
    """

    weights: str = "shipped"
    batch: int = 16
    epochs: float = 4.0
    max_iterations: int = 1000
    iterations: int | None = None
    lr: float = 1e-4
    decoder_lr: float = 7.0
    weight_decay: float = 0.01
    warm_up: float = 0.15
    prior: float = 0.1
    average: float = 0.995
    outside: float = 1.0
    projection: float = 1.0
    pairwise: float = 0.5
    agreement: float = 1.0
    labelled: float = 0.5
    colour: float = 0.7
    smooth: float = 3.0
    min_side: float = 16.0
    margins: tuple[float, float] = (0.08, 0.32)
    flip: float = 0.5
    jitter: float = 0.3
    small: float = 0.5
    smallest: int = 20
    enabled: bool = True

    def __post_init__(self) -> None:
        require_schedule("adapt", self.batch, self.epochs, self.iterations)
        require(self.max_iterations >= 1, f"adapt.max_iterations must be at least 1, got {self.max_iterations}")
        require(0 < self.lr < math.inf, f"adapt.lr must be positive, got {self.lr}")
        for name in ("warm_up", "prior", "average", "flip", "small"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"adapt.{name} must be in 0..1, got {value}")
        weights = ("outside", "projection", "pairwise", "agreement", "labelled", "colour", "smooth")
        for name in ("decoder_lr", "weight_decay", "min_side", *weights):
            value = getattr(self, name)
            require(0 <= value < math.inf, f"adapt.{name} must be 0 or more, got {value}")
        require(0 <= self.jitter < 1, f"adapt.jitter must be from 0 to below 1, got {self.jitter}")
        require(
            0 <= self.margins[0] <= self.margins[1] < math.inf,
            f"adapt.margins must be [smallest, largest], got {list(self.margins)}",
        )
        require(4 <= self.smallest <= 160, f"adapt.smallest must be 4 to 160 pixels, got {self.smallest}")
