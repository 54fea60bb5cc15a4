"""Stage 1 as a LightningModule: the box classifier with background-aware pooling.

Source: METHOD: Oh et al., BANA, CVPR 2021, section 3.1.
"""

from __future__ import annotations

import logging

from torch import Tensor

from boxseg.config import Classify
from boxseg.nn.deeplab import BoxClassifier
from boxseg.nn.pooling import PoolingOptions, background_aware_pooling, count_queries, pooling_loss
from boxseg.training.loop import StepsDown, Training

log = logging.getLogger("boxseg")


class BoxClassifierTraining(Training):
    """Mean cross-entropy over the pooled features of all boxes and of the background queries."""

    network: BoxClassifier

    def __init__(
        self, network: BoxClassifier, options: Classify, *, new: set[str], iterations: int, seed: int
    ) -> None:
        schedule = StepsDown(iterations, options.milestones)
        super().__init__(network, new=new, optimiser=options.optimiser, schedule=schedule, seed=seed)
        self.options = options

    def counts(self, batch: dict[str, Tensor]) -> Tensor:  # noqa: D102
        options, network = self.options, self.network
        height, width = batch["images"].shape[-2:]
        queries = count_queries(
            batch["background"],
            batch["valid"],
            network.backbone.feature_size(height, width),
            stride=network.stride,
            grid=options.grid,
        )
        return (queries + len(batch["labels"]) * options.roi_bins**2)[None]

    def loss(self, batch: dict[str, Tensor], totals: Tensor | None = None) -> Tensor:  # noqa: D102
        options = self.options
        pooled = background_aware_pooling(
            self.network.features(batch["images"]),
            self.network.weight,
            batch["boxes"],
            batch["batch_index"],
            batch["background"],
            PoolingOptions(
                stride=self.network.stride,
                grid=options.grid,
                roi_bins=options.roi_bins,
                min_background=options.min_background,
                pooling=options.pooling,
            ),
            valid=batch["valid"],
        )
        return pooling_loss(pooled, batch["labels"], None if totals is None else totals[0])
