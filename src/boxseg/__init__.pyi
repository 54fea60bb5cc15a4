"""From bounding boxes to segmentation masks and a trained segmentation network."""

# Written by scripts/make_stubs.py: edit the jobs and sections of options, then run it.
#
# The classes with an underscore are sections of `boxseg.config` as mappings, and the options of a verb by the
# shortest name that will do.

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, overload

from typing_extensions import Unpack

from boxseg import config
from boxseg.api import load
from boxseg.crf import DenseCRF
from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import (
    BoxsegError,
    CheckpointError,
    ConfigError,
    DataError,
    DownloadError,
    ExportError,
    MissingExtraError,
)
from boxseg.inference.onnx_predictor import OnnxPredictor
from boxseg.inference.prediction import BasePredictor, Prediction
from boxseg.labelling.masker import Masker, ObjectMasks, masks
from boxseg.plugins import register
from boxseg.progress import ProgressState
from boxseg.results import Result
from boxseg.stages.adapt import AdaptResult
from boxseg.stages.background_masks import BackgroundMasksResult
from boxseg.stages.classify import ClassifyResult
from boxseg.stages.convert import ConvertResult
from boxseg.stages.convert_config import ConvertConfigResult
from boxseg.stages.doctor import DoctorResult, SubmissionCheckResult
from boxseg.stages.download import DownloadResult
from boxseg.stages.evaluate import EvaluateResult
from boxseg.stages.export import ExportResult
from boxseg.stages.label import LabelResult
from boxseg.stages.plan import PlanResult
from boxseg.stages.predict import PredictResult
from boxseg.stages.report import ReportResult
from boxseg.stages.reproduce import ReproducePlan, ReproduceResult
from boxseg.stages.run import RunResult
from boxseg.stages.segment import SegmentResult
from boxseg.stages.submission import SubmissionResult
from boxseg.training.box_classifier import BoxClassifierModule
from boxseg.training.data_module import BoxDataModule, LabelDataModule
from boxseg.training.mask_network import MaskNetworkModule
from boxseg.training.segmenter import SegmenterModule

__version__: str

__all__ = [
    "AdaptResult",
    "BackgroundMasksResult",
    "BasePredictor",
    "BoxClassifierModule",
    "BoxDataModule",
    "BoxDataset",
    "BoxsegError",
    "CheckpointError",
    "ClassifyResult",
    "ConfigError",
    "ConvertConfigResult",
    "ConvertResult",
    "DataError",
    "DenseCRF",
    "DoctorResult",
    "DownloadError",
    "DownloadResult",
    "EvaluateResult",
    "ExportError",
    "ExportResult",
    "LabelDataModule",
    "LabelResult",
    "MaskNetworkModule",
    "Masker",
    "MissingExtraError",
    "ObjectMasks",
    "OnnxPredictor",
    "PlanResult",
    "PredictResult",
    "Prediction",
    "ProgressState",
    "ReportResult",
    "ReproducePlan",
    "ReproduceResult",
    "Result",
    "RunResult",
    "Sample",
    "SegmentResult",
    "SegmenterModule",
    "SubmissionCheckResult",
    "SubmissionResult",
    "__version__",
    "adapt",
    "background_masks",
    "classify",
    "config",
    "convert",
    "convert_config",
    "demo",
    "doctor",
    "download",
    "evaluate",
    "export",
    "label",
    "load",
    "masks",
    "predict",
    "register",
    "report",
    "reproduce",
    "run",
    "segment",
]

class _Data(TypedDict, total=False):
    root: Path | str
    format: Literal["auto", "voc", "coco", "yolo", "cvat", "label-studio", "labelme", "csv"] | str
    split: str
    val_split: str
    annotations: Path | str | None
    images: Path | str | None
    masks: Path | str | None
    classes: list[str] | tuple[str, ...]
    merge: dict[str, str] | None
    limit: int | None
    exif: Literal["auto", "apply", "ignore"]
    outside: bool
    max_pixels: int

class _Adapt(TypedDict, total=False):
    weights: Path | str
    batch: int
    epochs: float
    max_iterations: int
    iterations: int | None
    lr: float
    decoder_lr: float
    weight_decay: float
    warm_up: float
    prior: float
    average: float
    outside: float
    projection: float
    pairwise: float
    agreement: float
    labelled: float
    colour: float
    smooth: float
    min_side: float
    margins: list[float] | tuple[float, float]
    flip: float
    jitter: float
    small: float
    smallest: int
    enabled: bool

class _Model(TypedDict, total=False):
    backbone: Path | str
    weights: Path | str
    freeze: bool
    stage: int | None
    fully_connected: Literal["subsample", "fresh"]
    preprocessing: Literal["auto", "torchvision", "caffe"]
    head: Literal["auto", "largefov", "aspp"]
    batch_norm: Literal["frozen", "train"]
    temperature: float

class _Classify(TypedDict, total=False):
    pooling: Literal["bap", "gap"]
    grid: int
    roi_bins: int
    min_background: float
    batch: int
    epochs: float
    min_iterations: int
    iterations: int | None
    repeat_threshold: float
    milestones: list[float] | tuple[float, ...]
    optimiser: _Optimiser | config.Optimiser
    augment: _Augment | config.Augment

class _Optimiser(TypedDict, total=False):
    lr: float
    momentum: float
    weight_decay: float
    new_lr: float
    bias_lr: float

class _Augment(TypedDict, total=False):
    crop: int
    scale: list[float] | tuple[float, float]
    flip: float
    jitter: float

class _Label(TypedDict, total=False):
    method: Literal["auto", "network", "bap", "gap", "box", "ellipse", "grabcut", "sam"] | str
    sam: Path | str | None
    background: Literal["attention", "activation"]
    grid: int
    class_map: dict[str, str] | Path | str | None
    masks: _Masks | config.Masks
    instances: bool
    formats: (
        list[Literal["palette", "voc", "masks", "coco", "yolo-seg", "cvat", "label-studio", "geotiff"]]
        | tuple[Literal["palette", "voc", "masks", "coco", "yolo-seg", "cvat", "label-studio", "geotiff"], ...]
    )
    corrections: Path | str | None
    store: Literal["files", "shards"]
    shards: _Shards | config.Shards
    crf: _Crf | config.Crf | bool

class _Masks(TypedDict, total=False):
    min_component: float
    fill_holes: float
    simplify: float

class _Shards(TypedDict, total=False):
    most_photos: int
    most_megabytes: int

class _Crf(TypedDict, total=False):
    bilateral_weight: float
    sigma_xy: float
    sigma_rgb: float
    gaussian_weight: float
    gaussian_sigma: float
    iterations: int
    enabled: bool

class _Segment(TypedDict, total=False):
    loss: Literal["nal", "er", "bs", "baseline", "ce_crf", "ce_ret"] | str
    weight: float
    gamma: float
    detach_confidence: bool
    batch: int
    epochs: float
    min_iterations: int
    iterations: int | None
    repeat_threshold: float
    poly_power: float
    optimiser: _Optimiser | config.Optimiser
    augment: _Augment | config.Augment

class _Evaluate(TypedDict, total=False):
    scales: list[float] | tuple[float, ...]
    flip: bool
    tta: bool
    tile: int | Literal["auto"]
    crf: _Crf | config.Crf | bool

class _Report(TypedDict, total=False):
    max_photos: int
    per_page: int
    size: int
    originals: bool
    predict: bool

