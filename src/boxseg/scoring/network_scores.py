"""Scores of a segmentation network, before and after the CRF."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from boxseg.config import Data, Evaluate, TrainerOptions
from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import DataError
from boxseg.formats.masks import write_mask
from boxseg.formats.sample_counts import truth_flags
from boxseg.formats.samples import chosen
from boxseg.formats.splits import Splits
from boxseg.inference.multiscale import label_group
from boxseg.inference.networks import Loaded
from boxseg.inference.threads import Readable, Skipped, photo_loop
from boxseg.nn.deeplab import Segmenter
from boxseg.scoring.confusion import ConfusionMatrix, Scores, StoredScores
from boxseg.scoring.device_counts import count_pixels
from boxseg.scoring.label_scores import read_truth
from boxseg.spreading.place import Here, Needs, Place
from boxseg.tables import Table
from boxseg.wording import counted, listed

log = logging.getLogger("boxseg")

# IoU of a class that is as good as not found.
_MISSED = 0.01


@dataclass(frozen=True, kw_only=True)
class NetworkScores:
    """Scores of a network on a split.

    Attributes:
        images: Images scored.
        skipped: Photos that could not be read, or their ground truth, with the reason.
        after_crf: None if the CRF is off.
    """

    images: int
    skipped: dict[str, str]
    before_crf: Scores
    after_crf: Scores | None

    @property
    def best(self) -> Scores:
        """The scores of the final prediction."""
        return self.after_crf or self.before_crf

    def as_dict(self) -> dict[str, Any]:
        """For metrics.json."""
        return {
            "images": self.images,
            "skipped": self.skipped,
            "before_crf": self.before_crf.as_dict(),
            "after_crf": self.after_crf.as_dict() if self.after_crf else None,
        }


@dataclass(frozen=True, kw_only=True)
class StoredNetworkScores:
    """What metrics.json holds of a network: its scores, and the digest of what it was scored on."""

    images: int
    skipped: dict[str, str]
    before_crf: StoredScores
    after_crf: StoredScores | None
    truth: str = ""

    def scores(self) -> NetworkScores:
        """The scores as they were computed."""
        after = self.after_crf.scores() if self.after_crf else None
        before = self.before_crf.scores()
        return NetworkScores(images=self.images, skipped=self.skipped, before_crf=before, after_crf=after)


def validation_split(data: Data, splits: Splits) -> BoxDataset | None:
    """The split to score a network trained on `data`; None, with a log message, without ground truth."""
    if not data.val_split:
        return None
    try:
        dataset = splits.load(data.with_split(data.val_split))
    except DataError as error:
        log.warning(f"segment: not scored: {error}")
        return None
    if not dataset.has_ground_truth:
        log.info(f"segment: split {dataset.split} has no ground-truth masks, so the network is not scored")
        return None
    return dataset


def score_network(
    loaded: Loaded[Segmenter],
    dataset: BoxDataset,
    options: Evaluate,
    trainer: TrainerOptions,
    keep: Path | None = None,
    place: Place | None = None,
) -> NetworkScores:
    """Predict every image that has ground truth, and score it before and after the CRF.

    Args:
        loaded: The network.
        dataset: Images.
        options: Scales, flip and CRF.
        trainer: Devices and loading processes.
        keep: Folder for the final predictions, ID.png; None to write none.
        place: Where the photos are worked on; this machine by default.

    Raises:
        DataError: No image can be scored.
    """
    samples = chosen(dataset.samples, truth_flags(dataset.samples))
    work = partial(_score_chunk, options=options, trainer=trainer, keep=keep)
    needs = Needs(writes=keep, truth=True)
    parts = (place or Here(trainer)).spread(work, loaded, samples, "evaluate", needs=needs)
    skipped = {name: reason for _, part in parts for name, reason in part.items()}
    if len(skipped) == len(samples):
        first = next(iter(skipped.values()), "none has ground truth")
        raise DataError(f"none of {counted(len(samples), 'image')} can be scored; the first: {first}")
    counts = np.sum([part for part, _ in parts], axis=0)
    before, after = (ConfusionMatrix(dataset.classes, part).scores() for part in counts)
    return NetworkScores(
        images=len(samples) - len(skipped),
        skipped=skipped,
        before_crf=before,
        after_crf=after if options.crf.active else None,
    )


def _score_chunk(
    loaded: Loaded[Segmenter],
    samples: Sequence[Sample],
    options: Evaluate,
    trainer: TrainerOptions,
    keep: Path | None,
) -> tuple[NDArray[np.int64], dict[str, str]]:
    """Counts (2, L + 1, L + 2) before and after the CRF, and unreadable photos with the reason."""
    work, device, size = partial(_count_group, loaded, options, keep), loaded.device, len(loaded.classes) + 1
    total = torch.zeros(2, size, size + 1, dtype=torch.int64, device=device)
    skipped: dict[str, str] = {}
    for sample, result in photo_loop(work, samples, description="evaluate", trainer=trainer, device=device):
        if isinstance(result, Skipped):
            skipped[sample.id] = result.reason
        else:
            total += result
    return total.cpu().numpy(), skipped


def _count_group(
    loaded: Loaded[Segmenter], options: Evaluate, keep: Path | None, group: Sequence[Readable]
) -> list[Tensor | Skipped]:
    """Counts (2, L + 1, L + 2) of each photo; predictions are written to `keep`."""
    matrix = ConfusionMatrix(loaded.classes)
    counts: list[Tensor | Skipped] = []
    answers = label_group(loaded, [image for _, image in group], options)
    for (sample, _), answer in zip(group, answers, strict=True):
        if keep is not None:
            write_mask(keep / f"{sample.id}.png", answer.labels.cpu().numpy())
        try:
            labels = read_truth(sample)
            matrix.check("ground truth", labels)
        except DataError as error:
            counts.append(Skipped(str(error)))
            continue
        truth, size = torch.from_numpy(labels).to(loaded.device), len(loaded.classes) + 1
        counts.append(torch.stack([count_pixels(p, truth, size) for p in (answer.before, answer.labels)]))
    return counts


def network_tables(title: str, scores: NetworkScores) -> list[Table]:
    """mIoU and accuracies before and after the CRF, and the IoU of every class."""
    parts = {"before CRF": scores.before_crf}
    if scores.after_crf:
        parts["after CRF"] = scores.after_crf
    means = Table(
        title=f"Network on {title}",
        columns=("", "mIoU", "mean accuracy", "pixel accuracy"),
        rows=tuple((name, s.miou, s.mean_accuracy, s.pixel_accuracy) for name, s in parts.items()),
    )
    return [means, class_table(parts)]


def network_notes(scores: NetworkScores) -> list[str]:
    """Warnings if the network finds one class only, or none, or misses some: its mIoU would not say so."""
    iou = scores.best.iou
    found = [name for name, value in iou.items() if value]
    if len(found) <= 1:
        return [one_class_note(found, len(iou), scores.images)]
    missed = [name for name, value in iou.items() if value is not None and value < _MISSED]
    return [_missed_note(missed, len(iou))] if missed else []


def _missed_note(missed: Sequence[str], classes: int, shown: int = 8) -> str:
    return (
        f"{len(missed)} of {counted(classes, 'class')} have an IoU below {_MISSED:.0%} "
        f"({listed(missed, shown)}): if few of the training photos show them, add such photos, or "
        "have the training see them more often by segment.repeat_threshold=0.3; else segment.iterations=… "
        "trains longer"
    )


def one_class_note(found: Sequence[str], classes: int, images: int) -> str:
    """That a network finds these few of its classes, and what to do about it."""
    what = f"nothing but {found[0]}" if found else "none"
    return (
        f"Of {counted(classes, 'class')} the network finds {what} on {counted(images, 'photo')}: it was "
        "trained for too few iterations, or from wrong labels. Look at its history.csv and at the labels; "
        "segment.iterations=… trains longer"
    )


def class_table(parts: dict[str, Scores]) -> Table:
    """IoU of every class."""
    names = next(iter(parts.values())).iou
    return Table(
        title="IoU per class",
        columns=("class", *parts),
        rows=tuple((name, *(part.iou[name] for part in parts.values())) for name in names),
    )
