"""Stage 2: a mask for every box, and labels by class, for photos with boxes.

Source of Y_crf and Y_ret: Oh et al., BANA, CVPR 2021, section 3.2.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from boxseg.atomic import write_json
from boxseg.dataset import BoxDataset
from boxseg.errors import DataError
from boxseg.formats.masks_json import write_masks
from boxseg.formats.problems import check_boxes, report_problems
from boxseg.formats.splits import Splits
from boxseg.jobs import LabelJob
from boxseg.labelling.box_instances import gather
from boxseg.labelling.class_map import label_map
from boxseg.labelling.labeller import Labeller, label_photos
from boxseg.labelling.methods import start_method
from boxseg.results import Result
from boxseg.runs.dataset_folder import write_formats
from boxseg.runs.folder import open_folder
from boxseg.runs.layout import LABEL_MAP, MASK_COUNTS, MASKS, METRICS, piece_path
from boxseg.runs.provenance import read_provenance, standing, write_provenance
from boxseg.scoring.instance_scores import InstanceScores, mask_tables, result_files, score_instances
from boxseg.scoring.label_scores import LabelScores, label_table, score_labels, score_notes, write_confusion
from boxseg.scoring.mask_counts import MaskCounts, count_masks, count_table
from boxseg.tables import Table
from boxseg.wording import counted, counted_of

log = logging.getLogger("boxseg")

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class LabelResult(Result):
    """Masks and labels of a split.

    Attributes:
        folder: Holds masks.json, labels/ID.png, confidence/ID.png and reliable/ID.png.
        written: Photos labelled by this call.
        present: Photos that had their labels already.
        skipped: Photos that could not be read, with the reason.
        counts: Boxes, and those whose mask may be wrong: of `all`, `small`, `medium` and `large` boxes.
        scores: Scores against ground truth, if there is any and it is to be scored.
        title: What the scores are about.
        instances: Scores of the masks of single boxes, if the data has masks of its objects.
        left_out: Boxes of classes that `data.classes` leaves out: they have no mask.
        exported: A line on every other format they were written in.
    """

    folder: Path
    written: int
    present: int
    skipped: dict[str, str]
    counts: dict[str, MaskCounts]
    scores: LabelScores | None
    title: str
    instances: InstanceScores | None = None
    left_out: int = 0
    exported: tuple[str, ...] = ()

    def tables(self) -> list[Table]:
        """Which masks to look at, and the scores of labels and masks."""
        tables = [count_table(f"{self.title}: masks to look at", self.counts)]
        tables += [label_table(f"{self.title}: mIoU", self.scores)] if self.scores else []
        return [*tables, *mask_tables(self.title, self.instances)] if self.instances else tables

    def notes(self) -> list[str]:
        """What was written, and where."""
        every = self.counts["all"]
        skipped = f", {len(self.skipped)} unreadable and skipped" if self.skipped else ""
        fallback = f", {every.fallback} of them only the ellipse in the box" if every.fallback else ""
        others = f"; none for {counted(self.left_out, 'box')} of classes left out" if self.left_out else ""
        return [
            f"Masks: {self.folder / MASKS} ({every.boxes} for {counted(every.boxes, 'box')}{fallback}{others})",
            f"Labels: {self.folder} ({self.written} written, {self.present} there already{skipped})",
            *(score_notes(self.scores) if self.scores else []),
            *self.exported,
        ]


def run(job: LabelJob, splits: Splits | None = None) -> LabelResult:
    """Write the missing labels, gather the masks, and score all if there is ground truth."""
    dataset = (splits or Splits()).load(job.data)
    check_boxes(dataset)
    method = start_method(job, dataset)
    labeller = Labeller(
        method=method,
        options=job.label,
        folder=job.out,
        classes=dataset.classes,
        category_ids=dataset.category_ids,
    )
    there = standing(job.out, dataset, labeller.files(dataset.samples), anew=job.overwrite)
    folder = open_folder(job, inputs=method.origin.files)
    report_problems(dataset)
    names = label_map(dataset.classes, method.origin.matches, dataset.category_ids)
    write_json(folder / LABEL_MAP, names)
    write_provenance(folder, there.kept)
    missing, present = there.missing, len(dataset) - len(there.missing)
    if there.changed:
        which = "1 photo or its boxes" if there.changed == 1 else f"{there.changed:,} photos or their boxes"
        log.info(f"label: {which} have changed since the labels were made: they are made anew")
    if present:
        log.info(f"label: labels of {counted_of(present, len(dataset), 'photo')} are there already")
    skipped = label_photos(labeller, missing, job.trainer)
    made = read_provenance(folder)
    write_provenance(folder, {sample.id: made[sample.id] for sample in dataset.samples if sample.id in made})
    write_masks(folder / MASKS, dataset, partial(piece_path, folder), job.label.masks)
    if method.origin.pair and job.label.instances:
        gather(folder, dataset.samples)
    counts = count_masks(folder, dataset.samples)
    write_json(folder / MASK_COUNTS, {size: part.as_dict() for size, part in counts.items()})
    masks, scores = _scored(folder, dataset) if job.scores else (None, None)
    if scores:
        parts = {"instances": masks.as_dict()} if masks else {}
        write_json(folder / METRICS, {**scores.as_dict(), **parts, "skipped": skipped})
        write_confusion(folder, {"whole_box": scores.whole_box, **scores.labels})
    exported = write_formats(job.label.formats, folder, dataset)
    return LabelResult(
        folder=folder,
        written=len(missing) - len(skipped),
        present=present,
        skipped=skipped,
        counts=counts,
        scores=scores,
        title=f"Labels of {dataset.split}, {counted(len(dataset), 'image')}",
        instances=masks,
        left_out=dataset.choice.boxes_left_out if dataset.choice else 0,
        exported=tuple(exported),
    )


def _scored(folder: Path, dataset: BoxDataset) -> tuple[InstanceScores | None, LabelScores | None]:
    """Scores of masks and labels; None where nothing can be scored, which must not stop what follows."""
    if not dataset.has_ground_truth:
        return None, None
    return _attempt(score_masks, folder, dataset), _attempt(score_labels, folder, dataset)


def _attempt(score: Callable[[Path, BoxDataset], T], folder: Path, dataset: BoxDataset) -> T | None:
    try:
        return score(folder, dataset)
    except DataError as error:
        log.warning(f"label: not scored: {error}")
        return None


def score_masks(folder: Path, dataset: BoxDataset) -> InstanceScores | None:
    """Scores of the masks of single boxes, if the data has masks of its objects."""
    labelled = [s for s in dataset.samples if piece_path(folder, s).is_file()]
    if all(sample.instances is None for sample in labelled):
        return None
    return score_instances(result_files(folder), dataset, labelled)