class _TrainerOptions(TypedDict, total=False):
    accelerator: str
    devices: int | Literal["auto"]
    num_nodes: int | Literal["auto"]
    precision: str
    accumulate: int
    loggers: (
        Literal["csv", "tensorboard", "wandb", "mlflow"]
        | list[Literal["csv", "tensorboard", "wandb", "mlflow"]]
        | tuple[Literal["csv", "tensorboard", "wandb", "mlflow"], ...]
    )
    workers: int
    seed: int
    checkpoint_every: int
    checkpoint_minutes: float

class _RunOptions(_Masks, _Shards, _Report, total=False):
    root: Path | str  # data.root
    format: (
        Literal["auto", "voc", "coco", "yolo", "cvat", "label-studio", "labelme", "csv"] | str
    )  # data.format
    split: str  # data.split
    val_split: str  # data.val_split
    annotations: Path | str | None  # data.annotations
    images: Path | str | None  # data.images
    masks: Path | str | None  # data.masks
    classes: list[str] | tuple[str, ...]  # data.classes
    merge: dict[str, str] | None  # data.merge
    limit: int | None  # data.limit
    exif: Literal["auto", "apply", "ignore"]  # data.exif
    max_pixels: int  # data.max_pixels
    max_iterations: int  # adapt.max_iterations
    decoder_lr: float  # adapt.decoder_lr
    warm_up: float  # adapt.warm_up
    prior: float  # adapt.prior
    average: float  # adapt.average
    projection: float  # adapt.projection
    pairwise: float  # adapt.pairwise
    agreement: float  # adapt.agreement
    labelled: float  # adapt.labelled
    colour: float  # adapt.colour
    smooth: float  # adapt.smooth
    min_side: float  # adapt.min_side
    margins: list[float] | tuple[float, float]  # adapt.margins
    small: float  # adapt.small
    smallest: int  # adapt.smallest
    backbone: Path | str  # model.backbone
    freeze: bool  # model.freeze
    stage: int | None  # model.stage
    fully_connected: Literal["subsample", "fresh"]  # model.fully_connected
    preprocessing: Literal["auto", "torchvision", "caffe"]  # model.preprocessing
    head: Literal["auto", "largefov", "aspp"]  # model.head
    batch_norm: Literal["frozen", "train"]  # model.batch_norm
    temperature: float  # model.temperature
    pooling: Literal["bap", "gap"]  # classify.pooling
    roi_bins: int  # classify.roi_bins
    min_background: float  # classify.min_background
    milestones: list[float] | tuple[float, ...]  # classify.milestones
    method: Literal["auto", "network", "bap", "gap", "box", "ellipse", "grabcut", "sam"] | str  # label.method
    sam: Path | str | None  # label.sam
    background: Literal["attention", "activation"]  # label.background
    class_map: dict[str, str] | Path | str | None  # label.class_map
    instances: bool  # label.instances
    formats: (
        list[Literal["palette", "voc", "masks", "coco", "yolo-seg", "cvat", "label-studio", "geotiff"]]
        | tuple[Literal["palette", "voc", "masks", "coco", "yolo-seg", "cvat", "label-studio", "geotiff"], ...]
    )  # label.formats
    corrections: Path | str | None  # label.corrections
    store: Literal["files", "shards"]  # label.store
    shards: _Shards | config.Shards  # label.shards
    loss: Literal["nal", "er", "bs", "baseline", "ce_crf", "ce_ret"] | str  # segment.loss
    weight: float  # segment.weight
    gamma: float  # segment.gamma
    detach_confidence: bool  # segment.detach_confidence
    poly_power: float  # segment.poly_power
    scales: list[float] | tuple[float, ...]  # evaluate.scales
    tta: bool  # evaluate.tta
    tile: int | Literal["auto"]  # evaluate.tile
    accelerator: str  # trainer.accelerator
    devices: int | Literal["auto"]  # trainer.devices
    num_nodes: int | Literal["auto"]  # trainer.num_nodes
    precision: str  # trainer.precision
    accumulate: int  # trainer.accumulate
    workers: int  # trainer.workers
    seed: int  # trainer.seed
    checkpoint_every: int  # trainer.checkpoint_every
    checkpoint_minutes: float  # trainer.checkpoint_minutes

@overload
def run(
    *,
    data: _Data | config.Data | Path | str,
    out: Path | str,
    overwrite: bool = False,
    scores: bool = True,
    dry_run: Literal[False] = False,
    scale: float = 1.0,
    adapt: _Adapt | config.Adapt | bool = ...,
    model: _Model | config.Model = ...,
    classify: _Classify | config.Classify = ...,
    label: _Label | config.Label = ...,
    segment: _Segment | config.Segment = ...,
    evaluate: _Evaluate | config.Evaluate = ...,
    report: _Report | config.Report = ...,
    trainer: _TrainerOptions | config.TrainerOptions = ...,
    callbacks: Sequence[Any] = (),
    loggers: Sequence[Any] = (),
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_RunOptions],
) -> RunResult:
    """All stages: boxes to masks to a segmentation network. Run again, it continues where it stopped.

    Args:
        data: Photos with boxes.
        out: Run folder: adapt/ (the mask network, not with `adapt=false`) or, with `label.method=bap` as in
            the paper, classify/; label/, segment/, report.html, sheet.png, metrics.json.
        overwrite: Start again from scratch if OUT holds a run with other options.
        scores: Score results against ground truth, if there is any, and `adapt` on held-out boxes. The same
            command without `scores=false` adds the scores later.
        dry_run: Only list what would be done, and estimate time and disk space from a few real steps.
        scale: Length of the schedules: 0.1 trains a tenth of the iterations; learning-rate drops, the end
            of bootstrapping and checkpoints come correspondingly earlier.
        adapt: The mask network.
        model: Network.
        classify: The box classifier (stage 1).
        label: The labels (stage 2).
        segment: The segmentation network (stage 3).
        evaluate: Scoring (scales, windows and CRF).
        report: The page report.html.
        trainer: Devices, precision and seed.
        callbacks: A list of Lightning callbacks; `run` uses them in both trainings. With several devices
            they run in other processes: they must be picklable, and your objects do not change.
        loggers: A list of names, as in `trainer.loggers`, and Lightning loggers.
        progress: Whether progress is shown on stderr, or a function that gets each `ProgressState`.
        **options: Options of sections by any unambiguous shorter name: `grid=3`.

    Raises:
        BoxsegError: Something given cannot be used.
    """

@overload
def run(
    *,
    data: _Data | config.Data | Path | str,
    out: Path | str,
    overwrite: bool = False,
    scores: bool = True,
    dry_run: Literal[True],
    scale: float = 1.0,
    adapt: _Adapt | config.Adapt | bool = ...,
    model: _Model | config.Model = ...,
    classify: _Classify | config.Classify = ...,
    label: _Label | config.Label = ...,
    segment: _Segment | config.Segment = ...,
    evaluate: _Evaluate | config.Evaluate = ...,
    report: _Report | config.Report = ...,
    trainer: _TrainerOptions | config.TrainerOptions = ...,
    callbacks: Sequence[Any] = (),
    loggers: Sequence[Any] = (),
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_RunOptions],
) -> PlanResult: ...
@overload
def run(
    *,
    data: _Data | config.Data | Path | str,
    out: Path | str,
    overwrite: bool = False,
    scores: bool = True,
    dry_run: bool,
    scale: float = 1.0,
    adapt: _Adapt | config.Adapt | bool = ...,
    model: _Model | config.Model = ...,
    classify: _Classify | config.Classify = ...,
    label: _Label | config.Label = ...,
    segment: _Segment | config.Segment = ...,
    evaluate: _Evaluate | config.Evaluate = ...,
    report: _Report | config.Report = ...,
    trainer: _TrainerOptions | config.TrainerOptions = ...,
    callbacks: Sequence[Any] = (),
    loggers: Sequence[Any] = (),
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_RunOptions],
) -> RunResult | PlanResult: ...

