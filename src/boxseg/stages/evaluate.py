"""Score a segmentation network, a folder of labels or masks of single objects against ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from boxseg.atomic import write_json
from boxseg.errors import ConfigError
from boxseg.formats.problems import report_problems
from boxseg.formats.splits import Splits
from boxseg.inference.devices import torch_device
from boxseg.inference.networks import check_classes, load_segmenter
from boxseg.jobs import EvaluateJob
from boxseg.results import Result
from boxseg.runs.data_index import IndexedSplits
from boxseg.runs.folder import check_folder
from boxseg.runs.label_source import check_classes as check_label_classes
from boxseg.runs.label_source import mask_folder
from boxseg.runs.layout import METRICS, evaluation
from boxseg.runs.lock import hold
from boxseg.scoring.instance_scores import (
    InstanceScores,
    class_precision_table,
    mask_tables,
    result_sources,
    score_instances,
)
from boxseg.scoring.label_scores import LabelScores, label_table, no_truth, score_labels, score_notes
from boxseg.scoring.network_scores import (
    NetworkScores,
    class_table,
    network_notes,
    network_tables,
    score_network,
)
from boxseg.spreading.place import place_of
from boxseg.tables import Table
from boxseg.wording import counted


@dataclass(frozen=True, kw_only=True)
class EvaluateResult(Result):
    """Scores, and where they were written.

    Attributes:
        title: What was scored.
        scores: Scores of a network, a label folder or masks of single objects.
        file: metrics.json.
    """

    title: str
    scores: NetworkScores | LabelScores | InstanceScores
    file: Path

    def tables(self) -> list[Table]:
        """Means, then every class."""
        if isinstance(self.scores, LabelScores):
            return [label_table(self.title, self.scores), class_table(self.scores.labels)]
        if isinstance(self.scores, InstanceScores):
            tables = mask_tables(f"Masks of single objects, {self.title}", self.scores)
            return [*tables, class_precision_table(self.scores)]
        return network_tables(self.title, self.scores)

    def notes(self) -> list[str]:
        """Where the scores are, and which of them are missing."""
        left_out = self.scores.left_out if isinstance(self.scores, InstanceScores) else ""
        found = score_notes(self.scores) if isinstance(self.scores, LabelScores) else []
        found += network_notes(self.scores) if isinstance(self.scores, NetworkScores) else []
        return [*filter(None, [left_out]), *found, f"Scores: {self.file}"]


def run(job: EvaluateJob, splits: Splits | None = None) -> EvaluateResult:
    """Score what the job names."""
    given = [path for path in (job.checkpoint, job.labels, job.instances) if path is not None]
    if len(given) != 1:
        raise ConfigError(
            "give one of checkpoint=FILE (network), labels=FOLDER (label masks), instances=FILE (COCO results)"
        )
    home = given[0] if given[0].is_dir() or job.labels else given[0].parent
    if job.labels and mask_folder(job.labels).home is not None:  # which has no such folder
        home = job.labels.parent
    splits = splits or IndexedSplits(job.out or home)
    dataset = splits.load(job.data)
    report_problems(dataset)
    folder = job.out or evaluation(home, dataset.split)
    if job.out is not None or home.is_dir():
        check_folder(folder)
    place = place_of(job.cluster, job.trainer)
    scores: NetworkScores | LabelScores | InstanceScores
    if job.instances is not None:
        more = job.trainer if job.baselines else None
        scores = score_instances(result_sources(job.instances), dataset, dataset.samples, more, place)
    elif not dataset.has_ground_truth:
        raise no_truth(dataset)
    elif job.checkpoint is not None:
        loaded = load_segmenter(job.checkpoint, torch_device(place.at_home(job.trainer)))
        check_classes(loaded.classes, dataset, job.checkpoint)
        scores = score_network(loaded, dataset, job.evaluate, job.trainer, place=place)
    else:
        check_label_classes(given[0], dataset)
        scores = score_labels(given[0], dataset, place)
    if job.out is not None or home.is_dir():
        hold(folder)
    file = folder / METRICS
    write_json(file, {"split": dataset.split, **scores.as_dict()})
    return EvaluateResult(title=f"{dataset.split}, {counted(scores.images, 'image')}", scores=scores, file=file)
