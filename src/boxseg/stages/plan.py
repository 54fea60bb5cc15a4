"""A dry run: what stages would do, how long that takes and how much they write, from a few real steps.

Each stage is tried out on a few photos of usual size, in a temporary folder that is removed; networks start
from random weights, which take as long as others.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from boxseg import formats
from boxseg.config import Classify, Evaluate, Segment, TrainerOptions
from boxseg.data.loading import BoxTraining, LabelTraining
from boxseg.dataset import BoxDataset, Sample
from boxseg.downloads.fetch import free_space
from boxseg.formats.splits import Splits
from boxseg.inference.devices import torch_device
from boxseg.inference.networks import load_segmenter, weight_inputs
from boxseg.jobs import ClassifyJob, LabelJob, RunJob, SegmentJob, job_for
from boxseg.labelling.labeller import Labeller, label_photos
from boxseg.labelling.method import Method
from boxseg.labelling.methods import start_method
from boxseg.progress import quiet
from boxseg.results import Result
from boxseg.runs.folder import check_folder, check_job
from boxseg.runs.layout import LAST, MODEL, STAGES, checkpoint_file, stage_folder
from boxseg.runs.stage_files import label_files, score_files, training_files
from boxseg.scoring.network_scores import score_network, validation_split
from boxseg.tables import Cell, Table
from boxseg.training.box_classifier import BoxClassifierModule
from boxseg.training.labels import training_labels, with_boxes
from boxseg.training.loop import progress_of
from boxseg.training.module import TrainingModule
from boxseg.training.schedule import schedule_length
from boxseg.training.segmenter import SegmenterModule
from boxseg.training.step_time import seconds_per_step

MEGABYTE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class PlannedStage:
    """One stage.

    Attributes:
        name: Its name.
        images: Photos it works on.
        boxes: Their boxes.
        work: What it does with them.
        seconds: How long the rest of it takes, measured and extrapolated.
        disk: Bytes it still writes, likewise.
        state: `to do`, or how far it is.
    """

    name: str
    images: int
    boxes: int
    work: str
    seconds: float
    disk: float
    state: str = "to do"


@dataclass(frozen=True, kw_only=True)
class PlanResult(Result):
    """What a job would do.

    Attributes:
        dataset: Its photos.
        stages: In order.
        free: Bytes free on the disk.
        device: Where the steps were timed.
    """

    dataset: BoxDataset
    stages: tuple[PlannedStage, ...]
    free: int
    device: str

    def tables(self) -> list[Table]:
        """A line for each stage."""
        rows: list[tuple[Cell, ...]] = [
            (
                stage.name,
                stage.images,
                stage.boxes,
                stage.work,
                _duration(stage.seconds),
                _megabytes(stage.disk),
                stage.state,
            )
            for stage in self.stages
        ]
        seconds, disk = (
            sum(numbers) for numbers in zip(*((s.seconds, s.disk) for s in self.stages), strict=True)
        )
        rows.append(("in all", "", "", "", _duration(seconds), _megabytes(disk), ""))
        columns = ("stage", "images", "boxes", "work", "time, estimated", "disk, estimated", "")
        data = self.dataset
        title = f"{data.root}, {data.split}: {len(data)} images, {len(data.classes)} classes"
        return [Table(title=title, columns=columns, rows=tuple(rows))]

    def notes(self) -> list[str]:
        """What the numbers are worth."""
        return [
            f"Times are estimates, from one or two steps and a few photos just now on {self.device}.",
            f"Free on the disk: {_megabytes(self.free)}. Nothing was written: this is a dry run.",
        ]


def run(job: RunJob | ClassifyJob | LabelJob | SegmentJob) -> PlanResult:
    """Plan a job.

    Raises:
        BoxsegError: Something given cannot be used.
    """
    check_folder(job.out)
    dataset = formats.load(job.data)
    with tempfile.TemporaryDirectory(prefix="boxseg-plan-") as name, _silently():
        scratch = Path(name)
        # What is there would go: nothing of it is done.
        fresh = replace(job, out=scratch / "out") if job.overwrite else job
        stages = list(_stages(fresh, dataset, scratch))
    return PlanResult(
        dataset=dataset, stages=tuple(stages), free=free_space(job.out), device=str(torch_device(job.trainer))
    )


def _stages(
    job: RunJob | ClassifyJob | LabelJob | SegmentJob, dataset: BoxDataset, scratch: Path
) -> Iterator[PlannedStage]:
    if isinstance(job, ClassifyJob):
        check_job(job, inputs=weight_inputs(job.model))
        yield _classify(job, dataset, scratch)
    elif isinstance(job, LabelJob):
        method = start_method(job, dataset)
        check_job(job, inputs=method.origin.files)
        yield _label(job, dataset, method, scratch)
    elif isinstance(job, SegmentJob):
        check_job(job, inputs=weight_inputs(job.model))
        yield from _segment(job, dataset, scratch)
    else:
        check_job(job, inputs=weight_inputs(job.model))
        classify, label, segment = (stage_folder(job.out, stage) for stage in STAGES)
        checkpoint = None
        if job.label.by_classifier:
            yield _classify(job_for(ClassifyJob, job, out=classify), dataset, scratch)
            checkpoint = checkpoint_file(scratch, "box-classifier")
        label_job = job_for(LabelJob, job, out=label, checkpoint=checkpoint)
        yield _label(label_job, dataset, start_method(label_job, dataset), scratch)
        labels = str(stage_folder(scratch, "label"))
        yield from _segment(
            job_for(SegmentJob, job, out=segment, labels=labels), dataset, scratch, whole=dataset
        )


def _classify(job: ClassifyJob, dataset: BoxDataset, scratch: Path) -> PlannedStage:
    dataset, options, seed = with_boxes(dataset), job.classify, job.trainer.seed
    module = BoxClassifierModule(
        classes=len(dataset.classes),
        iterations=1,
        model=replace(job.model, weights="none"),
        classify=options,
        seed=seed,
    )
    module.save(stage_folder(scratch, "classify") / MODEL, dataset.classes)
    images = BoxTraining(dataset, options.augment, seed)
    return _training("classify", job, options, module, images, dataset)


def _segment(
    job: SegmentJob, dataset: BoxDataset, scratch: Path, whole: BoxDataset | None = None
) -> Iterator[PlannedStage]:
    """Training and scoring; `whole` are the photos where those of `labels` are but a few, to be timed with."""
    labels = training_labels(dataset, job)
    options, seed = job.segment, job.trainer.seed
    module = SegmenterModule(
        classes=len(dataset.classes),
        iterations=1,
        model=replace(job.model, weights="none"),
        segment=options,
        seed=seed,
    )
    file = stage_folder(scratch, "segment") / MODEL
    module.save(file, dataset.classes)
    images = LabelTraining(labels.dataset, options.augment, seed, labels.sources, labels.strong)
    yield _training("segment", job, options, module, images, whole or labels.dataset)
    yield from _score(job, file, scratch)


def _training(
    name: str,
    job: ClassifyJob | SegmentJob,
    options: Classify | Segment,
    module: TrainingModule,
    images: BoxTraining | LabelTraining,
    dataset: BoxDataset,
) -> PlannedStage:
    iterations = schedule_length(options, len(dataset), job.scale)
    finished, last = training_files(job.out).done, job.out / LAST
    done = progress_of(last)[0] if last.is_file() else 0
    left = 0 if finished else max(0, iterations - done)
    weights = _bytes(module.network.state_dict().values())
    momentum = _bytes(p for p in module.network.parameters() if p.requires_grad)
    return PlannedStage(
        name=name,
        images=len(dataset),
        boxes=_boxes(dataset.samples),
        work=f"{iterations} iterations of {options.batch} images, {options.augment.crop} pixels",
        seconds=left * seconds_per_step(module, images, options.batch, job.trainer) if left else 0.0,
        disk=0.0 if finished else 2 * weights + momentum,
        state="there already" if finished else f"at iteration {done}" if done else "to do",
    )


def _label(job: LabelJob, dataset: BoxDataset, method: Method, scratch: Path) -> PlannedStage:
    folder = stage_folder(scratch, "label")
    labeller = Labeller(method=method, options=job.label, folder=folder, category_ids=dataset.category_ids)
    missing = len(label_files(job.out, dataset.samples, job.label).missing())
    photos = _usual([s for s in dataset.samples if len(s.labels)] or dataset.samples)
    start = time.perf_counter()
    label_photos(labeller, photos, _alone(job.trainer))
    each = (time.perf_counter() - start) / len(photos)
    written = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / len(photos)
    return PlannedStage(
        name="label",
        images=len(dataset),
        boxes=_boxes(dataset.samples),
        work=f"{missing} photos, about {photos[0].width} x {photos[0].height} pixels",
        seconds=each * missing / _helpers(job.trainer),
        disk=written * missing,
        state="there already"
        if not missing
        else f"{len(dataset) - missing} there"
        if missing < len(dataset)
        else "to do",
    )


def _score(job: SegmentJob, checkpoint: Path, scratch: Path) -> Iterator[PlannedStage]:
    """The scoring of the network, where there is anything to score it on."""
    dataset = validation_split(job.data, Splits())
    if dataset is None:
        return
    few = replace(dataset, samples=tuple(_usual([s for s in dataset.samples if s.ground_truth])))
    loaded = load_segmenter(checkpoint, torch_device(job.trainer))
    start = time.perf_counter()
    score_network(loaded, few, job.evaluate, _alone(job.trainer), keep=scratch / "scored")
    each = (time.perf_counter() - start) / len(few)
    written = sum(file.stat().st_size for file in (scratch / "scored").rglob("*.png")) / len(few)
    done = score_files(job.out).done
    yield PlannedStage(
        name=f"score on {dataset.split}",
        images=len(dataset),
        boxes=_boxes(dataset.samples),
        work=_views(job.evaluate),
        seconds=0.0 if done else each * len(dataset) / _helpers(job.trainer),
        disk=0.0 if done else written * len(dataset),
        state="there already" if done else "to do",
    )


def _views(options: Evaluate) -> str:
    scales = len(options.scales) if options.tta else 1
    mirrored = ", mirrored" if options.tta and options.flip else ""
    crf = "on" if options.crf.active else "off"
    return f"{scales} {'scale' if scales == 1 else 'scales'}{mirrored}, CRF {crf}"


def _usual(samples: Sequence[Sample]) -> list[Sample]:
    """As many photos of middling size as are worked on at once."""
    ordered = sorted(samples, key=lambda sample: sample.width * sample.height)
    count = min(len(ordered), torch.get_num_threads())
    first = (len(ordered) - count) // 2
    return ordered[first : first + count]


def _alone(trainer: TrainerOptions) -> TrainerOptions:
    return replace(trainer, devices=1, workers=0)


def _helpers(trainer: TrainerOptions) -> int:
    """Devices that photos are spread over; processes of a CPU share its cores and gain nothing."""
    if torch_device(trainer).type == "cpu":
        return 1
    return torch.cuda.device_count() if trainer.devices == "auto" else trainer.devices


def _boxes(samples: Sequence[Sample]) -> int:
    return sum(len(sample.labels) for sample in samples)


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _duration(seconds: float) -> str:
    """About so long: two digits are more than it is worth."""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return (
                f"{seconds / length:.2g} {unit}" if seconds < 100 * length else f"{seconds / length:.0f} {unit}"
            )
    return "–" if not seconds else f"{max(1, round(seconds))} s"


def _megabytes(size: float) -> str:
    return f"{size / MEGABYTE:,.0f} MB" if size >= MEGABYTE else "–" if not size else "1 MB"


@contextmanager
def _silently() -> Iterator[None]:
    """Without the bars and remarks of the stages, whose trials are no work."""
    log = logging.getLogger("boxseg")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        with quiet():
            yield
    finally:
        log.setLevel(level)