class _AdaptOptions(_Adapt, total=False):
    root: Path | str  # data.root
    format: (
        Literal["auto", "voc", "coco", "yolo", "cvat", "label-studio", "labelme", "csv"] | str
    )  # data.format
    split: str  # data.split
    val_split: str  # data.val_split
    annotations: Path | str | None  # data.annotations
    images: Path | str | None  # data.images
    masks: Path | str | None  # data.masks
    classes: list[str] | tuple[str, ...]  # data.classes
    merge: dict[str, str] | None  # data.merge
    limit: int | None  # data.limit
    exif: Literal["auto", "apply", "ignore"]  # data.exif
    max_pixels: int  # data.max_pixels
    accelerator: str  # trainer.accelerator
    devices: int | Literal["auto"]  # trainer.devices
    num_nodes: int | Literal["auto"]  # trainer.num_nodes
    precision: str  # trainer.precision
    accumulate: int  # trainer.accumulate
    workers: int  # trainer.workers
    seed: int  # trainer.seed
    checkpoint_every: int  # trainer.checkpoint_every
    checkpoint_minutes: float  # trainer.checkpoint_minutes

def adapt(
    *,
    data: _Data | config.Data | Path | str,
    labels: Path | str | None = None,
    out: Path | str,
    overwrite: bool = False,
    scores: bool = True,
    dry_run: bool = False,
    scale: float = 1.0,
    adapt: _Adapt | config.Adapt | bool = ...,
    trainer: _TrainerOptions | config.TrainerOptions = ...,
    callbacks: Sequence[Any] = (),
    loggers: Sequence[Any] = (),
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_AdaptOptions],
) -> AdaptResult:
    """Train the mask network on your own boxes.

    Args:
        data: Photos with boxes.
        labels: Labels by class to learn from too: a folder made by `label` with method=bap or gap, of which
            the pixels count where Y_crf and Y_ret agree; a folder of masks ID.png; or `ground-truth`.
        out: Run folder; the network is written to OUT/model.safetensors, for `label checkpoint=OUT`.
        overwrite: Start again from scratch if OUT holds a run with other options.
        scores: Score results against ground truth, if there is any, and `adapt` on held-out boxes. The same
            command without `scores=false` adds the scores later.
        dry_run: Only list what would be done, and estimate time and disk space from a few real steps.
        scale: Length of the schedules: 0.1 trains a tenth of the iterations; learning-rate drops, the end
            of bootstrapping and checkpoints come correspondingly earlier.
        adapt: The mask network.
        trainer: Devices, precision and seed.
        callbacks: A list of Lightning callbacks; `run` uses them in both trainings. With several devices
            they run in other processes: they must be picklable, and your objects do not change.
        loggers: A list of names, as in `trainer.loggers`, and Lightning loggers.
        progress: Whether progress is shown on stderr, or a function that gets each `ProgressState`.
        **options: Options of sections by any unambiguous shorter name: `grid=3`.

    Raises:
        BoxsegError: Something given cannot be used.
    """

class _ClassifyOptions(_Data, _Model, _Classify, _Optimiser, total=False):
    crop: int  # classify.augment.crop
    flip: float  # classify.augment.flip
    jitter: float  # classify.augment.jitter
    accelerator: str  # trainer.accelerator
    devices: int | Literal["auto"]  # trainer.devices
    num_nodes: int | Literal["auto"]  # trainer.num_nodes
    precision: str  # trainer.precision
    accumulate: int  # trainer.accumulate
    workers: int  # trainer.workers
    seed: int  # trainer.seed
    checkpoint_every: int  # trainer.checkpoint_every
    checkpoint_minutes: float  # trainer.checkpoint_minutes

@overload
def classify(
    *,
    data: _Data | config.Data | Path | str,
    out: Path | str,
    overwrite: bool = False,
    dry_run: Literal[False] = False,
    scale: float = 1.0,
    model: _Model | config.Model = ...,
    classify: _Classify | config.Classify = ...,
    trainer: _TrainerOptions | config.TrainerOptions = ...,
    callbacks: Sequence[Any] = (),
    loggers: Sequence[Any] = (),
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_ClassifyOptions],
) -> ClassifyResult:
    """Train the box classifier (stage 1).

    Args:
        data: Photos with boxes.
        out: Run folder; the classifier is written to OUT/model.safetensors.
        overwrite: Start again from scratch if OUT holds a run with other options.
        dry_run: Only list what would be done, and estimate time and disk space from a few real steps.
        scale: Length of the schedules: 0.1 trains a tenth of the iterations; learning-rate drops, the end
            of bootstrapping and checkpoints come correspondingly earlier.
        model: Network.
        classify: The box classifier (stage 1).
        trainer: Devices, precision and seed.
        callbacks: A list of Lightning callbacks; `run` uses them in both trainings. With several devices
            they run in other processes: they must be picklable, and your objects do not change.
        loggers: A list of names, as in `trainer.loggers`, and Lightning loggers.
        progress: Whether progress is shown on stderr, or a function that gets each `ProgressState`.
        **options: Options of sections by any unambiguous shorter name: `grid=3`.

    Raises:
        BoxsegError: Something given cannot be used.
    """

@overload
def classify(
    *,
    data: _Data | config.Data | Path | str,
    out: Path | str,
    overwrite: bool = False,
    dry_run: Literal[True],
    scale: float = 1.0,
    model: _Model | config.Model = ...,
    classify: _Classify | config.Classify = ...,
    trainer: _TrainerOptions | config.TrainerOptions = ...,
    callbacks: Sequence[Any] = (),
    loggers: Sequence[Any] = (),
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_ClassifyOptions],
) -> PlanResult: ...
@overload
def classify(
    *,
    data: _Data | config.Data | Path | str,
    out: Path | str,
    overwrite: bool = False,
    dry_run: bool,
    scale: float = 1.0,
    model: _Model | config.Model = ...,
    classify: _Classify | config.Classify = ...,
    trainer: _TrainerOptions | config.TrainerOptions = ...,
    callbacks: Sequence[Any] = (),
    loggers: Sequence[Any] = (),
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_ClassifyOptions],
) -> ClassifyResult | PlanResult: ...

class _LabelOptions(_Data, _Masks, _Shards, _Crf, _TrainerOptions, total=False):
    method: Literal["auto", "network", "bap", "gap", "box", "ellipse", "grabcut", "sam"] | str  # label.method
    sam: Path | str | None  # label.sam
    background: Literal["attention", "activation"]  # label.background
    grid: int  # label.grid
    class_map: dict[str, str] | Path | str | None  # label.class_map
    instances: bool  # label.instances
    formats: (
        list[Literal["palette", "voc", "masks", "coco", "yolo-seg", "cvat", "label-studio", "geotiff"]]
        | tuple[Literal["palette", "voc", "masks", "coco", "yolo-seg", "cvat", "label-studio", "geotiff"], ...]
    )  # label.formats
    corrections: Path | str | None  # label.corrections
    store: Literal["files", "shards"]  # label.store
    shards: _Shards | config.Shards  # label.shards
    crf: _Crf | config.Crf | bool  # label.crf

