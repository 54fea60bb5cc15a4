"""Stage 1: train the box classifier with background-aware pooling.

Source: METHOD: Oh et al., BANA, CVPR 2021, section 3.1.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from boxseg.data.loading import BoxTraining
from boxseg.dataset import BoxDataset
from boxseg.formats.problems import report_problems
from boxseg.formats.splits import Splits
from boxseg.inference.networks import save_network, start_classifier, weight_inputs
from boxseg.jobs import ClassifyJob
from boxseg.results import Result
from boxseg.runs.folder import open_folder
from boxseg.runs.layout import MODEL
from boxseg.runs.stage_files import training_files
from boxseg.training.box_classifier import BoxClassifierTraining
from boxseg.training.labels import with_boxes
from boxseg.training.loop import fit, schedule_length

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


def run(job: ClassifyJob, splits: Splits | None = None) -> ClassifyResult:
    """Train a box classifier, or go on with it.

    Args:
        job: What is asked for.
        splits: What other stages have read.

    Raises:
        DataError: The data cannot be used.
        ConfigError: The folder holds another run.
    """
    dataset = (splits or Splits()).load(job.data)
    folder = open_folder(job, inputs=weight_inputs(job.model))
    file = folder / MODEL
    if training_files(folder).done:
        log.info(f"classify: {file} is there already")
        return ClassifyResult(checkpoint=file, images=None)
    report_problems(dataset)
    dataset = with_boxes(dataset)
    train(dataset, job, folder, file)
    return ClassifyResult(checkpoint=file, images=len(dataset))


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
