"""Stage 1 as a LightningModule: the box classifier with background-aware pooling.

Source: Oh et al., BANA, CVPR 2021, section 3.1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from torch import Tensor

from boxseg.config import Classify, Model
from boxseg.inference.networks import start_classifier
from boxseg.nn.deeplab import BoxClassifier
from boxseg.nn.pooling import PoolingOptions, background_aware_pooling, count_queries, pooling_loss
from boxseg.training.class_module import ClassModule
from boxseg.training.schedule import StepsDown


class BoxClassifierModule(ClassModule):
    """A box classifier and its training, for `lightning.Trainer(…).fit(module, datamodule=BoxDataModule(…))`.

    The loss is the mean cross-entropy over the pooled features of all boxes and of the background queries.
    `SegmenterModule` says what the Trainer needs.

    Args:
        classes: L, object classes; the background is added.
        iterations: Steps of the whole schedule; the learning rate drops at shares of it.
        backbone: Feature extractor, instead of that of `model`.
        model: Options of the network.
        classify: Options of the training; batch, augment, epochs and iterations have no effect here.
        seed: Seed of new weights and of dropout.
        accumulate: Parts that each batch is computed in, one after the other, for less memory.

    Raises:
        ConfigError: There is no such backbone, or its plug-in cannot be imported.
        CheckpointError: The pretrained weights cannot be read or fetched.
    """

    network: BoxClassifier
    options: Classify
    stage: ClassVar[str] = "classify"

    def __init__(
        self,
        *,
        classes: int,
        iterations: int,
        backbone: str | None = None,
        model: Model | None = None,
        classify: Classify | None = None,
        seed: int = 0,
        accumulate: int = 1,
    ) -> None:
        model, options = model or Model(), classify or Classify()
        model = replace(model, backbone=backbone) if backbone else model
        network, weights = start_classifier(model, classes, seed)
        super().__init__(
            network,
            weights,
            model=model,
            options=options,
            schedule=StepsDown(iterations, options.milestones),
            iterations=iterations,
            seed=seed,
            accumulate=accumulate,
        )

    def counts(self, batch: dict[str, Tensor]) -> Tensor:  # noqa: D102
        options, network = self.options, self.network
        size = network.backbone.feature_size(*batch["images"].shape[-2:])
        queries = count_queries(
            batch["background"], batch["valid"], size, stride=network.stride, grid=options.grid
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