@overload
def label(
    *,
    checkpoint: Path | str | None = None,
    data: _Data | config.Data | Path | str,
    out: Path | str,
    overwrite: bool = False,
    scores: bool = True,
    dry_run: Literal[False] = False,
    label: _Label | config.Label = ...,
    trainer: _TrainerOptions | config.TrainerOptions = ...,
    cluster: str | None = None,
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_LabelOptions],
) -> LabelResult:
    """Write a mask for every box, and labels by class, for photos with boxes (stage 2). No training is needed.

    Args:
        checkpoint: Mask network made by `adapt`, in place of the one that comes with boxseg; or classifier
            made by `classify`, for the methods bap and gap.
        data: Photos with boxes.
        out: Folder for masks.json (a mask for every box, as a COCO data set), labels/ID.png (classes),
            confidence/ and reliable/ID.png; with bap and gap also y_crf/ and y_ret/ID.png; and for scores if
            there is ground truth.
        overwrite: Start again from scratch if OUT holds a run with other options.
        scores: Score results against ground truth, if there is any, and `adapt` on held-out boxes. The same
            command without `scores=false` adds the scores later.
        dry_run: Only list what would be done, and estimate time and disk space from a few real steps.
        label: The labels (stage 2).
        trainer: Devices, precision and seed.
        cluster: Work on the photos on the workers of a Dask scheduler, such as tcp://host:8786, and not on
            this machine. Photos and OUT must lie on a drive that all see at the same path. Needs the extra
            `dask`.
        progress: Whether progress is shown on stderr, or a function that gets each `ProgressState`.
        **options: Options of sections by any unambiguous shorter name: `grid=3`.

    Raises:
        BoxsegError: Something given cannot be used.
    """

@overload
def label(
    *,
    checkpoint: Path | str | None = None,
    data: _Data | config.Data | Path | str,
    out: Path | str,
    overwrite: bool = False,
    scores: bool = True,
    dry_run: Literal[True],
    label: _Label | config.Label = ...,
    trainer: _TrainerOptions | config.TrainerOptions = ...,
    cluster: str | None = None,
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_LabelOptions],
) -> PlanResult: ...
@overload
def label(
    *,
    checkpoint: Path | str | None = None,
    data: _Data | config.Data | Path | str,
    out: Path | str,
    overwrite: bool = False,
    scores: bool = True,
    dry_run: bool,
    label: _Label | config.Label = ...,
    trainer: _TrainerOptions | config.TrainerOptions = ...,
    cluster: str | None = None,
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_LabelOptions],
) -> LabelResult | PlanResult: ...

class _SegmentOptions(_Data, _Model, _Segment, _Optimiser, total=False):
    crop: int  # segment.augment.crop
    jitter: float  # segment.augment.jitter
    scales: list[float] | tuple[float, ...]  # evaluate.scales
    tta: bool  # evaluate.tta
    tile: int | Literal["auto"]  # evaluate.tile
    crf: _Crf | config.Crf | bool  # evaluate.crf
    bilateral_weight: float  # evaluate.crf.bilateral_weight
    sigma_xy: float  # evaluate.crf.sigma_xy
    sigma_rgb: float  # evaluate.crf.sigma_rgb
    gaussian_weight: float  # evaluate.crf.gaussian_weight
    gaussian_sigma: float  # evaluate.crf.gaussian_sigma
    enabled: bool  # evaluate.crf.enabled
    accelerator: str  # trainer.accelerator
    devices: int | Literal["auto"]  # trainer.devices
    num_nodes: int | Literal["auto"]  # trainer.num_nodes
    precision: str  # trainer.precision
    accumulate: int  # trainer.accumulate
    workers: int  # trainer.workers
    seed: int  # trainer.seed
    checkpoint_every: int  # trainer.checkpoint_every
    checkpoint_minutes: float  # trainer.checkpoint_minutes

@overload
def segment(
    *,
    labels: Path | str | list[Path | str] | tuple[Path | str, ...],
    strong: Path | str | None = None,
    strong_split: str | None = None,
    data: _Data | config.Data | Path | str,
    out: Path | str,
    overwrite: bool = False,
    scores: bool = True,
    dry_run: Literal[False] = False,
    scale: float = 1.0,
    model: _Model | config.Model = ...,
    segment: _Segment | config.Segment = ...,
    evaluate: _Evaluate | config.Evaluate = ...,
    trainer: _TrainerOptions | config.TrainerOptions = ...,
    callbacks: Sequence[Any] = (),
    loggers: Sequence[Any] = (),
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_SegmentOptions],
) -> SegmentResult:
    """Train the segmentation network (stage 3), then score it on `data.val_split`.

    Args:
        labels: Labels to train on: a folder made by `label` (its labels and what is reliable of them, or
            one of them, as DIR/labels), a folder of masks ID.png, or `ground-truth` for the fully supervised
            reference. A list `[A,B]` combines several: pixels where all agree are reliable, elsewhere the first
            counts as Y_crf.
        strong: True masks for some of the images (semi-supervised training): `ground-truth`, a folder of
            masks ID.png, or an annotation file with outlines, such as an export of CVAT or Label Studio. An
            image with a true mask is trained with it, whether or not `labels` has one.
        strong_split: Split of the images with true masks; images that `data.split` lacks are added to it.
            By default all of `data.split`.
        data: Photos.
        out: Run folder; the network is written to OUT/model.safetensors.
        overwrite: Start again from scratch if OUT holds a run with other options.
        scores: Score results against ground truth, if there is any, and `adapt` on held-out boxes. The same
            command without `scores=false` adds the scores later.
        dry_run: Only list what would be done, and estimate time and disk space from a few real steps.
        scale: Length of the schedules: 0.1 trains a tenth of the iterations; learning-rate drops, the end
            of bootstrapping and checkpoints come correspondingly earlier.
        model: Network.
        segment: The segmentation network (stage 3).
        evaluate: Scoring (scales, windows and CRF).
        trainer: Devices, precision and seed.
        callbacks: A list of Lightning callbacks; `run` uses them in both trainings. With several devices
            they run in other processes: they must be picklable, and your objects do not change.
        loggers: A list of names, as in `trainer.loggers`, and Lightning loggers.
        progress: Whether progress is shown on stderr, or a function that gets each `ProgressState`.
        **options: Options of sections by any unambiguous shorter name: `grid=3`.

    Raises:
        BoxsegError: Something given cannot be used.
    """

