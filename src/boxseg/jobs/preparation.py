"""Data sets and configuration files, before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from boxseg.config import POSITIONAL, Data


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
