"""Scores of label folders against ground-truth masks, beside the whole-box baseline."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxseg.atomic import write_text
from boxseg.data.geometry import whole_box_labels
from boxseg.dataset import IGNORE, BoxDataset, Sample
from boxseg.errors import DataError
from boxseg.formats.masks import MaskFolder
from boxseg.formats.sample_counts import truth_flags
from boxseg.formats.samples import chosen
from boxseg.progress import track
from boxseg.remote.hooks import threads_for
from boxseg.runs.label_source import label_sources
from boxseg.runs.layout import AGREED, CONFUSION, FINAL, Y_CRF, Y_RET
from boxseg.scoring.confusion import ConfusionMatrix, Scores
from boxseg.spreading.place import Here, Needs, Place
from boxseg.tables import Table
from boxseg.wording import counted, counted_of

log = logging.getLogger("boxseg")

Labels = NDArray[np.uint8]

# Sources of labels as tables name them.
LABEL_TITLES = {Y_CRF: "Y_crf", Y_RET: "Y_ret", FINAL: "labels"}


@dataclass(frozen=True, kw_only=True)
class LabelScores:
    """Scores of a label folder.

    Attributes:
        images: Images scored.
        missing: Images with ground truth but without labels.
        unreadable: Images whose ground truth cannot be read, with the reason.
        whole_box: Every pixel of a box takes its class, the smallest box on top.
        labels: By source: `y_crf` and `y_ret`, or `labels`.
        reliable: Only on reliable pixels: where Y_crf and Y_ret agree, or the map of reliable pixels has them.
        reliable_fraction: Their share of the scored pixels.
    """

    images: int
    missing: int
    whole_box: Scores
    labels: dict[str, Scores]
    reliable: Scores | None = None
    reliable_fraction: float | None = None
    unreadable: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For metrics.json."""
        scores: dict[str, Any] = {"images": self.images, "missing": self.missing}
        scores |= {"unreadable": self.unreadable} if self.unreadable else {}
        scores |= {name: part.as_dict() for name, part in {"whole_box": self.whole_box, **self.labels}.items()}
        if self.reliable is not None:
            scores["reliable_region_only"] = self.reliable.as_dict()
            scores["reliable_fraction"] = self.reliable_fraction
        return scores


def no_truth(dataset: BoxDataset) -> DataError:
    """The error of scoring a split without ground truth."""
    return DataError(
        f"no ground-truth masks for split {dataset.split} in {dataset.root}: give data.masks=FOLDER"
    )


def score_labels(folder: Path, dataset: BoxDataset, place: Place | None = None) -> LabelScores:
    """Score the labels of all images that have ground truth that can be read.

    `place` is where the photos are worked on, this machine by default.

    Raises:
        DataError: No image has labels, or ground truth that can be read, or labels cannot be used.
    """
    sources = label_sources(folder)
    known = chosen(dataset.samples, truth_flags(dataset.samples))
    if not known:
        raise no_truth(dataset)
    scored = chosen(known, (all(masks.has(s.id) for masks in sources.values()) for s in known))
    if not scored:
        raise DataError(f"{folder} has no labels for the images of split {dataset.split} in {dataset.root}")
    work = partial(_score_chunk, sources=sources, classes=dataset.classes)
    needs = Needs(
        reads=tuple(dict.fromkeys(path for masks in sources.values() for path in masks.places)), truth=True
    )
    parts = (place or Here()).share(work, scored, "score", needs=needs)
    unreadable = {name: reason for _, part in parts for name, reason in part.items()}
    report_unreadable(unreadable, len(scored))
    first, *others = (part for part, _ in parts)
    counts = {name: sum((part[name] for part in others), start=first[name]) for name in first}
    matrices = {name: ConfusionMatrix(dataset.classes, part) for name, part in counts.items()}
    whole_box, reliable = matrices.pop(_WHOLE_BOX), matrices.pop(_RELIABLE)
    agreed, counted = int(reliable.counts.sum()), int(whole_box.counts.sum())
    return LabelScores(
        images=len(scored) - len(unreadable),
        missing=len(known) - len(scored),
        whole_box=whole_box.scores(),
        labels={name: matrix.scores() for name, matrix in matrices.items()},
        reliable=reliable.scores() if len(sources) == 2 else None,
        reliable_fraction=agreed / max(counted, 1) if len(sources) == 2 else None,
        unreadable=unreadable,
    )


# What is counted beside the sources of labels.
_WHOLE_BOX, _RELIABLE = "whole box", "reliable"


def _score_chunk(
    samples: Sequence[Sample], sources: dict[str, MaskFolder], classes: tuple[str, ...]
) -> tuple[dict[str, NDArray[np.int64]], dict[str, str]]:
    """Counts as of a `ConfusionMatrix` by source, and photos without ground truth, with the reason."""
    names = (_WHOLE_BOX, _RELIABLE, *(name for name in sources if name != AGREED))
    matrices = {name: ConfusionMatrix(classes) for name in names}
    unreadable: dict[str, str] = {}
    read = _read_all(samples, sources, len(classes))
    for sample, truth, labels in track(read, "score", total=len(samples)):
        if isinstance(truth, DataError):
            unreadable[sample.id] = str(truth)
            continue
        boxes = whole_box_labels(sample.boxes, sample.labels, sample.height, sample.width)
        matrices[_WHOLE_BOX].update(boxes, truth)
        for name in names[2:]:
            matrices[name].update(labels[name], truth)
        if len(sources) == 2:
            first, second = labels.values()
            matrices[_RELIABLE].update(first, truth, where=(first == second) & (first != IGNORE))
    return {name: matrix.counts for name, matrix in matrices.items()}, unreadable


