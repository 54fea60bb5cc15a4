"""All stages in one run folder: boxes, masks and labels, segmentation network, scores, report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from boxseg.atomic import write_json
from boxseg.formats.problems import check_boxes
from boxseg.formats.splits import Splits
from boxseg.inference.networks import KeptSegmenter, weight_inputs
from boxseg.jobs import AdaptJob, ClassifyJob, LabelJob, ReportJob, RunJob, SegmentJob, job_for
from boxseg.reporting.sheet import make_sheet
from boxseg.results import Result
from boxseg.runs.data_index import IndexedSplits
from boxseg.runs.folder import open_folder
from boxseg.runs.layout import FINAL, METRICS, MODEL, SHEET, stage_folder
from boxseg.scoring.label_scores import LABEL_TITLES
from boxseg.stages import adapt, classify, label, report, segment
from boxseg.stages.adapt import AdaptResult
from boxseg.stages.classify import ClassifyResult
from boxseg.stages.label import LabelResult
from boxseg.stages.report import ReportResult
from boxseg.stages.segment import SegmentResult
from boxseg.tables import Table


@dataclass(frozen=True, kw_only=True)
class RunResult(Result):
    """The results of all stages.

    Attributes:
        adapted: The mask network, if one was trained.
        labels: Stage 2, on the training split.
        network: Stage 3, scored on the validation split.
        sheet: Picture sheet.
        report: The report, one HTML file.
        splits: Names of the splits for training and validation.
        classified: The box classifier, if one was trained.
    """

    adapted: AdaptResult | None
    labels: LabelResult
    network: SegmentResult
    sheet: Path
    report: ReportResult
    splits: tuple[str, str]
    classified: ClassifyResult | None = None

    def tables(self) -> list[Table]:
        """What the mask network gained, and mIoU of the whole-box baseline, the labels and the network."""
        rows: list[tuple[str, str, float | None]] = []
        train, val = self.splits
        if scores := self.labels.scores:
            rows.append(("whole box (baseline)", train, scores.whole_box.miou))
            rows += [
                ("labels" if name == FINAL else f"labels {LABEL_TITLES[name]}", train, part.miou)
                for name, part in scores.labels.items()
            ]
        if found := self.network.scores:
            rows.append(("network", val, found.before_crf.miou))
            rows += [("network + CRF", val, found.after_crf.miou)] if found.after_crf else []
        title = "mIoU against ground truth"
        scored = [Table(title=title, columns=("", "split", "mIoU"), rows=tuple(rows))] if rows else []
        return [*(self.adapted.tables() if self.adapted else ()), *scored]

    def notes(self) -> list[str]:
        """Where everything is."""
        sheet = f"Picture sheet: {self.sheet}"
        trained = self.adapted or self.classified
        before = trained.notes() if trained else []
        return [*before, *self.labels.notes(), *self.network.notes(), sheet, *self.report.notes()]


def run(job: RunJob, *, callbacks: Sequence[Callback] = (), loggers: Sequence[Logger] = ()) -> RunResult:
    """Run every stage that is not done yet; `callbacks` and `loggers` are Lightning's, for both trainings."""
    splits = IndexedSplits(job.out)
    dataset = splits.load(job.data)  # fails before anything is written
    check_boxes(dataset)
    folder = open_folder(job, inputs=weight_inputs(job.model))
    splits.keep(folder)
    trained = _before_labels(job, splits, callbacks=callbacks, loggers=loggers)
    label_job = job_for(
        LabelJob, job, out=stage_folder(folder, "label"), checkpoint=trained.checkpoint if trained else None
    )
    labels = label.run(label_job, splits)
    segment_job = job_for(SegmentJob, job, out=stage_folder(folder, "segment"), labels=str(labels.folder))
    kept = KeptSegmenter(path=segment_job.out / MODEL, trainer=job.trainer)
    network = segment.run(segment_job, splits, kept, callbacks=callbacks, loggers=loggers)
    make_sheet(folder / SHEET, dataset, labels.folder, kept.loaded, job.evaluate)
    scores = {"labels": labels.scores, "network": network.scores}
    write_json(folder / METRICS, {name: part.as_dict() if part else None for name, part in scores.items()})
    page = report.run(ReportJob(run=folder, data=job.data.root, report=job.report), splits, kept)
    return RunResult(
        adapted=trained if isinstance(trained, AdaptResult) else None,
        classified=trained if isinstance(trained, ClassifyResult) else None,
        labels=labels,
        network=network,
        sheet=folder / SHEET,
        report=page,
        splits=(job.data.split, job.data.val_split),
    )


def _before_labels(job: RunJob, splits: Splits, **lightnings: Any) -> AdaptResult | ClassifyResult | None:
    """Train what makes the labels, if they need anything trained."""
    if job.label.by_classifier:
        classify_job = job_for(ClassifyJob, job, out=stage_folder(job.out, "classify"))
        return classify.run(classify_job, splits, **lightnings)
    if job.label.by_network and job.adapt.enabled:
        adapt_job = job_for(AdaptJob, job, out=stage_folder(job.out, "adapt"))
        return adapt.run(adapt_job, splits, **lightnings)
    return None
