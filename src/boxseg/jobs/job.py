"""What jobs have in common."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from boxseg.errors import require

# `field(metadata=POSITIONAL)` marks options that the command line also takes as bare words.
POSITIONAL = {"positional": True}

Stage = Literal["adapt", "classify", "label", "segment"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """Base of the jobs. A job describes its own options; these mean the same in several of them.

    Args:
        checkpoint: Segmentation network made by `segment`.
        data: Photos with boxes.
        overwrite: Start again from scratch if OUT holds a run with other options.
        scores: Score results against ground truth, if there is any, and `adapt` on held-out boxes. The same
            command without `scores=false` adds the scores later.
        dry_run: Only list what would be done, and estimate time and disk space from a few real steps.
        scale: Length of the schedules: 0.1 trains a tenth of the iterations; learning-rate drops, the end of
            bootstrapping and checkpoints come correspondingly earlier.
        model: Network.
        adapt: The mask network.
        classify: The box classifier (stage 1).
        label: The labels (stage 2).
        segment: The segmentation network (stage 3).
        evaluate: Scoring (scales, windows and CRF).
        report: The page report.html.
        trainer: Devices, precision and seed.
        cluster: Work on the photos on the workers of a Dask scheduler, such as tcp://host:8786, and not on this
            machine. Photos and OUT must lie on a drive that all see at the same path. Needs the extra `dask`.
    """


class TrainingJob(Job):
    """A job with a schedule, which `scale` shortens."""

    scale: float

    def __post_init__(self) -> None:
        require(
            0 < self.scale < math.inf,
            f"scale must be positive (0.1 is a tenth of the schedule), got {self.scale}",
        )


JobT = TypeVar("JobT", bound=Job)


def job_for(kind: type[JobT], job: Job, **changes: Any) -> JobT:
    """A job of one kind with the sections that it shares with another job."""
    names = {item.name for item in dataclasses.fields(kind)}
    shared = {name: value for name, value in vars(job).items() if name in names}
    return kind(**{**shared, **changes})
