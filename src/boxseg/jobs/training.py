"""The stages from boxes to labels to a segmentation network, one by one and together."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from boxseg.config import Classify, Data, Evaluate, Label, Model, Report, Segment, Trainer, require_scale


@dataclass(frozen=True, kw_only=True)
class ClassifyJob:
    """Train the box classifier (stage 1).

    Args:
        data: Photos with boxes.
        out: Run folder; the classifier is written to OUT/model.safetensors.
        overwrite: Start anew where OUT holds a run with other options.
        scale: Length of the schedules: 0.1 trains a tenth of the iterations, and the falls of the learning
            rate, the end of bootstrapping and the checkpoints come as much earlier.
        model: Network.
        classify: Stage 1.
        trainer: Device, precision, seed.
    """

    data: Data
    out: Path
    overwrite: bool = False
    scale: float = 1.0
    model: Model = field(default_factory=Model)
    classify: Classify = field(default_factory=Classify)
    trainer: Trainer = field(default_factory=Trainer)

    def __post_init__(self) -> None:
        require_scale(self.scale)


@dataclass(frozen=True, kw_only=True)
class LabelJob:
    """Write pseudo labels for photos with boxes (stage 2).

    Args:
        checkpoint: Classifier made by `classify`.
        data: Photos with boxes.
        out: Folder for y_crf/ID.png, y_ret/ID.png and, where there is ground truth, metrics.json.
        overwrite: Start anew where OUT holds a run with other options.
        label: Stage 2.
        trainer: Device.
    """

    checkpoint: Path
    data: Data
    out: Path
    overwrite: bool = False
    label: Label = field(default_factory=Label)
    trainer: Trainer = field(default_factory=Trainer)


@dataclass(frozen=True, kw_only=True)
class SegmentJob:
    """Train the segmentation network (stage 3), then score it on `data.val_split`.

    Args:
        labels: Folder made by `label`, a folder of masks ID.png, or `ground-truth` for the fully supervised
            reference.
        data: Photos.
        out: Run folder; the network is written to OUT/model.safetensors.
        overwrite: Start anew where OUT holds a run with other options.
        scale: Length of the schedules: 0.1 trains a tenth of the iterations, and the falls of the learning
            rate, the end of bootstrapping and the checkpoints come as much earlier.
        model: Network.
        segment: Stage 3.
        evaluate: Scoring.
        trainer: Device, precision, seed.
    """

    labels: str
    data: Data
    out: Path
    overwrite: bool = False
    scale: float = 1.0
    model: Model = field(default_factory=Model)
    segment: Segment = field(default_factory=Segment)
    evaluate: Evaluate = field(default_factory=Evaluate)
    trainer: Trainer = field(default_factory=Trainer)

    def __post_init__(self) -> None:
        require_scale(self.scale)


@dataclass(frozen=True, kw_only=True)
class RunJob:
    """All stages: boxes to labels to a segmentation network. Run again, it goes on where it stopped.

    Args:
        data: Photos with boxes.
        out: Run folder: classify/, label/, segment/, report.html, sheet.png, metrics.json.
        overwrite: Start anew where OUT holds a run with other options.
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
    scale: float = 1.0
    model: Model = field(default_factory=Model)
    classify: Classify = field(default_factory=Classify)
    label: Label = field(default_factory=Label)
    segment: Segment = field(default_factory=Segment)
    evaluate: Evaluate = field(default_factory=Evaluate)
    report: Report = field(default_factory=Report)
    trainer: Trainer = field(default_factory=Trainer)

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
    trainer: Trainer = field(default_factory=Trainer)

    def __post_init__(self) -> None:
        require_scale(self.scale)
