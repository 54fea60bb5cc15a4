"""All stages in one run folder: boxes, labels, segmentation network, scores, picture sheet."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from boxseg import formats
from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import DataError
from boxseg.formats.images import read_image
from boxseg.formats.masks import read_mask
from boxseg.jobs import ClassifyJob, Job, LabelJob, ReportJob, RunJob, SegmentJob
from boxseg.report.sheet import Picture, draw_boxes, label_picture, write_sheet
from boxseg.report.tables import Table
from boxseg.stages import classify, label, report, segment
from boxseg.stages.devices import torch_device
from boxseg.stages.folder import open_folder, write_json
from boxseg.stages.inference import label_group
from boxseg.stages.label import Labelled
from boxseg.stages.networks import load_segmenter, weight_inputs
from boxseg.stages.report import Reported
from boxseg.stages.scoring import SOURCES
from boxseg.stages.segment import Segmented

_SHEET_ROWS = 6

JobT = TypeVar("JobT", bound=Job)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The results of all stages.

    Attributes:
        labels: Stage 2, on the training split.
        network: Stage 3, scored on the validation split.
        sheet: Picture sheet.
        report: The report, one HTML file.
        splits: Names of the splits for training and validation.
    """

    labels: Labelled
    network: Segmented
    sheet: Path
    report: Reported
    splits: tuple[str, str]

    def tables(self) -> list[Table]:
        """Labels against the whole box, and the network."""
        rows: list[tuple[str | float | None, ...]] = []
        if self.labels.scores:
            scores = self.labels.scores
            rows.append(("whole box (baseline)", self.splits[0], scores.whole_box.miou))
            rows += [
                (f"labels {SOURCES[name]}", self.splits[0], part.miou) for name, part in scores.labels.items()
            ]
        if self.network.scores:
            rows.append(("network", self.splits[1], self.network.scores.before_crf.miou))
            if self.network.scores.after_crf:
                rows.append(("network + CRF", self.splits[1], self.network.scores.after_crf.miou))
        title = "mIoU against ground truth"
        return [Table(title=title, columns=("", "split", "mIoU"), rows=tuple(rows))] if rows else []

    def notes(self) -> list[str]:
        """Where everything is."""
        return [
            *self.labels.notes(),
            *self.network.notes(),
            f"Picture sheet: {self.sheet}",
            *self.report.notes(),
        ]


def run(job: RunJob) -> Finished:
    """Run every stage that is not done yet.

    Raises:
        BoxsegError: Something given cannot be used.
    """
    formats.load(job.data)  # before anything is written
    folder = open_folder(job, inputs=weight_inputs(job.model))
    checkpoint = None
    if job.label.by_classifier:
        checkpoint = classify.run(job_for(ClassifyJob, job, out=folder / "classify")).checkpoint
    labels = label.run(job_for(LabelJob, job, out=folder / "label", checkpoint=checkpoint))
    network = segment.run(job_for(SegmentJob, job, out=folder / "segment", labels=str(labels.folder)))
    sheet = folder / "sheet.png"
    make_sheet(sheet, job, labels.folder, network.checkpoint)
    write_json(
        folder / "metrics.json",
        {
            "labels": labels.scores.as_dict() if labels.scores else None,
            "network": network.scores.as_dict() if network.scores else None,
        },
    )
    page = report.run(ReportJob(run=folder, data=job.data.root, report=job.report))
    splits = (job.data.split, job.data.val_split)
    return Finished(labels=labels, network=network, sheet=sheet, report=page, splits=splits)


def make_sheet(path: Path, job: RunJob, labels: Path, checkpoint: Path) -> None:
    """Photos of the training split with boxes, labels, prediction and ground truth, evenly drawn."""
    dataset = formats.load(job.data)
    loaded = load_segmenter(checkpoint, torch_device(job.trainer))
    rows = []
    for sample in _spread(dataset, labels):
        image = read_image(sample.image)
        masks = [read_mask(file, len(dataset.classes)) for file in label.paths(labels, sample)]
        predicted = label_group(loaded, [image], job.evaluate)[0].labels.cpu().numpy()
        truth = sample.ground_truth() if sample.ground_truth else None
        row: list[Picture | None] = [draw_boxes(image, sample.boxes, sample.labels)]
        rows.append(row + [label_picture(image, mask) for mask in (*masks, predicted, truth)])
    write_sheet(path, ("boxes", "Y_crf", "Y_ret", "prediction", "ground truth"), rows)


def _spread(dataset: BoxDataset, labels: Path) -> list[Sample]:
    """A few labelled images with boxes, evenly spread over the split.

    Raises:
        DataError: There is none.
    """
    done = [s for s in dataset.samples if len(s.labels) and (labels / "y_crf" / f"{s.id}.png").is_file()]
    if not done:
        raise DataError(f"no labels in {labels}")
    places = np.linspace(0, len(done) - 1, min(_SHEET_ROWS, len(done))).round().astype(int)
    return [done[place] for place in places]


def job_for(kind: type[JobT], job: Job, **changes: Any) -> JobT:
    """A job of one kind with the sections it shares with another."""
    names = {item.name for item in dataclasses.fields(kind)}
    shared = {name: value for name, value in vars(job).items() if name in names}
    return kind(**{**shared, **changes})