@overload
def segment(
    *,
    labels: Path | str | list[Path | str] | tuple[Path | str, ...],
    strong: Path | str | None = None,
    strong_split: str | None = None,
    data: _Data | config.Data | Path | str,
    out: Path | str,
    overwrite: bool = False,
    scores: bool = True,
    dry_run: Literal[True],
    scale: float = 1.0,
    model: _Model | config.Model = ...,
    segment: _Segment | config.Segment = ...,
    evaluate: _Evaluate | config.Evaluate = ...,
    trainer: _TrainerOptions | config.TrainerOptions = ...,
    callbacks: Sequence[Any] = (),
    loggers: Sequence[Any] = (),
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_SegmentOptions],
) -> PlanResult: ...
@overload
def segment(
    *,
    labels: Path | str | list[Path | str] | tuple[Path | str, ...],
    strong: Path | str | None = None,
    strong_split: str | None = None,
    data: _Data | config.Data | Path | str,
    out: Path | str,
    overwrite: bool = False,
    scores: bool = True,
    dry_run: bool,
    scale: float = 1.0,
    model: _Model | config.Model = ...,
    segment: _Segment | config.Segment = ...,
    evaluate: _Evaluate | config.Evaluate = ...,
    trainer: _TrainerOptions | config.TrainerOptions = ...,
    callbacks: Sequence[Any] = (),
    loggers: Sequence[Any] = (),
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_SegmentOptions],
) -> SegmentResult | PlanResult: ...

class _EvaluateOptions(_Data, _Evaluate, _Crf, _TrainerOptions, total=False): ...

def evaluate(
    *,
    checkpoint: Path | str | None = None,
    labels: Path | str | None = None,
    instances: Path | str | None = None,
    baselines: bool = False,
    data: _Data | config.Data | Path | str,
    out: Path | str | None = None,
    evaluate: _Evaluate | config.Evaluate = ...,
    trainer: _TrainerOptions | config.TrainerOptions = ...,
    cluster: str | None = None,
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_EvaluateOptions],
) -> EvaluateResult:
    """Score a network, a folder of labels or masks of single objects against ground truth.

    Args:
        checkpoint: Segmentation network made by `segment`.
        labels: Instead of a network: a folder made by `label`, or a folder of masks ID.png.
        instances: Instead of a network, for AP and the IoU of each object's mask: COCO results with masks
            (JSON), or a folder made by `label`, for its masks.json.
        baselines: With `instances`: also score the ellipse in each box and GrabCut, beside whole boxes.
        data: Photos with ground-truth masks.
        out: Folder for metrics.json. By default evaluate-SPLIT beside the checkpoint, or the label folder.
        evaluate: Scales, windows and CRF of a network.
        trainer: Devices, precision and seed.
        cluster: Work on the photos on the workers of a Dask scheduler, such as tcp://host:8786, and not on
            this machine. Photos and OUT must lie on a drive that all see at the same path. Needs the extra
            `dask`.
        progress: Whether progress is shown on stderr, or a function that gets each `ProgressState`.
        **options: Options of sections by any unambiguous shorter name: `grid=3`.

    Raises:
        BoxsegError: Something given cannot be used.
    """

def report(
    *,
    run: Path | str,
    out: Path | str | None = None,
    data: Path | str | None = None,
    report: _Report | config.Report = ...,
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_Report],
) -> ReportResult:
    """Show a run in one HTML file that opens offline: scores, training curves, confusions, and the photos.

    Args:
        run: Folder made by `run`, `demo`, `adapt`, `classify`, `label` or `segment`; the run may be
            unfinished.
        out: The HTML file to write. By default RUN/report.html.
        data: Folder of the data set, if it has moved since the run.
        report: The page.
        progress: Whether progress is shown on stderr, or a function that gets each `ProgressState`.
        **options: Options of sections by any unambiguous shorter name: `grid=3`.

    Raises:
        BoxsegError: Something given cannot be used.
    """

class _PredictOptions(_Evaluate, _Crf, _TrainerOptions, total=False):
    root: Path | str  # data.root
    format: (
        Literal["auto", "voc", "coco", "yolo", "cvat", "label-studio", "labelme", "csv"] | str
    )  # data.format
    split: str  # data.split
    val_split: str  # data.val_split
    annotations: Path | str | None  # data.annotations
    masks: Path | str | None  # data.masks
    classes: list[str] | tuple[str, ...]  # data.classes
    merge: dict[str, str] | None  # data.merge
    limit: int | None  # data.limit
    exif: Literal["auto", "apply", "ignore"]  # data.exif
    outside: bool  # data.outside

@overload
def predict(
    *,
    checkpoint: Path | str,
    images: Path | str | list[Path | str] | tuple[Path | str, ...] | None = None,
    out: Path | str,
    every: int | None = None,
    frames: bool = False,
    confidence: bool = True,
    geotiff: bool = False,
    submission: None = None,
    comp: Literal["comp5", "comp6"] = "comp6",
    overwrite: bool = False,
    max_pixels: int = 400000000,
    data: _Data | config.Data | Path | str | None = None,
    evaluate: _Evaluate | config.Evaluate = ...,
    trainer: _TrainerOptions | config.TrainerOptions = ...,
    cluster: str | None = None,
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_PredictOptions],
) -> PredictResult:
    """Label new photos or the frames of videos, without boxes, with a segmentation network.

    Args:
        checkpoint: Segmentation network made by `segment`.
        images: Photos: a file, a folder, a pattern such as "photos/*.jpg", or a list of these. Videos: a
            file, a pattern such as "clips/*.mp4", or a list.
        out: Folder for labels/NAME.png, overlays/NAME.jpg and confidence/NAME.png.
        every: Of videos: only every k-th frame, from the first on. By default all. Files are named by frame
            and time: labels/NAME/000120_00h00m04s800.png.
        frames: Of videos: also write the frames that are labelled, to frames/NAME/FRAME_TIME.png. With them
            `boxseg convert` can write the labels for other programs.
        confidence: Write the probability of each pixel's label as 8-bit grey PNG; 255 stands for 1.
        geotiff: Also write labels as GeoTIFFs, to geotiff/NAME.tif, at the places on the ground that photos
            say they lie at.
        submission: `voc2012` labels the photos of data.split=test for the VOC 2012 evaluation server. It
            writes the folder OUT/results/ that the server expects and, if its check finds nothing wrong, the
            archive to upload. Run again, it continues where it stopped.
        comp: Competition of the submission: `comp5` for networks trained only on the train and val images
            of VOC 2012, `comp6` for any other training data, such as ImageNet weights or the masks of
            train_aug.
        overwrite: Submission only: start again from scratch if OUT holds one with other options.
        max_pixels: Photos of more pixels are refused: decoded, a small file may be of any size.
        data: Photos of a data set, in place of `images` (boxes are not needed); or a video.
        evaluate: Scales, windows and CRF.
        trainer: Devices, precision and seed.
        cluster: Work on the photos on the workers of a Dask scheduler, such as tcp://host:8786, and not on
            this machine. Photos and OUT must lie on a drive that all see at the same path. Needs the extra
            `dask`.
        progress: Whether progress is shown on stderr, or a function that gets each `ProgressState`.
        **options: Options of sections by any unambiguous shorter name: `grid=3`.

    Raises:
        BoxsegError: Something given cannot be used.
    """

