"""A dry run: what the stages would do, with time and disk space estimated from a few real steps.

Each stage runs on a few photos of medium size in a temporary folder. Networks have random weights, which do not
change the time.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from boxseg import formats
from boxseg.config import Adapt, Evaluate, TrainerOptions
from boxseg.data.loading import TrainingPhotos
from boxseg.dataset import BoxDataset, Sample
from boxseg.downloads.fetch import MEGABYTE, free_space
from boxseg.formats.problems import check_boxes
from boxseg.formats.sample_counts import box_counts, truth_flags
from boxseg.formats.samples import chosen
from boxseg.formats.splits import Splits
from boxseg.inference.devices import torch_device
from boxseg.inference.mask_networks import IMAGENET
from boxseg.inference.networks import load_segmenter, weight_inputs
from boxseg.jobs import AdaptJob, ClassifyJob, LabelJob, RunJob, SegmentJob, job_for
from boxseg.labelling.labeller import label_photos
from boxseg.labelling.method import Method
from boxseg.labelling.methods import start_method
from boxseg.progress import quiet
from boxseg.results import Result
from boxseg.runs.folder import check_folder, check_job
from boxseg.runs.layout import MODEL, checkpoint_file, stage_folder
from boxseg.runs.provenance import origins_of, standing
from boxseg.runs.stage_files import score_files, training_files
from boxseg.scoring.network_scores import score_network, validation_split
from boxseg.shards.find import home_for
from boxseg.stages import adapt, classify, label, segment
from boxseg.tables import Cell, Table
from boxseg.training.checkpoints import last_checkpoint
from boxseg.training.labels import training_labels, with_boxes
from boxseg.training.module import TrainingModule
from boxseg.training.schedule import schedule_length
from boxseg.training.step_time import machines, seconds_per_step
from boxseg.wording import counted


@dataclass(frozen=True, kw_only=True)
class PlannedStage:
    """One stage.

    Attributes:
        name: Its name.
        images: Photos that it works on.
        boxes: Boxes of these photos.
        work: What it does with them.
        seconds: Estimated time left.
        disk: Estimated bytes still to write.
        state: `to do`, or how far it is.
    """

    name: str
    images: int
    boxes: int
    work: str
    seconds: float
    disk: float
    state: str


@dataclass(frozen=True, kw_only=True)
class PlanResult(Result):
    """What a job would do.

    Attributes:
        dataset: Its photos.
        stages: In order.
        free: Bytes free on the disk.
        device: Where the steps were timed.
        machines: How many will share the trainings.
    """

    dataset: BoxDataset
    stages: tuple[PlannedStage, ...]
    free: int
    device: str
    machines: int = 1

    def tables(self) -> list[Table]:
        """A line for each stage."""
        rows: list[tuple[Cell, ...]] = [
            (s.name, s.images, s.boxes, s.work, _duration(s.seconds), _megabytes(s.disk), s.state)
            for s in self.stages
        ]
        seconds, disk = sum(s.seconds for s in self.stages), sum(s.disk for s in self.stages)
        rows.append(("in all", "", "", "", _duration(seconds), _megabytes(disk), ""))
        columns = ("stage", "images", "boxes", "work", "time, estimated", "disk, estimated", "")
        data = self.dataset
        title = (
            f"{data.root}, {data.split}: {counted(len(data), 'image')}, {counted(len(data.classes), 'class')}"
        )
        return [Table(title=title, columns=columns, rows=tuple(rows))]

    def notes(self) -> list[str]:
        """How the times were estimated, and the free disk space."""
        count = counted(self.machines, "machine")
        shared = f"Trainings are shared by {count}; what these send one another is not counted."
        return [
            f"Times are estimates, from one or two steps and a few photos just now on {self.device}.",
            *([shared] if self.machines > 1 else []),
            f"Free on the disk: {_megabytes(self.free)}. Nothing was written: this is a dry run.",
        ]


def run(job: RunJob | AdaptJob | ClassifyJob | LabelJob | SegmentJob) -> PlanResult:
    """Plan a job."""
    check_folder(job.out)
    dataset = formats.load(job.data)
    with tempfile.TemporaryDirectory(prefix="boxseg-plan-") as name, _silently():
        scratch = Path(name)
        # With overwrite=true nothing that is there counts as done.
        fresh = replace(job, out=scratch / "out") if job.overwrite else job
        stages = list(_stages(fresh, dataset, scratch))
    return PlanResult(
        dataset=dataset,
        stages=tuple(stages),
        free=free_space(job.out),
        device=str(torch_device(job.trainer)),
        machines=machines(job.trainer)[0],
    )


def _stages(
    job: RunJob | AdaptJob | ClassifyJob | LabelJob | SegmentJob, dataset: BoxDataset, scratch: Path
) -> Iterator[PlannedStage]:
    if isinstance(job, LabelJob):
        check_boxes(dataset)
        method = start_method(job, dataset)
        check_job(job, inputs=method.origin.files)
        yield _label(job, dataset, method, scratch)
    elif isinstance(job, AdaptJob):
        known, _ = adapt.hold_out(with_boxes(dataset, "adapt"))
        check_job(job, inputs=adapt.inputs_of(job), origins=adapt.origins(job, known))
        yield _adapt(job, dataset)
    elif isinstance(job, ClassifyJob):
        check_job(job, inputs=weight_inputs(job.model), origins=origins_of(with_boxes(dataset)))
        yield _classify(job, dataset, scratch)
    elif isinstance(job, SegmentJob):
        labels = training_labels(dataset, job)
        check_job(job, inputs=weight_inputs(job.model), origins=origins_of(labels.dataset, labels.digest))
        yield from _segment(job, dataset, scratch)
    else:
        check_job(job, inputs=weight_inputs(job.model))
        yield from _all(job, dataset, scratch)


def _all(job: RunJob, dataset: BoxDataset, scratch: Path) -> Iterator[PlannedStage]:
    """The stages of `run`; masks are timed with the network that comes with boxseg, as fast as any other."""
    checkpoint = None
    if job.label.by_classifier:
        classify_job = job_for(ClassifyJob, job, out=stage_folder(job.out, "classify"))
        yield _classify(classify_job, dataset, scratch)
        checkpoint = checkpoint_file(scratch, "box-classifier")
    elif job.label.by_network and job.adapt.enabled:
        yield _adapt(job_for(AdaptJob, job, out=stage_folder(job.out, "adapt")), dataset)
    label_job = job_for(LabelJob, job, out=stage_folder(job.out, "label"), checkpoint=checkpoint)
    yield _label(label_job, dataset, start_method(label_job, dataset), scratch)
    labels = str(stage_folder(scratch, "label"))
    segment_job = job_for(SegmentJob, job, out=stage_folder(job.out, "segment"), labels=labels)
    yield from _segment(segment_job, dataset, scratch, whole=dataset)


def _classify(job: ClassifyJob, dataset: BoxDataset, scratch: Path) -> PlannedStage:
    dataset = with_boxes(dataset)
    module, images = classify.start(dataset, replace(job, model=replace(job.model, weights="none")), 1)
    module.save(stage_folder(scratch, "classify") / MODEL, dataset.classes)
    return _training("classify", job, module, images, dataset)


def _adapt(job: AdaptJob, dataset: BoxDataset) -> PlannedStage:
    known, _ = adapt.hold_out(with_boxes(dataset, "adapt"))
    module, crops = adapt.start(known, replace(job, adapt=replace(job.adapt, weights=IMAGENET)))
    return _training("adapt", job, module, crops, known)


def _segment(
    job: SegmentJob, dataset: BoxDataset, scratch: Path, whole: BoxDataset | None = None
) -> Iterator[PlannedStage]:
    """Training and scoring; `whole` has all photos, if only a few were labelled for timing."""
    labels = training_labels(dataset, job)
    module, images = segment.start(labels, replace(job, model=replace(job.model, weights="none")), 1)
    file = stage_folder(scratch, "segment") / MODEL
    module.save(file, dataset.classes)
    yield _training("segment", job, module, images, whole or labels.dataset)
    yield from _score(job, file, scratch)


def _training(
    name: str,
    job: AdaptJob | ClassifyJob | SegmentJob,
    module: TrainingModule,
    images: TrainingPhotos,
    dataset: BoxDataset,
) -> PlannedStage:
    options = module.options
    batch = counted(options.batch, "box")
    if not isinstance(options, Adapt):
        batch = f"{counted(options.batch, 'image')}, {options.augment.crop} pixels"
    # Of `run`, only a few photos have labels to be timed with.
    length = len(images) if isinstance(options, Adapt) else len(dataset)
    iterations = schedule_length(options, length, job.scale)
    finished, last = training_files(job.out).done, last_checkpoint(job.out, name)
    done = last.step if last else 0
    left = 0 if finished else max(0, iterations - done)
    weights = _bytes(module.network.state_dict().values())
    momentum = _bytes(p for p in module.network.parameters() if p.requires_grad)
    return PlannedStage(
        name=name,
        images=len(dataset),
        boxes=_boxes(dataset),
        work=f"{counted(iterations, 'iteration')} of {batch}",
        seconds=left * seconds_per_step(module, images, options.batch, job.trainer) if left else 0.0,
        disk=0.0 if finished else 2 * weights + momentum,
        state="there already" if finished else f"at iteration {done}" if done else "to do",
    )


def _label(job: LabelJob, dataset: BoxDataset, method: Method, scratch: Path) -> PlannedStage:
    folder = stage_folder(scratch, "label")
    dataset, _ = label.corrected(dataset, job, Splits())
    labeller = label.labeller_of(job, dataset, method, folder)
    files = replace(labeller, home=home_for(job.out, job.label)).files(dataset.samples)
    missing = len(standing(job.out, dataset, files).missing)
    photos = _usual(chosen(dataset.samples, box_counts(dataset.samples)) or dataset.samples)
    start = time.perf_counter()
    label_photos(replace(labeller, home=labeller.home.begin()), photos, _alone(job.trainer))
    each = (time.perf_counter() - start) / len(photos)
    there = len(dataset) - missing
    return PlannedStage(
        name="label",
        images=len(dataset),
        boxes=_boxes(dataset),
        work=f"{counted(missing, 'photo')}, about {photos[0].width} x {photos[0].height} pixels",
        seconds=each * missing / _devices(job.trainer),
        disk=_written(folder) / len(photos) * missing,
        state="there already" if not missing else f"{there} there" if there else "to do",
    )


def _score(job: SegmentJob, checkpoint: Path, scratch: Path) -> Iterator[PlannedStage]:
    dataset = validation_split(job.data, Splits()) if job.scores else None
    if dataset is None:
        return
    few = replace(dataset, samples=tuple(_usual(chosen(dataset.samples, truth_flags(dataset.samples)))))
    loaded, folder = load_segmenter(checkpoint, torch_device(job.trainer)), scratch / "scored"
    start = time.perf_counter()
    score_network(loaded, few, job.evaluate, _alone(job.trainer), keep=folder)
    each = (time.perf_counter() - start) / len(few)
    done = score_files(job.out).done
    yield PlannedStage(
        name=f"score on {dataset.split}",
        images=len(dataset),
        boxes=_boxes(dataset),
        work=_views(job.evaluate),
        seconds=0.0 if done else each * len(dataset) / _devices(job.trainer),
        disk=0.0 if done else _written(folder) / len(few) * len(dataset),
        state="there already" if done else "to do",
    )


def _views(options: Evaluate) -> str:
    scales = len(options.scales) if options.tta else 1
    mirrored = ", mirrored" if options.tta and options.flip else ""
    crf = "on" if options.crf.active else "off"
    return f"{scales} {'scale' if scales == 1 else 'scales'}{mirrored}, CRF {crf}"


def _usual(samples: Sequence[Sample]) -> list[Sample]:
    """Photos of medium size, as many as are processed at once."""
    ordered = sorted(samples, key=lambda sample: sample.width * sample.height)
    count = min(len(ordered), torch.get_num_threads())
    first = (len(ordered) - count) // 2
    return ordered[first : first + count]


def _alone(trainer: TrainerOptions) -> TrainerOptions:
    return replace(trainer, devices=1, workers=0)


def _devices(trainer: TrainerOptions) -> int:
    """Devices that share the photos; 1 on a CPU, where processes compete for the same cores."""
    if torch_device(trainer).type == "cpu":
        return 1
    return torch.cuda.device_count() if trainer.devices == "auto" else trainer.devices


def _boxes(dataset: BoxDataset) -> int:
    return int(box_counts(dataset.samples).sum())


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _written(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _duration(seconds: float) -> str:
    """Two digits: an estimate is no more accurate."""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            number = seconds / length
            return f"{number:.2g} {unit}" if number < 100 else f"{number:.0f} {unit}"
    return f"{max(1, round(seconds))} s" if seconds else "–"


def _megabytes(size: float) -> str:
    return f"{size / MEGABYTE:,.0f} MB" if size >= MEGABYTE else "–" if not size else "1 MB"


@contextmanager
def _silently() -> Iterator[None]:
    log = logging.getLogger("boxseg")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with quiet():
            yield
    finally:
        log.setLevel(level)
