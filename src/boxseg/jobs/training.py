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
        overwrite: Start anew where OUT holds a run with other options.
        dry_run: Only list what would be done, with an estimate of time and disk from a few real steps.
        scale: Length of the schedules: 0.1 trains a tenth of the iterations, and the falls of the learning
            rate, the end of bootstrapping and the checkpoints come as much earlier.
        model: Network.
        classify: Stage 1.
        trainer: Device, precision, seed.
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
        checkpoint: Classifier made by `classify`, for the methods bap and gap; the others need none.
        data: Photos with boxes.
        out: Folder for y_crf/ID.png, y_ret/ID.png and, where there is ground truth, metrics.json.
        overwrite: Start anew where OUT holds a run with other options.
        dry_run: Only list what would be done, with an estimate of time and disk from a few real steps.
        label: Stage 2.
        trainer: Device.
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
        labels: Where the labels come from: a folder made by `label` (its Y_crf and Y_ret, or one of them as
            DIR/y_crf), a folder of masks ID.png, or `ground-truth` for the fully supervised reference. Or a
            list of these, `[A,B]`: a pixel is reliable where all agree, elsewhere the first stands for Y_crf.
        strong: Images with true masks beside those with boxes (the semi-supervised setting): `ground-truth`
            or a folder of masks ID.png. An image that has one there is trained with it, instead of `labels`
            and whether or not it has any.
        strong_split: Split of the images with true masks, instead of all of `data.split`; those that
            `data.split` lacks are trained on as well.
        data: Photos.
        out: Run folder; the network is written to OUT/model.safetensors.
        overwrite: Start anew where OUT holds a run with other options.
        dry_run: Only list what would be done, with an estimate of time and disk from a few real steps.
        scale: Length of the schedules: 0.1 trains a tenth of the iterations, and the falls of the learning
            rate, the end of bootstrapping and the checkpoints come as much earlier.
        model: Network.
        segment: Stage 3.
        evaluate: Scoring.
        trainer: Device, precision, seed.
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
    """All stages: boxes to labels to a segmentation network. Run again, it goes on where it stopped.

    Args:
        data: Photos with boxes.
        out: Run folder: classify/, label/, segment/, report.html, sheet.png, metrics.json.
        overwrite: Start anew where OUT holds a run with other options.
        dry_run: Only list what would be done, with an estimate of time and disk from a few real steps.
        scale: Length of the schedules: 0.1 trains a tenth of the iterations, and the falls of the learning
            rate, the end of bootstrapping and the checkpoints come as much earlier.
        model: Network.
        classify: Stage 1.
        label: Stage 2.
        segment: Stage 3.
        evaluate: Scoring.
        report: The page report.html.
        trainer: Device, precision, seed.
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
    """Make the demo set and run all stages on it: a few minutes on two cores, offline.

    Args:
        out: Run folder.
        overwrite: Start anew where OUT holds a run with other options.
        scale: Length of the schedules: 0.1 trains a tenth of the iterations, and the falls of the learning
            rate, the end of bootstrapping and the checkpoints come as much earlier.
        images: Training photos to make; a quarter as many are made for scoring.
        model: Network.
        classify: Stage 1.
        label: Stage 2.
        segment: Stage 3.
        evaluate: Scoring.
        report: The page report.html.
        trainer: Device, precision, seed.
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
