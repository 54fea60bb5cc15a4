"""Stage 2: pseudo labels Y_crf and Y_ret for photos with boxes.

Source: Oh et al., BANA, CVPR 2021, section 3.2.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from boxseg.atomic import write_json
from boxseg.dataset import BoxDataset
from boxseg.formats.problems import report_problems
from boxseg.formats.splits import Splits
from boxseg.jobs import LabelJob
from boxseg.labelling.box_instances import gather
from boxseg.labelling.class_map import label_map
from boxseg.labelling.labeller import Labeller, label_photos
from boxseg.labelling.methods import start_method
from boxseg.results import Result
from boxseg.runs.dataset_folder import write_formats
from boxseg.runs.folder import open_folder
from boxseg.runs.layout import LABEL_MAP, METRICS, Y_CRF, Y_RET, piece_path
from boxseg.runs.stage_files import label_files
from boxseg.scoring.instance_scores import InstanceScores, mask_tables, result_files, score_instances
from boxseg.scoring.label_scores import LabelScores, label_table, score_labels, write_confusion
from boxseg.tables import Table

log = logging.getLogger("boxseg")


@dataclass(frozen=True, kw_only=True)
class LabelResult(Result):
    """Pseudo labels of a split.

    Attributes:
        folder: Holds y_crf/ID.png and y_ret/ID.png.
        written: Photos labelled by this call.
        present: Photos labelled by earlier calls.
        skipped: Photos that could not be read, with the reason.
        scores: Scores of the labels; None without ground truth.
        title: What the scores are about.
        instances: Scores of the masks of single boxes; None if not requested, or without ground truth.
        exported: One line for each data set format written.
    """

    folder: Path
    written: int
    present: int
    skipped: dict[str, str]
    scores: LabelScores | None
    title: str
    instances: InstanceScores | None = None
    exported: tuple[str, ...] = ()

    def tables(self) -> list[Table]:
        """Scores of the labels, the whole-box baseline and the masks of single boxes."""
        tables = [label_table(f"{self.title}: mIoU", self.scores)] if self.scores else []
        return [*tables, *mask_tables(self.title, self.instances)] if self.instances else tables

    def notes(self) -> list[str]:
        """What was written, and where."""
        skipped = f", {len(self.skipped)} unreadable and skipped" if self.skipped else ""
        line = f"Labels: {self.folder} ({self.written} written, {self.present} there already{skipped})"
        return [line, *self.exported]


def run(job: LabelJob, splits: Splits | None = None) -> LabelResult:
    """Write the missing labels, and score all if there is ground truth."""
    dataset = (splits or Splits()).load(job.data)
    method = start_method(job, dataset)
    folder = open_folder(job, inputs=method.origin.files)
    report_problems(dataset)
    names = label_map(dataset.classes, method.origin.matches, dataset.category_ids)
    write_json(folder / LABEL_MAP, names)
    labeller = Labeller(method=method, options=job.label, folder=folder, category_ids=dataset.category_ids)
    missing = label_files(folder, dataset.samples, job.label).missing()
    present = len(dataset) - len(missing)
    if present:
        log.info(f"label: {present} of {len(dataset)} photos already have their labels")
    skipped = label_photos(labeller, missing, job.trainer)
    masks = score_masks(folder, dataset) if job.label.instances else None
    scores = score_labels(folder, dataset) if dataset.has_ground_truth else None
    if scores:
        parts = {"instances": masks.as_dict()} if masks else {}
        write_json(folder / METRICS, {**scores.as_dict(), **parts, "skipped": skipped})
        write_confusion(folder, {"whole_box": scores.whole_box, **scores.labels})
    exported = write_formats(job.label.formats, folder, dataset, changed=bool(missing))
    return LabelResult(
        folder=folder,
        written=len(missing) - len(skipped),
        present=present,
        skipped=skipped,
        scores=scores,
        title=f"Labels of {dataset.split}, {len(dataset)} images",
        instances=masks,
        exported=tuple(exported),
    )


def score_masks(folder: Path, dataset: BoxDataset) -> InstanceScores | None:
    """Gather the masks of single boxes, and score them if the data has masks of its objects."""
    counts = gather(folder, dataset.samples)
    boxes = sum(len(sample.labels) for sample in dataset.samples)
    log.info(f"label: {counts[Y_CRF]} masks of Y_crf and {counts[Y_RET]} of Y_ret for {boxes} boxes")
    labelled = [s for s in dataset.samples if piece_path(folder, s).is_file()]
    if all(sample.instances is None for sample in labelled):
        return None
    return score_instances(result_files(folder), dataset, labelled)
