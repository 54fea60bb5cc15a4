"""Stage 2: a mask for every box, and labels by class, for photos with boxes.

Source of Y_crf and Y_ret: Oh et al., BANA, CVPR 2021, section 3.2.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar, get_args

from boxseg.atomic import write_json
from boxseg.config import Data
from boxseg.data.box_masks import opencv
from boxseg.dataset import LEAVE_OUT, REDRAW, BoxDataset, Correction, Sample
from boxseg.errors import DataError
from boxseg.formats.corrections import Corrections, read_corrections, with_corrections
from boxseg.formats.masks_json import write_masks
from boxseg.formats.problems import check_boxes, report_problems
from boxseg.formats.samples import chosen
from boxseg.formats.splits import Splits
from boxseg.formats.writers import Spread
from boxseg.jobs import LabelJob
from boxseg.labelling.box_instances import gather
from boxseg.labelling.class_map import label_map
from boxseg.labelling.labeller import Labeller, label_photos
from boxseg.labelling.method import Method
from boxseg.labelling.methods import start_method
from boxseg.results import Result
from boxseg.runs.data_index import IndexedSplits
from boxseg.runs.dataset_folder import write_formats
from boxseg.runs.folder import open_folder
from boxseg.runs.layout import CONFUSION, CORRECTIONS, LABEL_MAP, MASK_COUNTS, MASKS, METRICS, masks_of_boxes
from boxseg.runs.provenance import read_provenance, standing, write_provenance
from boxseg.scoring.instance_scores import InstanceScores, mask_tables, result_sources, score_instances
from boxseg.scoring.label_scores import LabelScores, label_table, score_labels, score_notes, write_confusion
from boxseg.scoring.mask_counts import MaskCounts, count_masks, count_table
from boxseg.shards.find import home_for, home_of
from boxseg.shards.home import SHARDS, Home
from boxseg.spreading.place import Needs, Place, place_of
from boxseg.tables import Table
from boxseg.wording import counted, counted_of

log = logging.getLogger("boxseg")

T = TypeVar("T")

# What was done to how many: a noun, and words that follow it.
_CORRECTED = {
    "ellipse": ("mask", "by ellipse"),
    "box": ("mask", "of the whole box"),
    "grabcut": ("mask", "by GrabCut"),
    LEAVE_OUT: ("box", "left out"),
    REDRAW: ("mask", "to be redrawn"),
    "wrong": ("photo", "that segment leaves out"),
}


@dataclass(frozen=True, kw_only=True)
class LabelResult(Result):
    """Masks and labels of a split.

    Attributes:
        folder: Holds masks.json, labels/ID.png, confidence/ID.png and reliable/ID.png; or shards/.
        written: Photos labelled by this call.
        present: Photos that had their labels already.
        skipped: Photos that could not be read, with the reason.
        counts: Masks, and those that may be wrong: of `all`, `small`, `medium` and `large` boxes.
        scores: Scores against ground truth, if there is any and it is to be scored.
        title: What the scores are about.
        instances: Scores of the masks of single boxes, if the data has masks of its objects.
        left_out: Boxes of classes that `data.classes` leaves out: they have no mask.
        exported: A line on every other format they were written in.
        corrections: How many boxes were corrected in which way, in the words of the file of corrections; for
            `wrong` the number of photos, which `segment` leaves out.
        in_shards: Whether the results are in shards.
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
    corrections: dict[str, int] = field(default_factory=dict)
    in_shards: bool = False

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
        dropped = self.corrections.get(LEAVE_OUT, 0)
        others += f"; {counted(dropped, 'box')} left out by corrections" if dropped else ""
        corrected = ", ".join(
            f"{counted(count, _CORRECTED[what][0])} {_CORRECTED[what][1]}"
            for what, count in self.corrections.items()
        )
        of = counted(every.boxes + dropped, "box")
        place = self.folder / (SHARDS if self.in_shards else MASKS)
        without = (
            f"No {MASKS} with label.store=shards: `boxseg convert {self.folder} DIR format=coco` makes a COCO "
            "data set of all masks"
        )
        return [
            f"Masks: {place} ({every.boxes} for {of}{fallback}{others})",
            *([without] if self.in_shards else []),
            *([f"Corrections: {self.folder / CORRECTIONS} ({corrected})"] if corrected else []),
            f"Labels: {self.folder} ({self.written} written, {self.present} there already{skipped})",
            *(score_notes(self.scores) if self.scores else []),
            *self.exported,
        ]


