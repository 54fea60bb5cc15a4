"""Stage 3: train a segmentation network from labels, and score it.

Source: Oh et al., BANA, CVPR 2021, section 3.3.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from boxseg.atomic import write_json
from boxseg.data.loading import LabelTraining
from boxseg.dataset import BoxDataset
from boxseg.documents import read_record
from boxseg.errors import DataError
from boxseg.formats.problems import report_problems
from boxseg.formats.splits import Splits
from boxseg.inference.networks import KeptSegmenter, weight_inputs
from boxseg.jobs import SegmentJob
from boxseg.results import Result
from boxseg.runs.data_index import IndexedSplits
from boxseg.runs.folder import check_folder, open_folder
from boxseg.runs.layout import METRICS, MODEL, predictions
from boxseg.runs.provenance import origins_of, scored_digest
from boxseg.runs.stage_files import score_files, training_files
from boxseg.scoring.label_scores import write_confusion
from boxseg.scoring.network_scores import (
    NetworkScores,
    StoredNetworkScores,
    network_notes,
    network_tables,
    score_network,
    validation_split,
)
from boxseg.tables import Table
from boxseg.training.labels import TrainingLabels, training_labels, warn_of_rare_classes
from boxseg.training.loop import check_training, fit
from boxseg.training.plateau import late_fall_of, plateau_notes
from boxseg.training.schedule import schedule_length
from boxseg.training.segmenter import SegmenterModule
from boxseg.wording import counted

log = logging.getLogger("boxseg")


@dataclass(frozen=True, kw_only=True)
class SegmentResult(Result):
    """A trained segmentation network.

    Attributes:
        checkpoint: Its file.
        scores: Scores on the validation split; None if it cannot or must not be scored.
        title: What the scores are about.
        late_fall: Share by which the loss fell from the second third of the training to the last; None where
            that cannot be told. From 0.1 on there is a note that the training was short.
    """

    checkpoint: Path
    scores: NetworkScores | None
    title: str
    late_fall: float | None = None

    def tables(self) -> list[Table]:
        """Scores on the validation split."""
        return network_tables(self.title, self.scores) if self.scores else []

    def notes(self) -> list[str]:
        """The path of the checkpoint, and what is wrong with the network."""
        return [
            *(network_notes(self.scores) if self.scores else []),
            *plateau_notes("segment", self.late_fall),
            f"Segmentation network: {self.checkpoint}",
        ]


def run(
    job: SegmentJob,
    splits: Splits | None = None,
    network: KeptSegmenter | None = None,
    *,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
) -> SegmentResult:
    """Train a segmentation network, or resume its training, and score it on `data.val_split`.

    `callbacks` and `loggers` are Lightning's.
    """
    splits = splits or IndexedSplits(job.out)
    dataset = splits.load(job.data)
    file = job.out / MODEL
    check_folder(job.out)
    labels = _labels(job, dataset)
    if labels is None or (not job.overwrite and training_files(_open(job, labels)).done):
        log.info(f"segment: {file} already exists")
    else:
        splits.keep(job.out)
        report_problems(dataset)
        train(labels, job, callbacks=callbacks, loggers=loggers)
    title = f"{job.data.val_split}, trained with {job.segment.loss} on {job.data.split}"
    network = network or KeptSegmenter(path=file, trainer=job.trainer)
    scores = score(job, job.out, splits, network)
    splits.keep(job.out)  # of the validation split
    return SegmentResult(checkpoint=file, scores=scores, title=title, late_fall=late_fall_of(job.out))


def _labels(job: SegmentJob, dataset: BoxDataset) -> TrainingLabels | None:
    """What to train on; None where a finished training's labels are gone."""
    try:
        return training_labels(dataset, job)
    except DataError:
        if job.overwrite or not training_files(job.out).done:
            raise
        open_folder(job, inputs=weight_inputs(job.model))
        return None


def _open(job: SegmentJob, labels: TrainingLabels) -> Path:
    return open_folder(job, inputs=weight_inputs(job.model), origins=origins_of(labels.dataset, labels.digest))


def train(labels: TrainingLabels, job: SegmentJob, **lightnings: Any) -> None:
    """Train on the labelled images and write the checkpoint.

    With overwrite=true, earlier results are removed only once the new training is known to be able to start.
    """
    options = job.segment
    dataset = labels.dataset
    iterations = schedule_length(options, len(dataset), job.scale)
    log.info(
        f"segment: {counted(len(dataset), 'image')}, {counted(len(dataset.classes), 'class')}, "
        f"{counted(iterations, 'iteration')} of {counted(options.batch, 'image')}, {options.loss}"
    )
    warn_of_rare_classes(dataset, "segment")
    module, images = start(labels, job, iterations)
    check_training(module, images, job.trainer, **lightnings)
    folder = _open(job, labels) if job.overwrite else job.out  # opened already, which reads all labels
    fit(module, images, folder, trainer=job.trainer, scale=job.scale, **lightnings)
    module.save(folder / MODEL, dataset.classes)


def start(labels: TrainingLabels, job: SegmentJob, iterations: int) -> tuple[SegmenterModule, LabelTraining]:
    """The untrained network and its training images."""
    dataset, options, seed = labels.dataset, job.segment, job.trainer.seed
    module = SegmenterModule(
        classes=len(dataset.classes),
        iterations=iterations,
        model=job.model,
        segment=options,
        seed=seed,
        accumulate=job.trainer.accumulate,
    )
    images = LabelTraining(
        dataset, options.augment, seed, labels.sources, labels.strong, options.repeat_threshold
    )
    return module, images


def score(job: SegmentJob, folder: Path, splits: Splits, network: KeptSegmenter) -> NetworkScores | None:
    """Score the network on the validation split if that has ground truth, and write metrics.json."""
    dataset = validation_split(job.data, splits) if job.scores else None
    if dataset is None:
        return None
    file, truth = folder / METRICS, scored_digest(dataset)
    if score_files(folder).done:
        known = _stored(file)
        if known is not None and known.truth == truth:
            return known.scores()
        if known is not None:
            log.info(f"segment: {dataset.split} or its ground truth has changed, and is scored anew")
    keep = predictions(folder, dataset.split)
    try:
        scores = score_network(network.loaded, dataset, job.evaluate, job.trainer, keep=keep)
    except DataError as error:  # the network is there, and what follows can be done
        log.info(f"segment: not scored: {error}")
        return None
    write_confusion(folder, {"before_crf": scores.before_crf, "after_crf": scores.after_crf})
    write_json(file, {"split": dataset.split, "truth": truth, **scores.as_dict()})
    return scores


def _stored(file: Path) -> StoredNetworkScores | None:
    """The scores in a file; None if it is damaged."""
    try:
        return read_record(StoredNetworkScores, file, "scores of a network")
    except DataError as error:
        log.info(f"segment: {error}: scored anew")
        return None
