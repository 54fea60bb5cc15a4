"""What is done with labels and trained networks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from boxseg.config import Data, Evaluate, Report, Trainer
from boxseg.jobs.positional import POSITIONAL


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
