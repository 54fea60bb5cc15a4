"""Scores of masks of single objects against the data's own: AP, and the IoU of each object's own mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from boxseg.config import TrainerOptions
from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import DataError, MissingExtraError
from boxseg.formats.coco_results import CocoResult, read_results
from boxseg.formats.samples import chosen
from boxseg.progress import track
from boxseg.runs.box_results import OwnResults, own_results
from boxseg.runs.layout import MASKS, PAIR, results_path
from boxseg.scoring.average_precision import Precision, average_precision
from boxseg.scoring.baseline_masks import BASELINE_TITLES, ellipses, grabcuts, whole_boxes
from boxseg.scoring.coco_masks import FoundMasks, TrueObjects, found_masks, true_objects
from boxseg.scoring.label_scores import LABEL_TITLES
from boxseg.scoring.own_masks import ObjectIous, object_ious
from boxseg.shards.find import home_of
from boxseg.spreading.place import Place
from boxseg.tables import Table


@dataclass(frozen=True, kw_only=True)
class MaskScores:
    """What is measured of some masks.

    Attributes:
        precision: COCO's AP.
        ious: IoU of each object's own mask.
    """

    precision: Precision
    ious: ObjectIous

    def as_dict(self) -> dict[str, Any]:
        """For metrics.json."""
        return {**self.ious.as_dict(), **self.precision.as_dict()}


@dataclass(frozen=True, kw_only=True)
class InstanceScores:
    """Scores of one or more results files on the same images.

    Attributes:
        images: Images scored.
        baselines: Masks of boxes without training: `whole_box` and, if asked for, `ellipse` and `grabcut`.
        parts: By source: `masks`, `y_crf` and `y_ret`, or the name of a results file.
        left_out: Why a baseline is missing that was asked for; empty if none is.
    """

    images: int
    baselines: dict[str, MaskScores]
    parts: dict[str, MaskScores]
    left_out: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For metrics.json."""
        return {name: part.as_dict() for name, part in {**self.baselines, **self.parts}.items()}


# Where results are: a file, or what `label` wrote of each photo.
ResultSource = Path | OwnResults


def result_sources(path: Path) -> dict[str, ResultSource]:
    """Results by source: those of a folder made by `label`, or the file itself.

    Raises:
        DataError: The folder has none.
    """
    if not path.is_dir():
        return {path.name if path.stem in BASELINE_TITLES else path.stem: path}
    files = {"masks": path / MASKS, **{source: results_path(path, source) for source in PAIR}}
    found: dict[str, ResultSource] = {source: file for source, file in files.items() if file.is_file()}
    found = found or {**own_results(home_of(path))}
    if not found:
        raise DataError(f"{path} has no {MASKS}: give a folder made by `boxseg label`, or a COCO results file")
    return found


def score_instances(
    sources: Mapping[str, ResultSource],
    dataset: BoxDataset,
    samples: Sequence[Sample],
    more_baselines: TrainerOptions | None = None,
    place: Place | None = None,
) -> InstanceScores:
    """Scores of results files on those of the images whose objects all have masks, beside whole boxes.

    Args:
        sources: Results by source.
        dataset: The data set they are of.
        samples: Its images.
        more_baselines: Also score ellipses and GrabCut, with this seed and these loading processes.
        place: Where GrabCut works; here by default. AP ranks the masks of all photos together, in seconds.

    Raises:
        DataError: There is no such image, or a file cannot be used.
    """
    scored = chosen(samples, (sample.instances is not None for sample in samples))
    if not scored:
        raise DataError(
            f"{dataset.root}, split {dataset.split} ({dataset.format}) has no masks of single objects: AP "
            "needs COCO annotations with a segmentation of every object (label masks are scored by labels=…)"
        )
    truth = true_objects(dataset, scored)
    scored = list(truth.samples)
    parts = {}
    for name, file in track(sources.items(), "score instances", total=len(sources)):
        results = read_results(file) if isinstance(file, Path) else file.of(dataset, scored)
        found = found_masks(results, truth, file)
        if not found.masks and found.elsewhere:
            raise DataError(
                f"{file}: none of the results is for an image of split {dataset.split} in {dataset.root}"
            )
        parts[name] = _score(truth, found)
    masks = {"whole_box": whole_boxes(scored, dataset.category_ids)}
    left_out = ""
    if more_baselines is not None:
        masks["ellipse"] = ellipses(scored, dataset.category_ids)
        try:
            masks["grabcut"] = grabcuts(scored, dataset.category_ids, more_baselines, place)
        except MissingExtraError as error:
            left_out = f"Not among the baselines: {error}"
    baselines = {name: _score_own(truth, found, dataset.root) for name, found in masks.items()}
    return InstanceScores(images=len(scored), baselines=baselines, parts=parts, left_out=left_out)


def _score_own(truth: TrueObjects, results: list[CocoResult], source: Path) -> MaskScores:
    return _score(truth, found_masks(results, truth, source))


def _score(truth: TrueObjects, found: FoundMasks) -> MaskScores:
    return MaskScores(precision=average_precision(truth, found), ious=object_ious(truth, found))


def mask_tables(title: str, scores: InstanceScores) -> list[Table]:
    """AP, at all overlaps and at two, and by size; and IoU of the objects' own masks; beside the baselines."""
    parts = {BASELINE_TITLES[name]: part for name, part in scores.baselines.items()} | _titled(scores)
    precisions = tuple((name, *astuple(part.precision.mean)) for name, part in parts.items())
    ious = tuple(
        (name, own.mean, own.small, own.medium, own.large, own.objects, own.without_mask, own.poor)
        for name, own in ((name, part.ious) for name, part in parts.items())
    )
    return [
        Table(
            title=f"{title}: AP",
            columns=("masks", "AP", "AP50", "AP75", "APS", "APM", "APL"),
            rows=precisions,
        ),
        Table(
            title=f"{title}: IoU of each object's own mask",
            columns=(
                "masks",
                "mean IoU",
                "small",
                "medium",
                "large",
                "objects",
                "without mask",
                "IoU below 25",
            ),
            rows=ious,
        ),
    ]


def class_precision_table(scores: InstanceScores) -> Table:
    """AP and AP50 of every class that the images have."""
    parts = {title: part.precision.classes for title, part in _titled(scores).items()}
    names = [name for name, part in next(iter(parts.values())).items() if part.ap is not None]
    columns = [column for source in parts for column in (f"{source} AP", f"{source} AP50")]
    rows = [(name, *(cell for p in parts.values() for cell in (p[name].ap, p[name].ap50))) for name in names]
    return Table(title="AP per class", columns=("class", *columns), rows=tuple(rows))


def _titled(scores: InstanceScores) -> dict[str, MaskScores]:
    return {LABEL_TITLES.get(name, name): part for name, part in scores.parts.items()}
