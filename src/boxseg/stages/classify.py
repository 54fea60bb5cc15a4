"""Stage 1: train the box classifier with background-aware pooling.

Source: METHOD: Oh et al., BANA, CVPR 2021, section 3.1.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from boxseg.data.loading import BoxTraining
from boxseg.dataset import BoxDataset
from boxseg.formats.problems import report_problems
from boxseg.formats.splits import Splits
from boxseg.inference.networks import weight_inputs
from boxseg.jobs import ClassifyJob
from boxseg.results import Result
from boxseg.runs.folder import open_folder
from boxseg.runs.layout import MODEL
from boxseg.runs.stage_files import training_files
from boxseg.training.box_classifier import BoxClassifierModule
from boxseg.training.labels import with_boxes
from boxseg.training.loop import fit
from boxseg.training.schedule import schedule_length

log = logging.getLogger("boxseg")


@dataclass(frozen=True, kw_only=True)
class ClassifyResult(Result):
    """A trained box classifier.

    Attributes:
        checkpoint: Its file.
        images: Photos it was trained on; None where it was there already.
    """

    checkpoint: Path
    images: int | None

    def notes(self) -> list[str]:
        """Where it is."""
        return [f"Box classifier: {self.checkpoint}"]


def run(
    job: ClassifyJob,
    splits: Splits | None = None,
    *,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
) -> ClassifyResult:
    """Train a box classifier, or go on with it.

    Args:
        job: What to do.
        splits: What other stages have read.
        callbacks: Lightning's, for the training.
        loggers: Lightning's, beside those of `trainer.loggers`.

    Raises:
        DataError: The data cannot be used.
        ConfigError: The folder holds another run, or what Lightning is given cannot be used.
    """
    dataset = (splits or Splits()).load(job.data)
    folder = open_folder(job, inputs=weight_inputs(job.model))
    file = folder / MODEL
    if training_files(folder).done:
        log.info(f"classify: {file} is there already")
        return ClassifyResult(checkpoint=file, images=None)
    report_problems(dataset)
    dataset = with_boxes(dataset)
    train(dataset, job, folder, file, callbacks=callbacks, loggers=loggers)
    return ClassifyResult(checkpoint=file, images=len(dataset))


def train(
    dataset: BoxDataset,
    job: ClassifyJob,
    folder: Path,
    file: Path,
    *,
    callbacks: Sequence[Callback],
    loggers: Sequence[Logger],
) -> None:
    """Train on these images and write the checkpoint."""
    options, trainer = job.classify, job.trainer
    iterations = schedule_length(options, len(dataset), job.scale)
    log.info(
        f"classify: {len(dataset)} images, {len(dataset.classes)} classes, {iterations} iterations "
        f"of {options.batch} images, {options.pooling.upper()}"
    )
    module = BoxClassifierModule(
        classes=len(dataset.classes),
        iterations=iterations,
        model=job.model,
        classify=options,
        seed=trainer.seed,
        accumulate=trainer.accumulate,
    )
    images = BoxTraining(dataset, options.augment, trainer.seed)
    fit(module, images, folder, trainer=trainer, scale=job.scale, callbacks=callbacks, loggers=loggers)
    module.save(file, dataset.classes)