# Photos that are read ahead.
_AHEAD = 8

_Read = tuple[Sample, Labels | DataError, dict[str, Labels]]


def _read_all(samples: Sequence[Sample], sources: dict[str, MaskFolder], classes: int) -> Iterator[_Read]:
    folders = [masks.path for masks in sources.values()]
    with ThreadPoolExecutor(threads_for([*folders, *(sample.image for sample in samples[:1])], 2)) as pool:
        # A few at a time: a pool takes all it is given, and its results wait in memory.
        for start in range(0, len(samples), _AHEAD):
            yield from pool.map(lambda sample: _read(sample, sources, classes), samples[start : start + _AHEAD])


def _read(sample: Sample, sources: dict[str, MaskFolder], classes: int) -> _Read:
    labels = {name: masks.read(sample.id, classes) for name, masks in sources.items()}
    for name, mask in labels.items():
        if mask.shape != (sample.height, sample.width):
            raise DataError(
                f"{sources[name].file(sample.id)} is {mask.shape[1]}x{mask.shape[0]} pixels, "
                f"its photo {sample.width}x{sample.height}"
            )
    try:
        return sample, read_truth(sample), labels
    except DataError as error:
        return sample, error, labels


def report_unreadable(reasons: Mapping[str, str], count: int) -> None:
    """Log which of so many images cannot be scored, as their ground truth cannot be read.

    Raises:
        DataError: No image is left.
    """
    if not reasons:
        return
    first = next(iter(reasons.values()))
    if len(reasons) == count:
        raise DataError(
            f"the ground truth of none of {counted(count, 'image')} can be read; the first: {first}"
        )
    log.warning(f"score: left out: {counted_of(len(reasons), count, 'image')}, the first because {first}")


def read_truth(sample: Sample) -> Labels:
    """Ground truth (H, W) of a sample that has some.

    Raises:
        DataError: The mask cannot be read, or is not of the size of the photo.
    """
    assert sample.ground_truth is not None
    truth = sample.ground_truth()
    if truth.shape != (sample.height, sample.width):
        raise DataError(
            f"the ground-truth mask of {sample.image} is {truth.shape[1]}x{truth.shape[0]} pixels, "
            f"the photo {sample.width}x{sample.height}"
        )
    return truth


def write_confusion(folder: Path, parts: Mapping[str, Scores | None]) -> None:
    """Write confusion.json: counts of pixels by true class (rows) and label (columns, the last for 255).

    Args:
        folder: Where metrics.json is.
        parts: Scores by their name in metrics.json; those without counts are left out.
    """
    counts = {name: part.counts.tolist() for name, part in parts.items() if part and part.counts is not None}
    if counts:
        names = next(list(part.iou) for part in parts.values() if part)
        # On one line: with each number on its own line a matrix of 80 classes would have 6,600.
        write_text(folder / CONFUSION, json.dumps({"classes": names, "counts": counts}) + "\n")


def score_notes(scores: LabelScores) -> list[str]:
    """What the numbers do not say: images that are left out, and masks without a single object."""
    notes = []
    if scores.unreadable:
        first = next(iter(scores.unreadable.values()))
        notes.append(f"Not scored: {counted(len(scores.unreadable), 'image')}, the first because {first}")
    true = scores.whole_box.counts
    if true is not None and not true[1:].any():
        notes.append(
            "The ground truth holds no object, only 0 (background) and 255 (not scored): the scores say "
            "nothing about objects. In masks, objects are 1..L: write 1 in place of 255 if white means object"
        )
        return notes
    for name, part in scores.labels.items():
        if part.counts is not None and not part.counts[:, 1:-1].any() and part.counts[:, -1].any():
            notes.append(
                f"{LABEL_TITLES[name]}: they hold only 0 (background) and 255 (no label). In masks, objects "
                "are 1..L: write 1 in place of 255 if white means object"
            )
    return notes


def label_table(title: str, scores: LabelScores) -> Table:
    """mIoU, accuracies and coverage of each source of labels."""
    rows = [("whole box", scores.whole_box, 1.0)]
    rows += [(LABEL_TITLES[name], part, 1.0) for name, part in scores.labels.items()]
    if scores.reliable is not None and scores.reliable_fraction is not None:
        rows.append(("reliable region only", scores.reliable, scores.reliable_fraction))
    return Table(
        title=title,
        columns=("labels", "mIoU", "mean accuracy", "pixel accuracy", "% of pixels scored"),
        rows=tuple((name, s.miou, s.mean_accuracy, s.pixel_accuracy, share) for name, s, share in rows),
    )
