"""What is done with labels and trained networks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from boxseg.config import POSITIONAL, Data, Evaluate, LabelFormat, Report, TrainerOptions
from boxseg.errors import require, require_path


@dataclass(frozen=True, kw_only=True)
class EvaluateJob:
    """Score a network, a folder of labels or masks of single objects against ground truth.

    Args:
        checkpoint: Segmentation network made by `segment`.
        labels: Or a folder made by `label`, or a folder of masks ID.png.
        instances: Or COCO results of masks (JSON), or a folder made by `label` with `label.instances=true`: AP.
        data: Photos with ground-truth masks.
        out: Folder for metrics.json; by default evaluate-SPLIT beside the checkpoint or in the label folder.
        evaluate: Scales, flip, windows and CRF of a network.
        trainer: Device.
    """

    checkpoint: Path | None = None
    labels: Path | None = None
    instances: Path | None = None
    data: Data
    out: Path | None = None
    evaluate: Evaluate = field(default_factory=Evaluate)
    trainer: TrainerOptions = field(default_factory=TrainerOptions)


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
        evaluate: Scales, flip, windows and CRF.
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
    trainer: TrainerOptions = field(default_factory=TrainerOptions)

    def __post_init__(self) -> None:
        if self.images is not None:
            require(self.images != [], "images names no photos; give images=DIR or images=[A,B]")
            for name in [self.images] if isinstance(self.images, str) else self.images:
                require_path("images", name)


@dataclass(frozen=True, kw_only=True)
class ExportJob:
    """Write a segmentation network for use in other programs, and check that it computes the same.

    Args:
        checkpoint: Segmentation network made by `segment`.
        out: The file: .onnx, .pt2 (torch-export) or .safetensors. The first two take raw RGB photos, uint8
            (batch, height, width, 3), of any number and size, and give probabilities (batch, classes, height,
            width). By default `model` with the ending of the format, in the current folder.
        format: `onnx` for onnxruntime and others, `torch-export` for torch.export.load, `safetensors` for
            boxseg.load and `boxseg predict`, `auto` by the ending of `out`.
    """

    checkpoint: Path
    out: Path | None = None
    format: Literal["auto", "onnx", "torch-export", "safetensors"] = "auto"


@dataclass(frozen=True, kw_only=True)
class ConvertJob:
    """Write labels as a data set for other programs: masks with colours, VOC, COCO instances, YOLO polygons.

    Args:
        source: Folder made by `label` or `run`, by `predict`, or a folder of masks ID.png.
        out: Folder of the data set, new or made by this command: other splits may be added to it.
        format: `palette` (PNG with labelmap.txt: CVAT's "Segmentation mask 1.1"), `voc` (devkit folder),
            `masks` (photos and grey PNG, as for Ultralytics' semantic segmentation), `coco` (instances) or
            `yolo-seg` (polygons).
        labels: Of a folder made by `label`: Y_crf, Y_ret, or `agreed`: Y_crf with 255 where they differ.
        objects: What one object is: what has a box's class inside that `boxes`, connected `regions` of a class,
            or `auto`: boxes where they are known, regions elsewhere and for predictions.
        segmentation: COCO only: `rle` (run-length codes), or `polygons`, in which holes are filled.
        min_area: Objects of fewer pixels are left out; masks stay as they are.
        maps: Also write how sure the labels are, as 8-bit grey PNG: OUT/reliable/ID.png (255 where Y_crf and
            Y_ret agree) and OUT/confidence/ID.png (where `label.maps=true` or `predict` has made it).
        photos: `copy` them into the data set, `link` to them, or `none`.
        split: Name of the split in the data set; by default that of the data, or train.
        images: Folder of the photos, where neither the labels nor `data` say where they are.
        classes: Names of classes 1..L, where nothing else tells them.
        overwrite: Write the split again where OUT holds it already.
        data: Data set that the labels are of. Folders made by `label` know theirs: what is given here replaces
            that (data=DIR where it has moved).
    """

    source: Path = field(metadata=POSITIONAL)
    out: Path = field(metadata=POSITIONAL)
    format: LabelFormat
    labels: Literal["y_crf", "y_ret", "agreed"] = "y_crf"
    objects: Literal["auto", "boxes", "regions"] = "auto"
    segmentation: Literal["rle", "polygons"] = "rle"
    min_area: int = 1
    maps: bool = False
    photos: Literal["copy", "link", "none"] = "copy"
    split: str | None = None
    images: Path | None = None
    classes: tuple[str, ...] = ()
    overwrite: bool = False
    data: Data | None = None

    def __post_init__(self) -> None:
        require(self.min_area >= 1, f"min_area must be at least 1, got {self.min_area}")