@overload
def predict(
    *,
    checkpoint: Path | str,
    images: Path | str | list[Path | str] | tuple[Path | str, ...] | None = None,
    out: Path | str,
    every: int | None = None,
    frames: bool = False,
    confidence: bool = True,
    geotiff: bool = False,
    submission: Literal["voc2012"],
    comp: Literal["comp5", "comp6"] = "comp6",
    overwrite: bool = False,
    max_pixels: int = 400000000,
    data: _Data | config.Data | Path | str | None = None,
    evaluate: _Evaluate | config.Evaluate = ...,
    trainer: _TrainerOptions | config.TrainerOptions = ...,
    cluster: str | None = None,
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_PredictOptions],
) -> SubmissionResult: ...
@overload
def predict(
    *,
    checkpoint: Path | str,
    images: Path | str | list[Path | str] | tuple[Path | str, ...] | None = None,
    out: Path | str,
    every: int | None = None,
    frames: bool = False,
    confidence: bool = True,
    geotiff: bool = False,
    submission: Literal["voc2012"] | None,
    comp: Literal["comp5", "comp6"] = "comp6",
    overwrite: bool = False,
    max_pixels: int = 400000000,
    data: _Data | config.Data | Path | str | None = None,
    evaluate: _Evaluate | config.Evaluate = ...,
    trainer: _TrainerOptions | config.TrainerOptions = ...,
    cluster: str | None = None,
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_PredictOptions],
) -> PredictResult | SubmissionResult: ...
def export(
    *,
    checkpoint: Path | str,
    out: Path | str | None = None,
    format: Literal["auto", "onnx", "torch-export", "safetensors"] = "auto",
    progress: bool | Callable[[ProgressState], None] = True,
) -> ExportResult:
    """Write a segmentation network for use in other programs, and check that it computes the same.

    Args:
        checkpoint: Segmentation network made by `segment`.
        out: File to write: .onnx, .pt2 (torch-export) or .safetensors. The first two take raw RGB photos,
            uint8 (batch, height, width, 3), of any number and size, and return probabilities (batch, classes,
            height, width). By default `model` with the suffix of the format, in the current folder.
        format: `onnx` for onnxruntime and others, `torch-export` for torch.export.load, `safetensors` for
            boxseg.load and `boxseg predict`; `auto` goes by the suffix of `out`.
        progress: Whether progress is shown on stderr, or a function that gets each `ProgressState`.

    Raises:
        BoxsegError: Something given cannot be used.
    """

class _ConvertOptions(TypedDict, total=False):
    root: Path | str  # data.root
    val_split: str  # data.val_split
    annotations: Path | str | None  # data.annotations
    masks: Path | str | None  # data.masks
    merge: dict[str, str] | None  # data.merge
    limit: int | None  # data.limit
    exif: Literal["auto", "apply", "ignore"]  # data.exif
    outside: bool  # data.outside
    max_pixels: int  # data.max_pixels

def convert(
    *,
    source: Path | str,
    out: Path | str,
    format: Literal["palette", "voc", "masks", "coco", "yolo-seg", "cvat", "label-studio", "geotiff"],
    which: Literal["labels", "y_crf", "y_ret", "agreed", "ground-truth"] = "labels",
    objects: Literal["auto", "masks", "boxes", "regions"] = "auto",
    segmentation: Literal["rle", "polygons"] = "rle",
    tighten: bool = False,
    min_area: int = 1,
    simplify: float = 0.0,
    prefix: str | None = None,
    predictions: bool = False,
    maps: bool = False,
    redraw: bool = False,
    photos: Literal["copy", "link", "none"] = "copy",
    split: str | None = None,
    images: Path | str | None = None,
    classes: list[str] | tuple[str, ...] = (),
    overwrite: bool = False,
    data: _Data | config.Data | Path | str | None = None,
    cluster: str | None = None,
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_ConvertOptions],
) -> ConvertResult:
    """Write labels as a data set for other programs: to train, or to correct them in CVAT or Label Studio.

    Args:
        source: Folder made by `label`, `run` or `predict`, or a folder of masks ID.png.
        out: Folder of the data set: a new one, or one made by this command, to which another split is
            added.
        format: `palette` (PNG with labelmap.txt: CVAT's "Segmentation mask 1.1"), `voc` (devkit folder),
            `masks` (photos and grey PNG, as for Ultralytics' semantic segmentation), `coco` (instances),
            `yolo-seg` (polygons), `cvat` (CVAT for images 1.1), `label-studio` (tasks with brushed masks) or
            `geotiff` (masks on the map, of photos that say where they lie).
        which: Which labels of a folder made by `label`: the `labels`, `agreed` (those with 255 where they
            are not reliable), or `y_crf` or `y_ret` of a classifier. `ground-truth` takes the outlines of
            single objects in a data set: `source` is its folder.
        objects: What counts as one object: `masks` (the mask of each box, as in masks.json), `boxes` (the
            pixels of a box's class inside that box) or `regions` (connected regions of a class). `auto` takes
            masks where `label` made them, but boxes for palette, voc, masks and geotiff; boxes where only these
            are known, and regions elsewhere and for predictions.
        segmentation: Of coco, cvat and label-studio: `rle` (run-length codes: masks in CVAT, the brush in
            Label Studio), or `polygons`, which fill holes.
        tighten: For coco and voc: write the bounds of each object's mask in place of its box.
        min_area: Leave out objects with fewer pixels than this; masks stay as they are.
        simplify: Polygons only: leave out corners as long as these stay within this many pixels of the new
            outline. With 1, polygons have a fifth of the corners; 0 follows the edges of all pixels.
        prefix: Label Studio only: what stands before the paths of photos, such as
            https://example.com/photos/ or s3://bucket/. By default /data/local-files/?d=NAME/ with the name of
            OUT, for local storage whose document root is the folder above OUT.
        predictions: Label Studio only: write the objects as predictions, which count only when somebody has
            submitted them, in place of annotations.
        maps: Also write confidence maps as 8-bit grey PNG: OUT/reliable/ID.png (255 where labels are
            reliable) and OUT/confidence/ID.png.
        redraw: Only photos that are wrong as a whole, or with a box to be redrawn, as the corrections of
            the labels say (`label corrections=FILE`): what is left to do in CVAT or Label Studio.
        photos: Photos in the data set: `copy` them, `link` to them, or `none`.
        split: Name of the split in the new data set. By default that of the data, or train.
        images: Folder of the photos, if neither the labels nor `data` tell where they are.
        classes: Names of classes 1..L, if nothing else tells them.
        overwrite: Replace the split if OUT already has it.
        data: Data set of the labels. Folders made by `label` know theirs; data=DIR replaces it, if it has
            moved.
        cluster: Work on the photos on the workers of a Dask scheduler, such as tcp://host:8786, and not on
            this machine. Photos and OUT must lie on a drive that all see at the same path. Needs the extra
            `dask`.
        progress: Whether progress is shown on stderr, or a function that gets each `ProgressState`.
        **options: Options of sections by any unambiguous shorter name: `grid=3`.

    Raises:
        BoxsegError: Something given cannot be used.
    """

class _DoctorOptions(TypedDict, total=False):
    root: Path | str  # data.root
    split: str  # data.split
    val_split: str  # data.val_split
    annotations: Path | str | None  # data.annotations
    images: Path | str | None  # data.images
    masks: Path | str | None  # data.masks
    classes: list[str] | tuple[str, ...]  # data.classes
    merge: dict[str, str] | None  # data.merge
    limit: int | None  # data.limit
    exif: Literal["auto", "apply", "ignore"]  # data.exif
    outside: bool  # data.outside
    max_pixels: int  # data.max_pixels

