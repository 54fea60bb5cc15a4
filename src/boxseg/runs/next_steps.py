"""What may come after a look at a data set, as commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from boxseg.config import Data
from boxseg.dataset import BoxDataset
from boxseg.formats.sample_counts import box_counts
from boxseg.formats.tightness import Tightness
from boxseg.jobs import ConvertJob, Job, LabelJob, RunJob
from boxseg.options import to_words


@dataclass(frozen=True, kw_only=True)
class NextStep:
    """A command that may come next.

    Attributes:
        command: As it is typed.
        what: What it does.
    """

    command: str
    what: str


def next_steps(data: Data, dataset: BoxDataset, tightness: Tightness | None) -> Iterator[NextStep]:
    """Commands that make sense for a data set; none without a box.

    Args:
        data: How it was asked for; the commands have the same options.
        dataset: What was read.
        tightness: How tight its boxes are, if that is known.
    """
    if not box_counts(dataset.samples).any():
        return
    scored = ", and their scores" if dataset.has_ground_truth else ""
    yield _step("label", LabelJob(data=data, out=Path("masks")), f"a mask for every box{scored}")
    yield _step("run", RunJob(data=data, out=Path("runs/first")), "masks, and a network trained on them")
    if tightness is not None and tightness.is_loose:
        tighten = ConvertJob(
            source=data.root,
            out=Path("tight"),
            format="coco",
            which="ground-truth",
            tighten=True,
            data=None if data == Data(root=data.root) else data,
        )
        yield _step("convert", tighten, "the same photos with boxes around the outlines")


def _step(verb: str, job: Job, what: str) -> NextStep:
    return NextStep(command=shlex.join(["boxseg", *to_words(verb, job)]), what=what)
