"""Train the mask network on one's own boxes, and say what that gained on boxes held out.

Source: as in `training/mask_network.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from boxseg.atomic import write_json
from boxseg.data.labels import Source, has_labels, labels_digest
from boxseg.data.object_training import ObjectTraining
from boxseg.dataset import BoxDataset, Sample
from boxseg.documents import read_record
from boxseg.errors import DataError
from boxseg.formats.problems import report_problems
from boxseg.formats.samples import chosen
from boxseg.formats.splits import Splits
from boxseg.inference.devices import torch_device
from boxseg.inference.mask_networks import IMAGENET, load_mask_network, weight_file
from boxseg.jobs import AdaptJob
from boxseg.results import Result
from boxseg.runs.data_index import IndexedSplits
from boxseg.runs.folder import check_folder, open_folder
from boxseg.runs.layout import METRICS, MODEL
from boxseg.runs.provenance import Origin, origins_of
from boxseg.runs.stage_files import score_files, training_files
from boxseg.scoring.box_agreement import BoxAgreement, agreement_table, box_agreement
from boxseg.tables import Table
from boxseg.training.labels import sources_of, with_boxes
from boxseg.training.loop import check_training, fit
from boxseg.training.mask_network import MaskNetworkModule
from boxseg.training.schedule import schedule_length
from boxseg.wording import counted, counted_of

log = logging.getLogger("boxseg")

# Photos that are kept out of the training to see what it gained: this share, but no more than so many.
HELD_OUT, MOST_HELD_OUT = 0.1, 50
# Data sets of fewer photos are trained on as a whole.
FEWEST = 20


@dataclass(frozen=True, kw_only=True)
class AdaptResult(Result):
    """A mask network trained on one's own boxes.

    Attributes:
        checkpoint: Its file.
        scores: On held-out boxes, `before` and `after` the training; empty where the data is too small.
    """

    checkpoint: Path
    scores: dict[str, BoxAgreement]

    def tables(self) -> list[Table]:
        """What boxes can tell, before and after."""
        if not self.scores:
            return []
        title = "Masks on held-out boxes, as far as boxes can tell (percent)"
        return [agreement_table(title, self.scores)]

    def notes(self) -> list[str]:
        """Where it is, and what to do with it."""
        return [f"Mask network: {self.checkpoint} (use it by `boxseg label checkpoint={self.checkpoint} …`)"]


def run(
    job: AdaptJob,
    splits: Splits | None = None,
    *,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
) -> AdaptResult:
    """Train a mask network, or go on with it, and score it on held-out boxes.

    The folder may hold an earlier part of the same training. `callbacks` and `loggers` are Lightning's.
    """
    splits = splits or IndexedSplits(job.out)
    dataset = splits.load(job.data)
    file = job.out / MODEL
    check_folder(job.out)
    known, held_out = hold_out(with_boxes(dataset, "adapt"))
    if not job.overwrite and training_files(_open(job, known)).done:
        log.info(f"adapt: {file} already exists")
    else:
        splits.keep(job.out)
        report_problems(dataset)
        train(known, job, callbacks=callbacks, loggers=loggers)
    return AdaptResult(checkpoint=file, scores=score(job, held_out))


def hold_out(dataset: BoxDataset) -> tuple[BoxDataset, Sequence[Sample]]:
    """The photos to train on, and those that tell what it gained: the same ones for every seed."""
    count = min(MOST_HELD_OUT, round(HELD_OUT * len(dataset))) if len(dataset) >= FEWEST else 0
    taken = np.zeros(len(dataset), dtype=bool)
    taken[np.random.default_rng(0).permutation(len(dataset))[:count]] = True
    return replace(dataset, samples=chosen(dataset.samples, ~taken)), chosen(dataset.samples, taken)


def inputs_of(job: AdaptJob) -> dict[str, Path]:
    """The weight file that the training starts from."""
    return {} if job.adapt.weights == IMAGENET else {"adapt.weights": weight_file(job.adapt.weights)}


def origins(job: AdaptJob, dataset: BoxDataset) -> dict[str, Origin]:
    """What the training on these photos depends on."""
    sources = sources_of(str(job.labels), dataset) if job.labels else ()
    return origins_of(dataset, partial(labels_digest, sources=sources))


def _open(job: AdaptJob, dataset: BoxDataset) -> Path:
    return open_folder(job, inputs=inputs_of(job), origins=origins(job, dataset))


def train(dataset: BoxDataset, job: AdaptJob, **lightnings: Any) -> None:
    """Train on the boxes of these images and write the checkpoint."""
    module, crops = start(dataset, job)
    log.info(
        f"adapt: {counted(len(crops), 'box')} of {counted(len(dataset), 'image')}, "
        f"{counted(module.iterations, 'iteration')} of {counted(job.adapt.batch, 'box')}, "
        f"from {job.adapt.weights} weights"
    )
    check_training(module, crops, job.trainer, **lightnings)
    folder = _open(job, dataset) if job.overwrite else job.out  # opened already, which looks at all photos
    fit(module, crops, folder, trainer=job.trainer, scale=job.scale, **lightnings)
    module.save(folder / MODEL)


def start(dataset: BoxDataset, job: AdaptJob) -> tuple[MaskNetworkModule, ObjectTraining]:
    """The network before its first iteration, and the crops that it is trained on."""
    crops = ObjectTraining(dataset, job.adapt, job.trainer.seed, _label_sources(dataset, job))
    module = MaskNetworkModule(
        iterations=schedule_length(job.adapt, len(crops), job.scale),
        adapt=job.adapt,
        seed=job.trainer.seed,
        accumulate=job.trainer.accumulate,
    )
    return module, crops


def _label_sources(dataset: BoxDataset, job: AdaptJob) -> tuple[Source, ...]:
    """The labels to learn from too.

    Raises:
        DataError: No photo has any.
    """
    sources = sources_of(str(job.labels), dataset) if job.labels else ()
    count = sum(all(has_labels(sample, source) for source in sources) for sample in dataset.samples)
    if not count:
        raise DataError(f"labels={job.labels}: no image of split {dataset.split} in {dataset.root} has labels")
    if sources:
        log.info(f"adapt: labels for {counted_of(count, len(dataset), 'image')}")
    return sources


def score(job: AdaptJob, held_out: Sequence[Sample]) -> dict[str, BoxAgreement]:
    """Agreement with held-out boxes before and after, written to metrics.json."""
    file = job.out / METRICS
    if not held_out or not job.scores:
        return {}
    if score_files(job.out).done:
        try:
            return read_record(dict[str, BoxAgreement], file, "scores of the mask network")
        except DataError as error:
            log.info(f"adapt: {error}: scored anew")
    device = torch_device(job.trainer)
    networks = {"after": job.out / MODEL}
    if job.adapt.weights != IMAGENET:
        networks = {"before": weight_file(job.adapt.weights), **networks}
    scores = {
        name: box_agreement(load_mask_network(path, device), held_out, job.trainer)
        for name, path in networks.items()
    }
    write_json(file, {name: part.as_dict() for name, part in scores.items()})
    return scores