@overload
def doctor(
    *,
    data: _Data | config.Data | Path | str,
    format: Literal["table", "json"] = "table",
    decode: bool = True,
    out: Path | str | None = None,
    submission: None = None,
    cluster: str | None = None,
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_DoctorOptions],
) -> DoctorResult:
    """Check a data set: counts, classes, and everything that is broken.

    Args:
        data: Photos with boxes.
        format: `table` for people; `json` for programs: one JSON object, and nothing else on the standard
            output. The format of the data is `data.format`.
        decode: Read photos and masks completely, not just their headers.
        out: Folder to remember in what was read. The same command then goes on where it was stopped, and of
            a large data set any command with this `out`, or with one in it, starts in seconds (with the extra
            `arrow`), as long as no file of the data has changed.
        submission: Check an archive (.tgz) or folder of results for the VOC 2012 evaluation server instead,
            against the photos of `data.split`.
        cluster: Work on the photos on the workers of a Dask scheduler, such as tcp://host:8786, and not on
            this machine. Photos and OUT must lie on a drive that all see at the same path. Needs the extra
            `dask`.
        progress: Whether progress is shown on stderr, or a function that gets each `ProgressState`.
        **options: Options of sections by any unambiguous shorter name: `grid=3`.

    Raises:
        BoxsegError: Something given cannot be used.
    """

@overload
def doctor(
    *,
    data: _Data | config.Data | Path | str,
    format: Literal["table", "json"] = "table",
    decode: bool = True,
    out: Path | str | None = None,
    submission: Path | str,
    cluster: str | None = None,
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_DoctorOptions],
) -> SubmissionCheckResult: ...
@overload
def doctor(
    *,
    data: _Data | config.Data | Path | str,
    format: Literal["table", "json"] = "table",
    decode: bool = True,
    out: Path | str | None = None,
    submission: Path | str | None,
    cluster: str | None = None,
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_DoctorOptions],
) -> DoctorResult | SubmissionCheckResult: ...
def background_masks(
    *,
    data: _Data | config.Data | Path | str,
    out: Path | str,
    overwrite: bool = False,
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_Data],
) -> BackgroundMasksResult:
    """Write masks of what lies outside all boxes, for other programs; boxseg itself does not need them.

    Args:
        data: Photos with boxes.
        out: Output folder; masks are written to OUT/BgMaskfromBoxes/ID.png: 8-bit grey of the photo's size,
            1 outside all boxes and 0 inside.
        overwrite: Write existing masks again.
        progress: Whether progress is shown on stderr, or a function that gets each `ProgressState`.
        **options: Options of sections by any unambiguous shorter name: `grid=3`.

    Raises:
        BoxsegError: Something given cannot be used.
    """

def download(
    *,
    dataset: Literal["voc", "coco"],
    out: Path | str,
    only: str | list[str] | tuple[str, ...] | None = None,
    mirror: Path | str | None = None,
    test_archive: Path | str | None = None,
    keep_archives: bool = False,
    dry_run: bool = False,
    progress: bool | Callable[[ProgressState], None] = True,
) -> DownloadResult:
    """Set up VOC 2012 or COCO 2017. Run again, it continues where it stopped and keeps what is complete.

    Args:
        dataset: `voc` (PASCAL VOC 2012) or `coco` (COCO 2017).
        out: Folder for the data set: OUT/VOCdevkit/VOC2012, or OUT/annotations, OUT/train2017 and
            OUT/val2017. Archives go to OUT/downloads.
        only: Steps to do, such as `only=val,train`. Steps of voc: trainval, augmented, train_aug, test; of
            coco: annotations, val, train.
        mirror: Folder or URL with the archives under their file names, in place of the original hosts.
        test_archive: VOC only: path or URL of VOC2012test.tar, which the evaluation server offers to
            registered users.
        keep_archives: Keep the archives in OUT/downloads after unpacking.
        dry_run: Only list the steps and their sizes.
        progress: Whether progress is shown on stderr, or a function that gets each `ProgressState`.

    Raises:
        BoxsegError: Something given cannot be used.
    """

class _ReproduceOptions(_Data, _Model, _Masks, _Shards, _TrainerOptions, total=False):
    pooling: Literal["bap", "gap"]  # classify.pooling
    roi_bins: int  # classify.roi_bins
    min_background: float  # classify.min_background
    milestones: list[float] | tuple[float, ...]  # classify.milestones
    method: Literal["auto", "network", "bap", "gap", "box", "ellipse", "grabcut", "sam"] | str  # label.method
    sam: Path | str | None  # label.sam
    background: Literal["attention", "activation"]  # label.background
    class_map: dict[str, str] | Path | str | None  # label.class_map
    instances: bool  # label.instances
    formats: (
        list[Literal["palette", "voc", "masks", "coco", "yolo-seg", "cvat", "label-studio", "geotiff"]]
        | tuple[Literal["palette", "voc", "masks", "coco", "yolo-seg", "cvat", "label-studio", "geotiff"], ...]
    )  # label.formats
    corrections: Path | str | None  # label.corrections
    store: Literal["files", "shards"]  # label.store
    shards: _Shards | config.Shards  # label.shards
    loss: Literal["nal", "er", "bs", "baseline", "ce_crf", "ce_ret"] | str  # segment.loss
    weight: float  # segment.weight
    gamma: float  # segment.gamma
    detach_confidence: bool  # segment.detach_confidence
    poly_power: float  # segment.poly_power
    scales: list[float] | tuple[float, ...]  # evaluate.scales
    tta: bool  # evaluate.tta
    tile: int | Literal["auto"]  # evaluate.tile

@overload
def reproduce(
    *,
    table: Literal["pseudo-labels", "grid", "losses", "final-vgg", "final-resnet", "coco", "all"],
    data: _Data | config.Data | Path | str,
    out: Path | str = "runs/reproduce",
    scale: float = 1.0,
    seeds: list[int] | tuple[int, ...] = (),
    coco: Path | str | None = None,
    coco_split: str = "train2017",
    dry_run: Literal[False] = False,
    classifier: Literal["auto", "efficientnet_lite0", "vgg16", "resnet50", "resnet101"] = "auto",
    classifier_weights: Path | str = "default",
    model: _Model | config.Model = ...,
    classify: _Classify | config.Classify = ...,
    label: _Label | config.Label = ...,
    segment: _Segment | config.Segment = ...,
    evaluate: _Evaluate | config.Evaluate = ...,
    trainer: _TrainerOptions | config.TrainerOptions = ...,
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_ReproduceOptions],
) -> ReproduceResult:
    """Run an experiment of the paper, and compare its numbers with the published ones.

    Args:
        table: `pseudo-labels`, `grid` (N in training and in label generation), `losses`, `final-vgg`,
            `final-resnet`, `coco`, or `all`. Without `-c RECIPE` or a backbone, the paper's own recipe is used.
        data: PASCAL VOC 2012, or other photos with boxes; `val_split` is scored.
        out: Folder for the tables (TABLE.md, TABLE.csv, TABLE.json) and a run folder for each step. Run
            again, it does only what is missing.
        scale: Length of the schedules: 0.1 trains a tenth of the iterations.
        seeds: Run everything once with each of these seeds; tables then give mean ± spread. By default only
            trainer.seed.
        coco: Folder of COCO 2017, which the table `coco` labels with the classifier trained on `data`.
        coco_split: Split of COCO to label.
        dry_run: Only list the steps that are done and those that would run.
        classifier: Backbone of the classifier that makes the labels; `auto` is vgg16 for the ResNet-101 of
            `final-resnet`, as in the paper, else that of the network.
        classifier_weights: Like model.weights, for a classifier with another backbone than the network.
        model: Network.
        classify: The box classifier (stage 1).
        label: The labels (stage 2).
        segment: The segmentation network (stage 3).
        evaluate: Scoring (scales, windows and CRF).
        trainer: Devices, precision and seed.
        progress: Whether progress is shown on stderr, or a function that gets each `ProgressState`.
        **options: Options of sections by any unambiguous shorter name: `grid=3`.

    Raises:
        BoxsegError: Something given cannot be used.
    """

