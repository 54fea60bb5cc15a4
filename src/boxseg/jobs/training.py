"""The stages from boxes to labels to a segmentation network, one by one and together."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from boxseg.config import Classify, Data, Evaluate, Label, Model, Report, Segment, TrainerOptions
from boxseg.errors import require, require_path, require_scale


@dataclass(frozen=True, kw_only=True)
class ClassifyJob:
    """Train the box classifier (stage 1).

    Args:
        data: Photos with boxes.
        out: Run folder; the classifier is written to OUT/model.safetensors.
        overwrite: Start again from scratch if OUT holds a run with other options.
        dry_run: Only list what would be done, and estimate time and disk space from a few real steps.
        scale: Length of the schedules: 0.1 trains a tenth of the iterations; learning-rate drops, the end of
            bootstrapping and checkpoints come correspondingly earlier.
        model: Network.
        classify: The box classifier (stage 1).
        trainer: Devices, precision and seed.
    """

    data: Data
    out: Path
    overwrite: bool = False
    dry_run: bool = False
    scale: float = 1.0
    model: Model = field(default_factory=Model)
    classify: Classify = field(default_factory=Classify)
    trainer: TrainerOptions = field(default_factory=TrainerOptions)

    def __post_init__(self) -> None:
        require_scale(self.scale)


@dataclass(frozen=True, kw_only=True)
class LabelJob:
    """Write pseudo labels for photos with boxes (stage 2).

    Args:
        checkpoint: Classifier made by `classify`, for the methods bap and gap; the other methods need none.
        data: Photos with boxes.
        out: Folder for y_crf/ID.png and y_ret/ID.png, and for metrics.json if there is ground truth.
        overwrite: Start again from scratch if OUT holds a run with other options.
        dry_run: Only list what would be done, and estimate time and disk space from a few real steps.
        label: The labels (stage 2).
        trainer: Devices, precision and seed.
    """

    checkpoint: Path | None = None
    data: Data
    out: Path
    overwrite: bool = False
    dry_run: bool = False
    label: Label = field(default_factory=Label)
    trainer: TrainerOptions = field(default_factory=TrainerOptions)

    def __post_init__(self) -> None:
        require(
            self.checkpoint is not None or not self.label.by_classifier,
            "missing option checkpoint=…, a classifier made by `boxseg classify` (label.method=box, grabcut "
            "and sam need none)",
        )


@dataclass(frozen=True, kw_only=True)
class SegmentJob:
    """Train the segmentation network (stage 3), then score it on `data.val_split`.

    Args:
        labels: Labels to train on: a folder made by `label` (both Y_crf and Y_ret, or one as DIR/y_crf), a
            folder of masks ID.png, or `ground-truth` for the fully supervised reference. A list `[A,B]`
            combines several: pixels where all agree are reliable, elsewhere the first counts as Y_crf.
        strong: True masks for some of the images (semi-supervised training): `ground-truth`, or a folder of
            masks ID.png. An image with a true mask is trained with it, whether or not `labels` has one.
        strong_split: Split of the images with true masks; images that `data.split` lacks are added to it. By
            default all of `data.split`.
        data: Photos.
        out: Run folder; the network is written to OUT/model.safetensors.
        overwrite: Start again from scratch if OUT holds a run with other options.
        dry_run: Only list what would be done, and estimate time and disk space from a few real steps.
        scale: Length of the schedules: 0.1 trains a tenth of the iterations; learning-rate drops, the end of
            bootstrapping and checkpoints come correspondingly earlier.
        model: Network.
        segment: The segmentation network (stage 3).
        evaluate: Scoring (scales, windows and CRF).
        trainer: Devices, precision and seed.
    """

    labels: str | list[str]
    strong: str | None = None
    strong_split: str | None = None
    data: Data
    out: Path
    overwrite: bool = False
    dry_run: bool = False
    scale: float = 1.0
    model: Model = field(default_factory=Model)
    segment: Segment = field(default_factory=Segment)
    evaluate: Evaluate = field(default_factory=Evaluate)
    trainer: TrainerOptions = field(default_factory=TrainerOptions)

    def __post_init__(self) -> None:
        require_scale(self.scale)
        require(len(self.labels) > 0, "labels names no source of labels; give labels=DIR or labels=[A,B]")
        if self.strong is not None:
            require_path("strong", self.strong)
        require(
            self.strong is not None or self.strong_split is None,
            f"strong_split={self.strong_split} needs strong=ground-truth or strong=DIR, its masks",
        )


@dataclass(frozen=True, kw_only=True)
class RunJob:
    """All stages: boxes to labels to a segmentation network. Run again, it continues where it stopped.

    Args:
        data: Photos with boxes.
        out: Run folder: classify/, label/, segment/, report.html, sheet.png, metrics.json.
        overwrite: Start again from scratch if OUT holds a run with other options.
        dry_run: Only list what would be done, and estimate time and disk space from a few real steps.
        scale: Length of the schedules: 0.1 trains a tenth of the iterations; learning-rate drops, the end of
            bootstrapping and checkpoints come correspondingly earlier.
        model: Network.
        classify: The box classifier (stage 1).
        label: The labels (stage 2).
        segment: The segmentation network (stage 3).
        evaluate: Scoring (scales, windows and CRF).
        report: The page report.html.
        trainer: Devices, precision and seed.
    """

    data: Data
    out: Path
    overwrite: bool = False
    dry_run: bool = False
    scale: float = 1.0
    model: Model = field(default_factory=Model)
    classify: Classify = field(default_factory=Classify)
    label: Label = field(default_factory=Label)
    segment: Segment = field(default_factory=Segment)
    evaluate: Evaluate = field(default_factory=Evaluate)
    report: Report = field(default_factory=Report)
    trainer: TrainerOptions = field(default_factory=TrainerOptions)

    def __post_init__(self) -> None:
        require_scale(self.scale)


@dataclass(frozen=True, kw_only=True)
class DemoJob:
    """Make a demo data set and run all stages on it, offline, in a few minutes on two cores.

    Args:
        out: Run folder.
        overwrite: Start again from scratch if OUT holds a run with other options.
        scale: Length of the schedules: 0.1 trains a tenth of the iterations; learning-rate drops, the end of
            bootstrapping and checkpoints come correspondingly earlier.
        images: Number of training photos to make; a quarter as many are added for scoring.
        model: Network.
        classify: The box classifier (stage 1).
        label: The labels (stage 2).
        segment: The segmentation network (stage 3).
        evaluate: Scoring (scales, windows and CRF).
        report: The page report.html.
        trainer: Devices, precision and seed.
    """

    out: Path = Path("runs/demo")
    overwrite: bool = False
    scale: float = 1.0
    images: int = 200
    model: Model = field(default_factory=Model)
    classify: Classify = field(default_factory=Classify)
    label: Label = field(default_factory=Label)
    segment: Segment = field(default_factory=Segment)
    evaluate: Evaluate = field(default_factory=Evaluate)
    report: Report = field(default_factory=Report)
    trainer: TrainerOptions = field(default_factory=TrainerOptions)

    def __post_init__(self) -> None:
        require_scale(self.scale)
