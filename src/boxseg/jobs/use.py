"""What is done with labels and trained networks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from boxseg.config import Data, Evaluate, LabelFormat, Report, TrainerOptions
from boxseg.config.data import MOST_PIXELS
from boxseg.errors import require, require_cluster, require_path
from boxseg.jobs.job import POSITIONAL, Job


@dataclass(frozen=True, kw_only=True)
class EvaluateJob(Job):
    """Score a network, a folder of labels or masks of single objects against ground truth.

    Args:
        labels: Instead of a network: a folder made by `label`, or a folder of masks ID.png.
        instances: Instead of a network, for AP and the IoU of each object's mask: COCO results with masks
            (JSON), or a folder made by `label`, for its masks.json.
        baselines: With `instances`: also score the ellipse in each box and GrabCut, beside whole boxes.
        data: Photos with ground-truth masks.
        out: Folder for metrics.json. By default evaluate-SPLIT beside the checkpoint, or the label folder.
        evaluate: Scales, windows and CRF of a network.
    """

    checkpoint: Path | None = None
    labels: Path | None = None
    instances: Path | None = None
    baselines: bool = False
    data: Data
    out: Path | None = None
    evaluate: Evaluate = Evaluate()
    trainer: TrainerOptions = TrainerOptions()
    cluster: str | None = None

    def __post_init__(self) -> None:
        require_cluster(self.cluster)
        require(
            self.instances is not None or not self.baselines,
            "baselines=true is for masks of single objects: give instances=…",
        )


@dataclass(frozen=True, kw_only=True)
class ReportJob(Job):
    """Show a run in one HTML file that opens offline: scores, training curves, confusions, and the photos.

    Args:
        run: Folder made by `run`, `demo`, `adapt`, `classify`, `label` or `segment`; the run may be unfinished.
        out: The HTML file to write. By default RUN/report.html.
        data: Folder of the data set, if it has moved since the run.
        report: The page.
    """

    run: Path = field(metadata=POSITIONAL)
    out: Path | None = None
    data: Path | None = None
    report: Report = Report()


@dataclass(frozen=True, kw_only=True)
class PredictJob(Job):
    """Label new photos or the frames of videos, without boxes, with a segmentation network.

    Args:
        images: Photos: a file, a folder, a pattern such as "photos/*.jpg", or a list of these. Videos: a file,
            a pattern such as "clips/*.mp4", or a list.
        out: Folder for labels/NAME.png, overlays/NAME.jpg and confidence/NAME.png.
        every: Of videos: only every k-th frame, from the first on. By default all. Files are named by frame
            and time: labels/NAME/000120_00h00m04s800.png.
        frames: Of videos: also write the frames that are labelled, to frames/NAME/FRAME_TIME.png. With them
            `boxseg convert` can write the labels for other programs.
        geotiff: Also write labels as GeoTIFFs, to geotiff/NAME.tif, at the places on the ground that photos say
            they lie at.
        confidence: Write the probability of each pixel's label as 8-bit grey PNG; 255 stands for 1.
        submission: `voc2012` labels the photos of data.split=test for the VOC 2012 evaluation server. It writes
            the folder OUT/results/ that the server expects and, if its check finds nothing wrong, the archive
            to upload. Run again, it continues where it stopped.
        comp: Competition of the submission: `comp5` for networks trained only on the train and val images of
            VOC 2012, `comp6` for any other training data, such as ImageNet weights or the masks of train_aug.
        overwrite: Submission only: start again from scratch if OUT holds one with other options.
        max_pixels: Photos of more pixels are refused: decoded, a small file may be of any size.
        data: Photos of a data set, in place of `images` (boxes are not needed); or a video.
        evaluate: Scales, windows and CRF.
    """

    checkpoint: Path
    images: str | list[str] | None = None
    out: Path
    every: int | None = None
    frames: bool = False
    confidence: bool = True
    geotiff: bool = False
    submission: Literal["voc2012"] | None = None
    comp: Literal["comp5", "comp6"] = "comp6"
    overwrite: bool = False
    max_pixels: int = MOST_PIXELS
    data: Data | None = None
    evaluate: Evaluate = Evaluate()
    trainer: TrainerOptions = TrainerOptions()
    cluster: str | None = None

    def __post_init__(self) -> None:
        require_cluster(self.cluster)
        require(self.max_pixels > 0, f"max_pixels must be positive, got {self.max_pixels}")
        require(
            self.every is None or self.every >= 1, f"every must be 1 (all frames) or more, got {self.every}"
        )
        if self.images is not None:
            require(self.images != [], "images= is empty; give images=DIR or images=[A,B]")
            for name in [self.images] if isinstance(self.images, str) else self.images:
                require_path("images", name)


@dataclass(frozen=True, kw_only=True)
class ExportJob(Job):
    """Write a segmentation network for use in other programs, and check that it computes the same.

    Args:
        out: File to write: .onnx, .pt2 (torch-export) or .safetensors. The first two take raw RGB photos, uint8
            (batch, height, width, 3), of any number and size, and return probabilities (batch, classes, height,
            width). By default `model` with the suffix of the format, in the current folder.
        format: `onnx` for onnxruntime and others, `torch-export` for torch.export.load, `safetensors` for
            boxseg.load and `boxseg predict`; `auto` goes by the suffix of `out`.
    """

    checkpoint: Path
    out: Path | None = None
    format: Literal["auto", "onnx", "torch-export", "safetensors"] = "auto"


@dataclass(frozen=True, kw_only=True)
class ConvertJob(Job):
    """Write labels as a data set for other programs: to train, or to correct them in CVAT or Label Studio.

    Args:
        source: Folder made by `label`, `run` or `predict`, or a folder of masks ID.png.
        out: Folder of the data set: a new one, or one made by this command, to which another split is added.
        format: `palette` (PNG with labelmap.txt: CVAT's "Segmentation mask 1.1"), `voc` (devkit folder),
            `masks` (photos and grey PNG, as for Ultralytics' semantic segmentation), `coco` (instances),
            `yolo-seg` (polygons), `cvat` (CVAT for images 1.1), `label-studio` (tasks with brushed masks) or
            `geotiff` (masks on the map, of photos that say where they lie).
        which: Which labels of a folder made by `label`: the `labels`, `agreed` (those with 255 where they are
            not reliable), or `y_crf` or `y_ret` of a classifier. `ground-truth` takes the outlines of single
            objects in a data set: `source` is its folder.
        objects: What counts as one object: `masks` (the mask of each box, as in masks.json), `boxes` (the
            pixels of a box's class inside that box) or `regions` (connected regions of a class). `auto` takes
            masks where `label` made them, but boxes for palette, voc, masks and geotiff; boxes where only these
            are known, and regions elsewhere and for predictions.
        segmentation: Of coco, cvat and label-studio: `rle` (run-length codes: masks in CVAT, the brush in Label
            Studio), or `polygons`, which fill holes.
        tighten: For coco and voc: write the bounds of each object's mask in place of its box.
        min_area: Leave out objects with fewer pixels than this; masks stay as they are.
        simplify: Polygons only: leave out corners as long as these stay within this many pixels of the new
            outline. With 1, polygons have a fifth of the corners; 0 follows the edges of all pixels.
        maps: Also write confidence maps as 8-bit grey PNG: OUT/reliable/ID.png (255 where labels are
            reliable) and OUT/confidence/ID.png.
        prefix: Label Studio only: what stands before the paths of photos, such as https://example.com/photos/
            or s3://bucket/. By default /data/local-files/?d=NAME/ with the name of OUT, for local storage whose
            document root is the folder above OUT.
        predictions: Label Studio only: write the objects as predictions, which count only when somebody has
            submitted them, in place of annotations.
        redraw: Only photos that are wrong as a whole, or with a box to be redrawn, as the corrections of the
            labels say (`label corrections=FILE`): what is left to do in CVAT or Label Studio.
        photos: Photos in the data set: `copy` them, `link` to them, or `none`.
        split: Name of the split in the new data set. By default that of the data, or train.
        images: Folder of the photos, if neither the labels nor `data` tell where they are.
        classes: Names of classes 1..L, if nothing else tells them.
        overwrite: Replace the split if OUT already has it.
        data: Data set of the labels. Folders made by `label` know theirs; data=DIR replaces it, if it has
            moved.
    """

    source: Path = field(metadata=POSITIONAL)
    out: Path = field(metadata=POSITIONAL)
    format: LabelFormat
    which: Literal["labels", "y_crf", "y_ret", "agreed", "ground-truth"] = "labels"
    objects: Literal["auto", "masks", "boxes", "regions"] = "auto"
    segmentation: Literal["rle", "polygons"] = "rle"
    tighten: bool = False
    min_area: int = 1
    simplify: float = 0.0
    prefix: str | None = None
    predictions: bool = False
    maps: bool = False
    redraw: bool = False
    photos: Literal["copy", "link", "none"] = "copy"
    split: str | None = None
    images: Path | None = None
    classes: tuple[str, ...] = ()
    overwrite: bool = False
    data: Data | None = None
    cluster: str | None = None

    def __post_init__(self) -> None:
        require_cluster(self.cluster)
        require(
            not self.tighten or self.format in ("coco", "voc"),
            f"tighten=true is for formats with boxes, coco and voc; {self.format} has none",
        )
        require(self.min_area >= 1, f"min_area must be at least 1, got {self.min_area}")
        require(
            0 <= self.simplify < math.inf,
            f"simplify must be 0 pixels (keep every corner) or more, got {self.simplify}",
        )
