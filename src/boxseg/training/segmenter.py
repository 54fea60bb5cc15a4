"""Stage 3 as a LightningModule: a segmentation network with one of the six losses.

Source: Oh et al., BANA, CVPR 2021, section 3.3.
"""

from __future__ import annotations

import logging

from torch import Tensor

from boxseg.config import Segment
from boxseg.nn.deeplab import Segmenter
from boxseg.nn.losses import LossOptions, count_pixels, find_loss
from boxseg.training.loop import Poly, Training

log = logging.getLogger("boxseg")


class SegmenterTraining(Training):
    """One of the six losses."""

    network: Segmenter

    def __init__(
        self, network: Segmenter, options: Segment, *, new: set[str], iterations: int, seed: int
    ) -> None:
        schedule = Poly(iterations, options.poly_power)
        super().__init__(network, new=new, optimiser=options.optimiser, schedule=schedule, seed=seed)
        self.options = options
        self.iterations = iterations

    def counts(self, batch: dict[str, Tensor]) -> Tensor:  # noqa: D102
        return count_pixels(self.options.loss, batch["y_crf"], batch["y_ret"])

    def loss(self, batch: dict[str, Tensor], totals: Tensor | None = None) -> Tensor:  # noqa: D102
        network, options = self.network, self.options
        told = LossOptions(
            stride=network.stride,
            temperature=network.temperature,
            weight=options.weight,
            gamma=options.gamma,
            progress=self.global_step / self.iterations,
            detach_confidence=options.detach_confidence,
            totals=totals,
        )
        logits = network.logits(network(batch["images"]))
        return find_loss(options.loss)(logits, batch["y_crf"], batch["y_ret"], told)
