"""Stage 3: train a segmentation network from labels, and score it.

Source: Oh et al., BANA, CVPR 2021, section 3.3.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from boxseg.atomic import write_json
from boxseg.data.loading import LabelTraining
from boxseg.dataset import BoxDataset
from boxseg.formats.problems import report_problems
from boxseg.formats.splits import Splits
from boxseg.inference.networks import KeptSegmenter, weight_inputs
from boxseg.jobs import SegmentJob
from boxseg.results import Result
from boxseg.runs.folder import open_folder
from boxseg.runs.layout import METRICS, MODEL, predictions
from boxseg.runs.stage_files import score_files, training_files
from boxseg.scoring.label_scores import write_confusion
from boxseg.scoring.network_scores import (
    NetworkScores,
    class_table,
    network_table,
    score_network,
    validation_split,
)
from boxseg.tables import Table
from boxseg.training.labels import training_labels
from boxseg.training.loop import fit
from boxseg.training.schedule import schedule_length
from boxseg.training.segmenter import SegmenterModule

log = logging.getLogger("boxseg")


@dataclass(frozen=True, kw_only=True)
class SegmentResult(Result):
    """A trained segmentation network.

    Attributes:
        checkpoint: Its file.
        scores: On the validation split; None where there is none to score on.
        title: What the scores are about.
    """

    checkpoint: Path
    scores: NetworkScores | None
    title: str

    def tables(self) -> list[Table]:
        """Scores on the validation split."""
        if self.scores is None:
            return []
        parts = {"before CRF": self.scores.before_crf}
        if self.scores.after_crf:
            parts["after CRF"] = self.scores.after_crf
        return [network_table(self.title, self.scores), class_table(parts)]

    def notes(self) -> list[str]:
        """Where it is."""
        return [f"Segmentation network: {self.checkpoint}"]


def run(
    job: SegmentJob,
    splits: Splits | None = None,
    network: KeptSegmenter | None = None,
    *,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
) -> SegmentResult:
    """Train a segmentation network, or go on with it, and score it on `data.val_split`.

    Args:
        job: What to do.
        splits: What other stages have read.
        network: The network of this run, where other stages need it as well.
        callbacks: Lightning's, for the training.
        loggers: Lightning's, beside those of `trainer.loggers`.

    Raises:
        DataError: The data or the labels cannot be used.
        ConfigError: The folder holds another run, or what Lightning is given cannot be used.
    """
    splits = splits or Splits()
    dataset = splits.load(job.data)
    folder = open_folder(job, inputs=weight_inputs(job.model))
    file = folder / MODEL
    if training_files(folder).done:
        log.info(f"segment: {file} is there already")
    else:
        report_problems(dataset)
        train(dataset, job, folder, file, callbacks=callbacks, loggers=loggers)
    title = f"{job.data.val_split}, trained with {job.segment.loss} on {job.data.split}"
    network = network or KeptSegmenter(path=file, trainer=job.trainer)
    return SegmentResult(checkpoint=file, scores=score(job, folder, splits, network), title=title)


def train(
    dataset: BoxDataset,
    job: SegmentJob,
    folder: Path,
    file: Path,
    *,
    callbacks: Sequence[Callback],
    loggers: Sequence[Logger],
) -> None:
    """Train on the labelled images and write the checkpoint."""
    options, trainer = job.segment, job.trainer
    labels = training_labels(dataset, job)
    dataset = labels.dataset
    iterations = schedule_length(options, len(dataset), job.scale)
    log.info(
        f"segment: {len(dataset)} images, {len(dataset.classes)} classes, {iterations} iterations "
        f"of {options.batch} images, {options.loss}"
    )
    module = SegmenterModule(
        classes=len(dataset.classes),
        iterations=iterations,
        model=job.model,
        segment=options,
        seed=trainer.seed,
        accumulate=trainer.accumulate,
    )
    images = LabelTraining(dataset, options.augment, trainer.seed, labels.sources, labels.strong)
    fit(module, images, folder, trainer=trainer, scale=job.scale, callbacks=callbacks, loggers=loggers)
    module.save(file, dataset.classes)


def score(job: SegmentJob, folder: Path, splits: Splits, network: KeptSegmenter) -> NetworkScores | None:
    """Score the network on the validation split, if there is one with ground truth, and write metrics.json."""
    dataset = validation_split(job.data, splits)
    if dataset is None:
        return None
    file = folder / METRICS
    if score_files(folder).done:
        return NetworkScores.from_dict(json.loads(file.read_text(encoding="utf-8")))
    scores = score_network(
        network.loaded,
        dataset,
        job.evaluate,
        job.trainer,
        keep=predictions(folder, dataset.split),
    )
    write_confusion(folder, {"before_crf": scores.before_crf, "after_crf": scores.after_crf})
    write_json(file, {"split": dataset.split, **scores.as_dict()})
    return scores
