"""Stage 1: train the box classifier with background-aware pooling.

Source: Oh et al., BANA, CVPR 2021, section 3.1.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from boxseg.data.loading import BoxTraining
from boxseg.dataset import BoxDataset
from boxseg.formats.problems import report_problems
from boxseg.formats.splits import Splits
from boxseg.inference.networks import weight_inputs
from boxseg.jobs import ClassifyJob
from boxseg.results import Result
from boxseg.runs.data_index import IndexedSplits
from boxseg.runs.folder import check_folder, open_folder
from boxseg.runs.layout import MODEL
from boxseg.runs.provenance import origins_of
from boxseg.runs.stage_files import training_files
from boxseg.training.box_classifier import BoxClassifierModule
from boxseg.training.labels import warn_of_rare_classes, with_boxes
from boxseg.training.loop import check_training, fit
from boxseg.training.plateau import late_fall_of, plateau_notes
from boxseg.training.schedule import schedule_length
from boxseg.wording import counted

log = logging.getLogger("boxseg")


@dataclass(frozen=True, kw_only=True)
class ClassifyResult(Result):
    """A trained box classifier.

    Attributes:
        checkpoint: Its file.
        images: Photos it was trained on; None if an earlier call trained it.
        late_fall: Share by which the loss fell from the second third of the training to the last; None where
            that cannot be told. From 0.1 on there is a note that the training was short.
    """

    checkpoint: Path
    images: int | None
    late_fall: float | None = None

    def notes(self) -> list[str]:
        """The path of the checkpoint, and whether the training was short."""
        return [*plateau_notes("classify", self.late_fall), f"Box classifier: {self.checkpoint}"]


def run(
    job: ClassifyJob,
    splits: Splits | None = None,
    *,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
) -> ClassifyResult:
    """Train a box classifier, or resume its training. `callbacks` and `loggers` are Lightning's."""
    splits = splits or IndexedSplits(job.out)
    dataset = splits.load(job.data)
    file = job.out / MODEL
    check_folder(job.out)
    boxed = with_boxes(dataset)
    if not job.overwrite and training_files(_open(job, boxed)).done:
        log.info(f"classify: {file} already exists")
        return ClassifyResult(checkpoint=file, images=None, late_fall=late_fall_of(job.out))
    splits.keep(job.out)
    report_problems(dataset)
    train(boxed, job, callbacks=callbacks, loggers=loggers)
    return ClassifyResult(checkpoint=file, images=len(boxed), late_fall=late_fall_of(job.out))


def _open(job: ClassifyJob, dataset: BoxDataset) -> Path:
    return open_folder(job, inputs=weight_inputs(job.model), origins=origins_of(dataset))


def train(dataset: BoxDataset, job: ClassifyJob, **lightnings: Any) -> None:
    """Train on these images and write the checkpoint.

    With overwrite=true, earlier results are removed only once the new training is known to be able to start.
    """
    options = job.classify
    iterations = schedule_length(options, len(dataset), job.scale)
    log.info(
        f"classify: {counted(len(dataset), 'image')}, {counted(len(dataset.classes), 'class')}, "
        f"{counted(iterations, 'iteration')} of {counted(options.batch, 'image')}, {options.pooling.upper()}"
    )
    warn_of_rare_classes(dataset, "classify")
    module, images = start(dataset, job, iterations)
    check_training(module, images, job.trainer, **lightnings)
    folder = _open(job, dataset) if job.overwrite else job.out  # opened already, which looks at all photos
    fit(module, images, folder, trainer=job.trainer, scale=job.scale, **lightnings)
    module.save(folder / MODEL, dataset.classes)


def start(dataset: BoxDataset, job: ClassifyJob, iterations: int) -> tuple[BoxClassifierModule, BoxTraining]:
    """The untrained classifier and its training images."""
    module = BoxClassifierModule(
        classes=len(dataset.classes),
        iterations=iterations,
        model=job.model,
        classify=job.classify,
        seed=job.trainer.seed,
        accumulate=job.trainer.accumulate,
    )
    options = job.classify
    return module, BoxTraining(dataset, options.augment, job.trainer.seed, options.repeat_threshold)
