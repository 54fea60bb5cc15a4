"""Background masks, made from the boxes alone, for programs that want them as files."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boxseg import formats
from boxseg.data.geometry import background_map
from boxseg.dataset import Sample
from boxseg.formats.masks import write_grey
from boxseg.formats.problems import check_boxes, report_problems
from boxseg.jobs import BackgroundMasksJob
from boxseg.progress import Progress
from boxseg.results import Result
from boxseg.runs.folder import check_folder
from boxseg.runs.layout import BACKGROUND_MASKS
from boxseg.runs.lock import hold
from boxseg.runs.stage_files import background_mask_files
from boxseg.wording import counted_of

log = logging.getLogger("boxseg")


@dataclass(frozen=True, kw_only=True)
class BackgroundMasksResult(Result):
    """Background masks of a split.

    Attributes:
        folder: Holds ID.png.
        written: Photos whose masks this call wrote.
        present: Photos that had theirs already.
        background: Mean share of background in the masks written, 0..1; None where none was.
    """

    folder: Path
    written: int
    present: int
    background: float | None

    def notes(self) -> list[str]:
        """What was written, and how it is to be read."""
        share = "" if self.background is None else f", {100 * self.background:.1f} % background on average"
        return [
            f"Masks: {self.folder} ({self.written} written, {self.present} there already{share})",
            "1 is background (outside every box), 0 is inside a box.",
        ]


def run(job: BackgroundMasksJob) -> BackgroundMasksResult:
    """Write the masks that are missing."""
    check_folder(job.out)
    dataset = formats.load(job.data)
    check_boxes(dataset)
    report_problems(dataset)
    hold(job.out)
    files = background_mask_files(job.out, dataset.samples)
    missing = dataset.samples if job.overwrite else files.missing()
    present = len(dataset) - len(missing)
    if present:
        log.info(f"background-masks: masks of {counted_of(present, len(dataset), 'photo')} are there already")
    shares = []
    with Progress("background masks", len(missing)) as bar:
        for done, sample in enumerate(missing, start=1):
            mask = background_mask(sample)
            for path in files.of(sample):
                write_grey(path, mask)
            shares.append(float(mask.mean()))
            bar.update(done)
    return BackgroundMasksResult(
        folder=job.out / BACKGROUND_MASKS,
        written=len(missing),
        present=present,
        background=float(np.mean(shares)) if shares else None,
    )


def background_mask(sample: Sample) -> NDArray[np.uint8]:
    """M: (H, W) uint8, 1 outside every box and 0 inside; crowds, which are no sure background, are 0 too.

    Source: Oh et al., BANA, CVPR 2021, section 3.1.
    """
    boxes = np.concatenate([sample.boxes, sample.crowds])
    return background_map(boxes, sample.height, sample.width).astype(np.uint8)