@overload
def reproduce(
    *,
    table: Literal["pseudo-labels", "grid", "losses", "final-vgg", "final-resnet", "coco", "all"],
    data: _Data | config.Data | Path | str,
    out: Path | str = "runs/reproduce",
    scale: float = 1.0,
    seeds: list[int] | tuple[int, ...] = (),
    coco: Path | str | None = None,
    coco_split: str = "train2017",
    dry_run: Literal[True],
    classifier: Literal["auto", "efficientnet_lite0", "vgg16", "resnet50", "resnet101"] = "auto",
    classifier_weights: Path | str = "default",
    model: _Model | config.Model = ...,
    classify: _Classify | config.Classify = ...,
    label: _Label | config.Label = ...,
    segment: _Segment | config.Segment = ...,
    evaluate: _Evaluate | config.Evaluate = ...,
    trainer: _TrainerOptions | config.TrainerOptions = ...,
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_ReproduceOptions],
) -> ReproducePlan: ...
@overload
def reproduce(
    *,
    table: Literal["pseudo-labels", "grid", "losses", "final-vgg", "final-resnet", "coco", "all"],
    data: _Data | config.Data | Path | str,
    out: Path | str = "runs/reproduce",
    scale: float = 1.0,
    seeds: list[int] | tuple[int, ...] = (),
    coco: Path | str | None = None,
    coco_split: str = "train2017",
    dry_run: bool,
    classifier: Literal["auto", "efficientnet_lite0", "vgg16", "resnet50", "resnet101"] = "auto",
    classifier_weights: Path | str = "default",
    model: _Model | config.Model = ...,
    classify: _Classify | config.Classify = ...,
    label: _Label | config.Label = ...,
    segment: _Segment | config.Segment = ...,
    evaluate: _Evaluate | config.Evaluate = ...,
    trainer: _TrainerOptions | config.TrainerOptions = ...,
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_ReproduceOptions],
) -> ReproduceResult | ReproducePlan: ...
def convert_config(
    *,
    file: Path | str,
    out: Path | str | None = None,
    stage: Literal["auto", "classify", "label", "segment"] = "auto",
    overwrite: bool = False,
    progress: bool | Callable[[ProgressState], None] = True,
) -> ConvertConfigResult:
    """Turn a configuration file of BANA's public code, or of its reproduction, into options of boxseg.

    Args:
        file: The YAML file of that code, with sections such as DATA, MODEL and SOLVER.
        out: File to write. By default FILE.boxseg.yaml beside it.
        stage: Stage that the file is for; `auto` goes by its name (stage1, stage2, stage3), else by its
            keys.
        overwrite: Replace `out` if it exists.
        progress: Whether progress is shown on stderr, or a function that gets each `ProgressState`.

    Raises:
        BoxsegError: Something given cannot be used.
    """

class _DemoOptions(_Masks, _Shards, _Report, _TrainerOptions, total=False):
    max_iterations: int  # adapt.max_iterations
    decoder_lr: float  # adapt.decoder_lr
    warm_up: float  # adapt.warm_up
    prior: float  # adapt.prior
    average: float  # adapt.average
    outside: float  # adapt.outside
    projection: float  # adapt.projection
    pairwise: float  # adapt.pairwise
    agreement: float  # adapt.agreement
    labelled: float  # adapt.labelled
    colour: float  # adapt.colour
    smooth: float  # adapt.smooth
    min_side: float  # adapt.min_side
    margins: list[float] | tuple[float, float]  # adapt.margins
    small: float  # adapt.small
    smallest: int  # adapt.smallest
    backbone: Path | str  # model.backbone
    freeze: bool  # model.freeze
    stage: int | None  # model.stage
    fully_connected: Literal["subsample", "fresh"]  # model.fully_connected
    preprocessing: Literal["auto", "torchvision", "caffe"]  # model.preprocessing
    head: Literal["auto", "largefov", "aspp"]  # model.head
    batch_norm: Literal["frozen", "train"]  # model.batch_norm
    temperature: float  # model.temperature
    pooling: Literal["bap", "gap"]  # classify.pooling
    roi_bins: int  # classify.roi_bins
    min_background: float  # classify.min_background
    milestones: list[float] | tuple[float, ...]  # classify.milestones
    method: Literal["auto", "network", "bap", "gap", "box", "ellipse", "grabcut", "sam"] | str  # label.method
    sam: Path | str | None  # label.sam
    background: Literal["attention", "activation"]  # label.background
    class_map: dict[str, str] | Path | str | None  # label.class_map
    masks: _Masks | config.Masks  # label.masks
    instances: bool  # label.instances
    formats: (
        list[Literal["palette", "voc", "masks", "coco", "yolo-seg", "cvat", "label-studio", "geotiff"]]
        | tuple[Literal["palette", "voc", "masks", "coco", "yolo-seg", "cvat", "label-studio", "geotiff"], ...]
    )  # label.formats
    corrections: Path | str | None  # label.corrections
    store: Literal["files", "shards"]  # label.store
    shards: _Shards | config.Shards  # label.shards
    loss: Literal["nal", "er", "bs", "baseline", "ce_crf", "ce_ret"] | str  # segment.loss
    weight: float  # segment.weight
    gamma: float  # segment.gamma
    detach_confidence: bool  # segment.detach_confidence
    poly_power: float  # segment.poly_power
    scales: list[float] | tuple[float, ...]  # evaluate.scales
    tta: bool  # evaluate.tta
    tile: int | Literal["auto"]  # evaluate.tile

def demo(
    *,
    out: Path | str = "runs/demo",
    overwrite: bool = False,
    scale: float = 1.0,
    count: int = 200,
    adapt: _Adapt | config.Adapt | bool = ...,
    model: _Model | config.Model = ...,
    classify: _Classify | config.Classify = ...,
    label: _Label | config.Label = ...,
    segment: _Segment | config.Segment = ...,
    evaluate: _Evaluate | config.Evaluate = ...,
    report: _Report | config.Report = ...,
    trainer: _TrainerOptions | config.TrainerOptions = ...,
    progress: bool | Callable[[ProgressState], None] = True,
    **options: Unpack[_DemoOptions],
) -> RunResult:
    """Make a demo data set and run all stages on it, offline, in a few minutes on two cores.

    Args:
        out: Run folder.
        overwrite: Start again from scratch if OUT holds a run with other options.
        scale: Length of the schedules: 0.1 trains a tenth of the iterations; learning-rate drops, the end
            of bootstrapping and checkpoints come correspondingly earlier.
        count: Number of training photos to make; a quarter as many are added for scoring.
        adapt: The mask network.
        model: Network.
        classify: The box classifier (stage 1).
        label: The labels (stage 2).
        segment: The segmentation network (stage 3).
        evaluate: Scoring (scales, windows and CRF).
        report: The page report.html.
        trainer: Devices, precision and seed.
        progress: Whether progress is shown on stderr, or a function that gets each `ProgressState`.
        **options: Options of sections by any unambiguous shorter name: `grid=3`.

    Raises:
        BoxsegError: Something given cannot be used.
    """
