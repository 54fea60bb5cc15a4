"""What each verb takes: inputs, outputs and the sections of options it reads.

One dataclass a verb, used alike by the command line, YAML files and the Python functions of the same name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from boxseg.config import (
    Classify,
    Data,
    Evaluate,
    Label,
    Model,
    Report,
    Segment,
    Trainer,
    require,
    require_scale,
)

# Marks an option that the command line also takes as a bare word: `field(metadata=POSITIONAL)`.
POSITIONAL = {"positional": True}

TableName = Literal["pseudo-labels", "grid", "losses", "final-vgg", "final-resnet", "coco", "all"]

# What `reproduce` starts from, by table, unless another recipe is given; elsewhere voc_vgg16.
TABLE_RECIPES = {"final-resnet": "voc_resnet101"}


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
class EvaluateJob:
    """Score a network, a folder of labels or masks of single objects against ground truth.

    Args:
        checkpoint: Segmentation network made by `segment`.
        labels: Or a folder made by `label`, or a folder of masks ID.png.
        instances: Or COCO results of masks (JSON), or a folder made by `label` with `label.instances=true`: AP.
        data: Photos with ground-truth masks.
        out: Folder for metrics.json; by default evaluate-SPLIT beside the checkpoint or in the label folder.
        evaluate: Scales, flip and CRF of a network.
        trainer: Device.
    """

    checkpoint: Path | None = None
    labels: Path | None = None
    instances: Path | None = None
    data: Data
    out: Path | None = None
    evaluate: Evaluate = field(default_factory=Evaluate)
    trainer: Trainer = field(default_factory=Trainer)


@dataclass(frozen=True, kw_only=True)
class ReportJob:
    """Show a run in one HTML file that opens offline: scores, training curves, confusions, and the photos.

    Args:
        run: Folder made by `run`, `demo`, `classify`, `label` or `segment`; it need not be complete.
        out: The page; by default RUN/report.html.
        data: Folder of the data set, where it is no longer where the run had it.
        report: What the page holds.
    """

    run: Path = field(metadata=POSITIONAL)
    out: Path | None = None
    data: Path | None = None
    report: Report = field(default_factory=Report)


@dataclass(frozen=True, kw_only=True)
class PredictJob:
    """Label new photos, without boxes, with a segmentation network.

    Args:
        checkpoint: Segmentation network made by `segment`.
        images: Photos: a file, a folder, a pattern such as "photos/*.jpg", or a list of these.
        out: Folder for labels/NAME.png, overlays/NAME.jpg and confidence/NAME.png.
        confidence: Write the probability of each pixel's label, as an 8-bit grey PNG: 255 stands for 1.
        submission: `voc2012` labels the photos of data.split=test for the VOC 2012 evaluation server: the tree
            OUT/results/ as it expects it and, where nothing is found wrong, the archive to upload. Run again,
            it goes on where it stopped.
        comp: Competition of the submission: `comp5` for networks trained on VOC 2012's own train and val images
            alone, `comp6` for any other training data, such as ImageNet weights or the masks of train_aug.
        overwrite: Submission only: start anew where OUT holds one with other options.
        data: Photos of a split of a data set, instead of `images`; it needs no boxes.
        evaluate: Scales, flip and CRF.
        trainer: Device.
    """

    checkpoint: Path
    images: str | list[str] | None = None
    out: Path
    confidence: bool = True
    submission: Literal["voc2012"] | None = None
    comp: Literal["comp5", "comp6"] = "comp6"
    overwrite: bool = False
    data: Data | None = None
    evaluate: Evaluate = field(default_factory=Evaluate)
    trainer: Trainer = field(default_factory=Trainer)


@dataclass(frozen=True, kw_only=True)
class ExportJob:
    """Write a segmentation network for use in other programs, and check that it computes the same.

    Args:
        checkpoint: Segmentation network made by `segment`.
        out: The file: .onnx, .pt2 (torch-export) or .safetensors. The first two take raw RGB photos, uint8
            (batch, height, width, 3), of any number and size, and give probabilities (batch, classes, height,
            width).
        format: `onnx` for onnxruntime and others, `torch-export` for torch.export.load, `safetensors` for
            boxseg.load and `boxseg predict`, `auto` by the ending of `out`.
    """

    checkpoint: Path
    out: Path
    format: Literal["auto", "onnx", "torch-export", "safetensors"] = "auto"


@dataclass(frozen=True, kw_only=True)
class DoctorJob:
    """Check a data set: counts, classes, and everything that is broken.

    Args:
        data: Photos with boxes.
        decode: Read every photo and mask whole, not just their headers.
        submission: Check this archive (.tgz) or folder of results for the VOC 2012 evaluation server instead,
            against the photos of `data.split`.
    """

    data: Data
    decode: bool = True
    submission: Path | None = None


@dataclass(frozen=True, kw_only=True)
class MasksJob:
    """Write masks made from the boxes alone, for other programs: boxseg itself needs no such file.

    Args:
        kind: `background`: 1 outside every box and 0 inside, an 8-bit grey PNG of each photo's size.
        data: Photos with boxes.
        out: Folder for BgMaskfromBoxes/ID.png.
        overwrite: Write masks again that are there already.
    """

    kind: Literal["background"] = field(metadata=POSITIONAL)
    data: Data
    out: Path
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class DownloadJob:
    """Set up VOC 2012 or COCO 2017. Run again, it goes on where it stopped and leaves what is there.

    Args:
        dataset: `voc` or `coco`.
        out: Folder for it: OUT/VOCdevkit/VOC2012, or OUT/annotations, OUT/train2017, OUT/val2017. Archives are
            fetched to OUT/downloads.
        only: Steps to do (`only=val,train`): trainval, augmented, train_aug, test of voc; annotations, val,
            train of coco.
        mirror: Folder or address that holds the archives by their file names, instead of their own hosts.
        test_archive: VOC only: file or address of VOC2012test.tar, which the test server gives to its users.
        keep_archives: Leave the archives in OUT/downloads when they are unpacked.
        dry_run: Only list the steps and their sizes.
    """

    dataset: Literal["voc", "coco"] = field(metadata=POSITIONAL)
    out: Path
    only: str | list[str] | None = None
    mirror: str | None = None
    test_archive: str | None = None
    keep_archives: bool = False
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class ConvertConfigJob:
    """Turn a configuration file of BANA's public code, or of its reproduction, into options of boxseg.

    Args:
        file: Their YAML file, with sections such as DATA, MODEL and SOLVER.
        out: Where ours goes; by default FILE.boxseg.yaml beside it.
        stage: What it is for; `auto` goes by the file's name (stage1, stage2, stage3), else by its keys.
        overwrite: Replace `out` where it is there already.
    """

    file: Path = field(metadata=POSITIONAL)
    out: Path | None = None
    stage: Literal["auto", "classify", "label", "segment"] = "auto"
    overwrite: bool = False


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
class ReproduceJob:
    """Run an experiment of the paper, and set its numbers beside the published ones.

    Args:
        table: `pseudo-labels`, `grid` (N at training and at generation), `losses`, `final-vgg`,
            `final-resnet`, `coco`, or `all`. Without `-c RECIPE` or a backbone, the paper's own recipe.
        data: PASCAL VOC 2012, or other photos with boxes; `val_split` is scored.
        out: Folder of the tables TABLE.md, TABLE.csv and TABLE.json, and of a run folder for every step.
            Started again, only what is missing is run.
        scale: Length of the schedules: 0.1 trains a tenth of the iterations.
        seeds: Everything is run with each of these seeds, and tables give mean ± spread; none for
            trainer.seed alone.
        coco: COCO 2017, which the table `coco` labels with the classifier trained on `data`.
        coco_split: Its photos.
        dry_run: List the steps, those that are done and those that would run, and run none.
        classifier: Backbone of the classifier that labels; `auto` is vgg16 for a ResNet-101 of
            `final-resnet`, as in the paper, and the network's own otherwise.
        classifier_weights: Like model.weights, for a classifier of another backbone than the network's.
        model: Network.
        classify: Stage 1.
        label: Stage 2.
        segment: Stage 3.
        evaluate: Scoring.
        trainer: Device, precision, seed.
    """

    table: TableName = field(metadata=POSITIONAL)
    data: Data
    out: Path = Path("runs/reproduce")
    scale: float = 1.0
    seeds: tuple[int, ...] = ()
    coco: Path | None = None
    coco_split: str = "train2017"
    dry_run: bool = False
    classifier: Literal["auto", "efficientnet_lite0", "vgg16", "resnet50", "resnet101"] = "auto"
    classifier_weights: str = "default"
    model: Model = field(default_factory=Model)
    classify: Classify = field(default_factory=Classify)
    label: Label = field(default_factory=Label)
    segment: Segment = field(default_factory=Segment)
    evaluate: Evaluate = field(default_factory=Evaluate)
    trainer: Trainer = field(default_factory=Trainer)

    def __post_init__(self) -> None:
        require_scale(self.scale)
        require(
            len(set(self.seeds)) == len(self.seeds) and min(self.seeds, default=0) >= 0,
            f"seeds must differ and be 0 or more, got {list(self.seeds)}",
        )
        require(self.table != "coco" or self.coco is not None, "the table coco needs coco=DIR, COCO 2017")


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


Job = (
    ClassifyJob
    | LabelJob
    | SegmentJob
    | EvaluateJob
    | ReportJob
    | PredictJob
    | ExportJob
    | DoctorJob
    | MasksJob
    | DownloadJob
    | ConvertConfigJob
    | RunJob
    | ReproduceJob
    | DemoJob
)

JOBS: dict[str, type[Job]] = {
    "run": RunJob,
    "classify": ClassifyJob,
    "label": LabelJob,
    "segment": SegmentJob,
    "evaluate": EvaluateJob,
    "report": ReportJob,
    "predict": PredictJob,
    "export": ExportJob,
    "doctor": DoctorJob,
    "masks": MasksJob,
    "download": DownloadJob,
    "reproduce": ReproduceJob,
    "convert-config": ConvertConfigJob,
    "demo": DemoJob,
}