def run(job: LabelJob, splits: Splits | None = None) -> LabelResult:
    """Write the missing labels, gather the masks, and score all if there is ground truth."""
    splits = splits or IndexedSplits(job.out)
    plain = splits.load(job.data)
    check_boxes(plain)
    dataset, corrections = corrected(plain, job, splits)
    place = place_of(job.cluster, job.trainer)
    method = start_method(replace(job, trainer=place.at_home(job.trainer)), dataset)
    labeller = labeller_of(job, dataset, method)
    there = standing(job.out, dataset, labeller.files(dataset.samples), anew=job.overwrite)
    folder = open_folder(job, inputs=method.origin.files)
    splits.keep(folder)
    report_problems(dataset)
    _keep(corrections, folder)
    names = label_map(dataset.classes, method.origin.matches, dataset.category_ids)
    write_json(folder / LABEL_MAP, names)
    write_provenance(folder, there.kept)
    missing, present = there.missing, len(dataset) - len(there.missing)
    if there.changed:
        log.info(
            f"label: {counted(there.changed, 'photo')} with other content, boxes or corrections than when the "
            "labels were made: they are made anew"
        )
    if present:
        log.info(f"label: labels of {counted_of(present, len(dataset), 'photo')} are there already")
    labeller = replace(labeller, home=labeller.home.begin())
    skipped = label_photos(labeller, missing, job.trainer, place)
    home = labeller.home.end()
    labeller = replace(labeller, home=home)
    made = read_provenance(folder)
    _check_seen(home, labeller, [sample for sample in dataset.samples if sample.id in made])
    write_provenance(folder, {sample.id: made[sample.id] for sample in dataset.samples if sample.id in made})
    if home.gathers:
        write_masks(folder / MASKS, dataset, partial(masks_of_boxes, home), job.label.masks)
    if home.gathers and method.origin.pair and job.label.instances:
        gather(home, dataset.samples)
    counts = count_masks(home, dataset.samples)
    write_json(folder / MASK_COUNTS, {size: part.as_dict() for size, part in counts.items()})
    masks, scores = _scored(folder, dataset, place) if job.scores else (None, None)
    if scores:
        parts = {"instances": masks.as_dict()} if masks else {}
        write_json(folder / METRICS, {**scores.as_dict(), **parts, "skipped": skipped})
        write_confusion(folder, {"whole_box": scores.whole_box, **scores.labels})
    elif missing:
        _remove_scores(folder)
    exported = write_formats(job.label.formats, folder, dataset, _spread(place, folder))
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
        corrections=_counted(dataset, corrections),
        in_shards=not home.gathers,
    )


def _remove_scores(folder: Path) -> None:
    """Remove scores of labels that were here before."""
    for name in (METRICS, CONFUSION):
        (folder / name).unlink(missing_ok=True)


def _check_seen(home: Home, labeller: Labeller, samples: Sequence[Sample]) -> None:
    """Check that the results of photos that are recorded are found where they lie together.

    Network drives may remember for a while which shards a folder had.

    Raises:
        DataError: Some are not.
    """
    lost = [] if home.gathers else labeller.files(samples).missing()
    if lost:
        raise DataError(
            f"{home.folder}: labels of {counted(len(lost), 'photo')} were written, and are not seen here: give "
            "the same command again"
        )


def _spread(place: Place, folder: Path) -> Spread | None:
    return None if place.here else partial(place.share, needs=Needs(writes=folder))


def labeller_of(job: LabelJob, dataset: BoxDataset, method: Method, folder: Path | None = None) -> Labeller:
    """What labels these photos, to the folder of the job or another."""
    return Labeller(
        method=method,
        options=job.label,
        home=home_for(folder or job.out, job.label),
        classes=dataset.classes,
        category_ids=dataset.category_ids,
        seed=job.trainer.seed,
    )


def corrected(dataset: BoxDataset, job: LabelJob, splits: Splits) -> tuple[BoxDataset, Corrections | None]:
    """The photos with the corrections of their masks, and these; None where there are none.

    Raises:
        DataError: The corrections cannot be read, or are of other photos or boxes.
        MissingExtraError: GrabCut was chosen, and OpenCV is not installed.
    """
    if job.label.corrections is None:
        return dataset, None
    corrections = read_corrections(job.label.corrections.expanduser())
    found, aside = with_corrections(dataset, corrections, partial(_other_splits, job.data, splits))
    for split, count in aside.items():
        log.info(
            f"label: corrections of {counted(count, 'photo')} of split {split} left aside: not labelled here"
        )
    if any("grabcut" in sample.corrections.values() for sample in found.samples):
        opencv()
    return found, corrections


def _other_splits(data: Data, splits: Splits) -> Iterator[BoxDataset]:
    """The other splits that a report shows: the one for validation, and the usual one for training."""
    for split in dict.fromkeys((data.val_split, Data.split)):
        if split and split != data.split:
            try:
                yield splits.load(data.with_split(split))
            except DataError:  # a data set need not have it
                continue


def _keep(corrections: Corrections | None, folder: Path) -> None:
    """Write the corrections of the labels beside them, for `segment`; or take away those of earlier labels."""
    file = folder / CORRECTIONS
    if corrections is not None:
        write_json(file, corrections.content)
    elif file.is_file():
        log.info("label: there are no corrections now: those that were made before are taken back")
        file.unlink()


def _counted(dataset: BoxDataset, corrections: Corrections | None) -> dict[str, int]:
    if corrections is None:
        return {}
    done = Counter(do for sample in dataset.samples for do in sample.corrections.values())
    wrong = sum(sample.id in corrections.wrong for sample in dataset.samples)
    return {do: done[do] for do in get_args(Correction) if done[do]} | ({"wrong": wrong} if wrong else {})


def _scored(
    folder: Path, dataset: BoxDataset, place: Place
) -> tuple[InstanceScores | None, LabelScores | None]:
    """Scores of masks and labels; None where nothing can be scored, which must not stop what follows."""
    if not dataset.has_ground_truth:
        return None, None
    by_class = partial(score_labels, place=place)
    return _attempt(score_masks, folder, dataset), _attempt(by_class, folder, dataset)


def _attempt(score: Callable[[Path, BoxDataset], T], folder: Path, dataset: BoxDataset) -> T | None:
    try:
        return score(folder, dataset)
    except DataError as error:
        log.warning(f"label: not scored: {error}")
        return None


def score_masks(folder: Path, dataset: BoxDataset) -> InstanceScores | None:
    """Scores of the masks of single boxes, if the data has masks of its objects."""
    home = home_of(folder)
    labelled = chosen(dataset.samples, (masks_of_boxes(home, s).is_file() for s in dataset.samples))
    if all(sample.instances is None for sample in labelled):
        return None
    return score_instances(result_sources(folder), dataset, labelled)
