"""Stage 1: train the box classifier with background-aware pooling.

Source: METHOD: Oh et al., BANA, CVPR 2021, section 3.1.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from boxseg import formats
from boxseg.config import Classify
from boxseg.data.loading import BoxTraining
from boxseg.dataset import BoxDataset
from boxseg.errors import DataError
from boxseg.jobs import ClassifyJob
from boxseg.nn.deeplab import BoxClassifier
from boxseg.nn.pooling import background_aware_pooling, count_queries, pooling_loss
from boxseg.report.tables import Table
from boxseg.stages.doctor import report_problems
from boxseg.stages.folder import open_folder
from boxseg.stages.networks import save_network, start_classifier, weight_inputs
from boxseg.stages.training import StepsDown, Training, fit, schedule_length

log = logging.getLogger("boxseg")


@dataclass(frozen=True, kw_only=True)
class Classified:
    """A trained box classifier.

    Attributes:
        checkpoint: Its file.
        images: Photos it was trained on; None where it was there already.
    """

    checkpoint: Path
    images: int | None

    def tables(self) -> list[Table]:
        """None: labels tell how good a classifier is."""
        return []

    def notes(self) -> list[str]:
        """Where it is."""
        return [f"Box classifier: {self.checkpoint}"]


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
            stride=self.network.stride,
            grid=options.grid,
            roi_bins=options.roi_bins,
            min_background=options.min_background,
            pooling=options.pooling,
            valid=batch["valid"],
        )
        return pooling_loss(pooled, batch["labels"], None if totals is None else totals[0])


def run(job: ClassifyJob) -> Classified:
    """Train a box classifier, or go on with it.

    Raises:
        DataError: The data cannot be used.
        ConfigError: The folder holds another run.
    """
    dataset = formats.load(job.data)
    folder = open_folder(job, inputs=weight_inputs(job.model))
    file = folder / "model.safetensors"
    if file.is_file():
        log.info(f"classify: {file} is there already")
        return Classified(checkpoint=file, images=None)
    report_problems(dataset)
    dataset = with_boxes(dataset)
    train(dataset, job, folder, file)
    return Classified(checkpoint=file, images=len(dataset))


def train(dataset: BoxDataset, job: ClassifyJob, folder: Path, file: Path) -> None:
    """Train on these images and write the checkpoint."""
    options, trainer = job.classify, job.trainer
    iterations = schedule_length(options, len(dataset), job.scale)
    log.info(
        f"classify: {len(dataset)} images, {len(dataset.classes)} classes, {iterations} iterations "
        f"of {options.batch} images, {options.pooling.upper()}"
    )
    network, new = start_classifier(job.model, len(dataset.classes), trainer.seed, folder)
    fit(
        BoxClassifierTraining(network, options, new=new, iterations=iterations, seed=trainer.seed),
        BoxTraining(dataset, options.augment, trainer.seed),
        batch=options.batch,
        iterations=iterations,
        trainer=trainer,
        scale=job.scale,
        folder=folder,
        description="classify",
    )
    save_network(file, network, classes=dataset.classes, model=job.model, options=options)


def with_boxes(dataset: BoxDataset) -> BoxDataset:
    """The images that have a box; the others teach the classifier nothing.

    Raises:
        DataError: There is none.
    """
    samples = tuple(sample for sample in dataset.samples if len(sample.labels))
    if not samples:
        raise DataError(f"no image of split {dataset.split} in {dataset.root} has a box")
    if len(samples) < len(dataset):
        log.info(f"classify: {len(dataset) - len(samples)} images without a box are left out")
    return dataclasses.replace(dataset, samples=samples)
