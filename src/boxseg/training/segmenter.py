"""Stage 3 as a LightningModule: a segmentation network with one of the six losses, or a plug-in's.

Source: Oh et al., BANA, CVPR 2021, section 3.3.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from boxseg.config import Model, Segment
from boxseg.errors import ConfigError
from boxseg.inference.networks import start_segmenter
from boxseg.nn.deeplab import Segmenter
from boxseg.nn.losses import LOSSES, LossOptions, count_pixels, find_loss
from boxseg.training.class_module import ClassModule
from boxseg.training.schedule import Poly


class SegmenterModule(ClassModule):
    """A segmentation network and its training, for a `lightning.Trainer` together with a `LabelDataModule`.

    The Trainer needs no argument but `max_steps`, and on several devices `use_distributed_sampler=False`;
    `accumulate` takes the place of its `accumulate_grad_batches`.

    Args:
        classes: L, object classes; the background is added.
        iterations: Steps of the whole schedule, after which the learning rate is 0.
        backbone: Feature extractor, instead of that of `model`.
        loss: Which loss, instead of that of `segment`.
        model: Options of the network.
        segment: Options of the training; batch, augment, epochs and iterations have no effect here.
        seed: Seed of new weights and of dropout.
        accumulate: Parts that each batch is computed in, one after the other, for less memory.

    Raises:
        ConfigError: There is no such backbone or loss, or its plug-in cannot be imported.
        CheckpointError: The pretrained weights cannot be read or fetched.
    """

    network: Segmenter
    options: Segment
    stage: ClassVar[str] = "segment"

    def __init__(
        self,
        *,
        classes: int,
        iterations: int,
        backbone: str | None = None,
        loss: str | None = None,
        model: Model | None = None,
        segment: Segment | None = None,
        seed: int = 0,
        accumulate: int = 1,
    ) -> None:
        model, options = model or Model(), segment or Segment()
        model = replace(model, backbone=backbone) if backbone else model
        options = replace(options, loss=loss) if loss else options
        network, weights = start_segmenter(model, classes, seed)
        super().__init__(
            network,
            weights,
            model=model,
            options=options,
            schedule=Poly(iterations, options.poly_power),
            iterations=iterations,
            seed=seed,
            accumulate=accumulate,
        )
        self.loss_function = find_loss(options.loss)
        # Whether it divides by LossOptions.totals: boxseg's losses do, others are tested at the first step.
        self._heeds_totals = options.loss in LOSSES

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
        if not self._heeds_totals and totals is not None:
            self._check_totals(logits.detach(), batch, told)
        return self.loss_function(logits, batch["y_crf"], batch["y_ret"], told)

    def plugged_in(self) -> tuple[object, ...]:  # noqa: D102
        return (*super().plugged_in(), self.loss_function)

    def _check_totals(self, logits: Tensor, batch: dict[str, Tensor], told: LossOptions) -> None:
        """Check that a plug-in's loss divides by `totals`, so that its parts add up to the whole."""
        assert told.totals is not None
        labels = batch["y_crf"], batch["y_ret"]
        with torch.no_grad():
            once = self.loss_function(logits, *labels, told)
            twice = self.loss_function(logits, *labels, replace(told, totals=2 * told.totals))
        if once != 0 and torch.equal(once, twice):
            raise ConfigError(
                f"the loss {self.options.loss!r} does not divide by options.totals, as trainer.accumulate and "
                "several devices need: see LossOptions.totals, or use accumulate=1 on one device"
            )
        self._heeds_totals = bool(once != 0)
