"""The stages from boxes to labels to a segmentation network, one by one and together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from boxseg.config import Adapt, Classify, Data, Evaluate, Label, Model, Report, Segment, TrainerOptions
from boxseg.errors import require, require_cluster, require_path
from boxseg.jobs.job import Job, TrainingJob


@dataclass(frozen=True, kw_only=True)
class AdaptJob(TrainingJob):
    """Train the mask network on your own boxes.

    Args:
        out: Run folder; the network is written to OUT/model.safetensors, for `label checkpoint=OUT`.
        labels: Labels by class to learn from too: a folder made by `label` with method=bap or gap, of which
            the pixels count where Y_crf and Y_ret agree; a folder of masks ID.png; or `ground-truth`.
    """

    data: Data
    labels: Path | None = None
    out: Path
    overwrite: bool = False
    scores: bool = True
    dry_run: bool = False
    scale: float = 1.0
    adapt: Adapt = Adapt()
    trainer: TrainerOptions = TrainerOptions()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.adapt.enabled, "adapt=false is for `boxseg run`: `boxseg adapt` is this training")


@dataclass(frozen=True, kw_only=True)
class ClassifyJob(TrainingJob):
    """Train the box classifier (stage 1).

    Args:
        out: Run folder; the classifier is written to OUT/model.safetensors.
    """

    data: Data
    out: Path
    overwrite: bool = False
    dry_run: bool = False
    scale: float = 1.0
    model: Model = Model()
    classify: Classify = Classify()
    trainer: TrainerOptions = TrainerOptions()


@dataclass(frozen=True, kw_only=True)
class LabelJob(Job):
    """Write a mask for every box, and labels by class, for photos with boxes (stage 2). No training is needed.

    Args:
        checkpoint: Mask network made by `adapt`, in place of the one that comes with boxseg; or classifier made
            by `classify`, for the methods bap and gap.
        out: Folder for masks.json (a mask for every box, as a COCO data set), labels/ID.png (classes),
            confidence/ and reliable/ID.png; with bap and gap also y_crf/ and y_ret/ID.png; and for scores if
            there is ground truth.
    """

    checkpoint: Path | None = None
    data: Data
    out: Path
    overwrite: bool = False
    scores: bool = True
    dry_run: bool = False
    label: Label = Label()
    trainer: TrainerOptions = TrainerOptions()
    cluster: str | None = None

    def __post_init__(self) -> None:
        require_cluster(self.cluster)
        require(
            self.checkpoint is not None or self.label.method not in ("bap", "gap"),
            f"label.method={self.label.method} needs checkpoint=…, a classifier made by `boxseg classify`; the "
            "default method needs none",
        )


@dataclass(frozen=True, kw_only=True)
class SegmentJob(TrainingJob):
    """Train the segmentation network (stage 3), then score it on `data.val_split`.

    Args:
        labels: Labels to train on: a folder made by `label` (its labels and what is reliable of them, or one of
            them, as DIR/labels), a folder of masks ID.png, or `ground-truth` for the fully supervised
            reference. A list `[A,B]` combines several: pixels where all agree are reliable, elsewhere the first
            counts as Y_crf.
        strong: True masks for some of the images (semi-supervised training): `ground-truth`, a folder of masks
            ID.png, or an annotation file with outlines, such as an export of CVAT or Label Studio. An image
            with a true mask is trained with it, whether or not `labels` has one.
        strong_split: Split of the images with true masks; images that `data.split` lacks are added to it. By
            default all of `data.split`.
        data: Photos.
        out: Run folder; the network is written to OUT/model.safetensors.
    """

    labels: str | list[str]
    strong: str | None = None
    strong_split: str | None = None
    data: Data
    out: Path
    overwrite: bool = False
    scores: bool = True
    dry_run: bool = False
    scale: float = 1.0
    model: Model = Model()
    segment: Segment = Segment()
    evaluate: Evaluate = Evaluate()
    trainer: TrainerOptions = TrainerOptions()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.labels) > 0, "labels= is empty; give labels=DIR or labels=[A,B]")
        if self.strong is not None:
            require_path("strong", self.strong)
        require(
            self.strong is not None or self.strong_split is None,
            f"strong_split={self.strong_split} needs strong=ground-truth or strong=PATH, its masks",
        )


@dataclass(frozen=True, kw_only=True)
class RunJob(TrainingJob):
    """All stages: boxes to masks to a segmentation network. Run again, it continues where it stopped.

    Args:
        out: Run folder: adapt/ (the mask network, not with `adapt=false`) or, with `label.method=bap` as in the
            paper, classify/; label/, segment/, report.html, sheet.png, metrics.json.
    """

    data: Data
    out: Path
    overwrite: bool = False
    scores: bool = True
    dry_run: bool = False
    scale: float = 1.0
    adapt: Adapt = Adapt()
    model: Model = Model()
    classify: Classify = Classify()
    label: Label = Label()
    segment: Segment = Segment()
    evaluate: Evaluate = Evaluate()
    report: Report = Report()
    trainer: TrainerOptions = TrainerOptions()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.label.method != "gap" or self.classify.pooling == "gap",
            "label.method=gap takes a classifier trained with GAP: add classify.pooling=gap",
        )


@dataclass(frozen=True, kw_only=True)
class DemoJob(TrainingJob):
    """Make a demo data set and run all stages on it, offline, in a few minutes on two cores.

    Args:
        out: Run folder.
        count: Number of training photos to make; a quarter as many are added for scoring.
    """

    out: Path = Path("runs/demo")
    overwrite: bool = False
    scale: float = 1.0
    count: int = 200
    adapt: Adapt = Adapt()
    model: Model = Model()
    classify: Classify = Classify()
    label: Label = Label()
    segment: Segment = Segment()
    evaluate: Evaluate = Evaluate()
    report: Report = Report()
    trainer: TrainerOptions = TrainerOptions()
