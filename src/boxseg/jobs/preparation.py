"""Data sets and configuration files, before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from boxseg.config import Data
from boxseg.errors import require_cluster
from boxseg.jobs.job import POSITIONAL, Job


@dataclass(frozen=True, kw_only=True)
class DoctorJob(Job):
    """Check a data set: counts, classes, and everything that is broken.

    Args:
        format: `table` for people; `json` for programs: one JSON object, and nothing else on the standard
            output. The format of the data is `data.format`.
        decode: Read photos and masks completely, not just their headers.
        out: Folder to remember in what was read. The same command then goes on where it was stopped, and of a
            large data set any command with this `out`, or with one in it, starts in seconds (with the extra
            `arrow`), as long as no file of the data has changed.
        submission: Check an archive (.tgz) or folder of results for the VOC 2012 evaluation server instead,
            against the photos of `data.split`.
    """

    data: Data = field(metadata=POSITIONAL)
    format: Literal["table", "json"] = "table"
    decode: bool = True
    out: Path | None = None
    submission: Path | None = None
    cluster: str | None = None

    def __post_init__(self) -> None:
        require_cluster(self.cluster)


@dataclass(frozen=True, kw_only=True)
class BackgroundMasksJob(Job):
    """Write masks of what lies outside all boxes, for other programs; boxseg itself does not need them.

    Args:
        out: Output folder; masks are written to OUT/BgMaskfromBoxes/ID.png: 8-bit grey of the photo's size, 1
            outside all boxes and 0 inside.
        overwrite: Write existing masks again.
    """

    data: Data
    out: Path
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class DownloadJob(Job):
    """Set up VOC 2012 or COCO 2017. Run again, it continues where it stopped and keeps what is complete.

    Args:
        dataset: `voc` (PASCAL VOC 2012) or `coco` (COCO 2017).
        out: Folder for the data set: OUT/VOCdevkit/VOC2012, or OUT/annotations, OUT/train2017 and OUT/val2017.
            Archives go to OUT/downloads.
        only: Steps to do, such as `only=val,train`. Steps of voc: trainval, augmented, train_aug, test; of
            coco: annotations, val, train.
        mirror: Folder or URL with the archives under their file names, in place of the original hosts.
        test_archive: VOC only: path or URL of VOC2012test.tar, which the evaluation server offers to registered
            users.
        keep_archives: Keep the archives in OUT/downloads after unpacking.
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
class ConvertConfigJob(Job):
    """Turn a configuration file of BANA's public code, or of its reproduction, into options of boxseg.

    Args:
        file: The YAML file of that code, with sections such as DATA, MODEL and SOLVER.
        out: File to write. By default FILE.boxseg.yaml beside it.
        stage: Stage that the file is for; `auto` goes by its name (stage1, stage2, stage3), else by its keys.
        overwrite: Replace `out` if it exists.
    """

    file: Path = field(metadata=POSITIONAL)
    out: Path | None = None
    stage: Literal["auto", "classify", "label", "segment"] = "auto"
    overwrite: bool = False
