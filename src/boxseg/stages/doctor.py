"""Check a data set: counts, classes and problems."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from boxseg import formats
from boxseg.dataset import BoxDataset, Problem
from boxseg.formats.check import inspect
from boxseg.formats.frames import turned_lines
from boxseg.formats.problems import Checked
from boxseg.formats.voc_server import check_results
from boxseg.jobs import DoctorJob
from boxseg.progress import Progress
from boxseg.results import Result
from boxseg.tables import Table


@dataclass(frozen=True, kw_only=True)
class DoctorResult(Checked, Result):
    """What `doctor` found.

    Attributes:
        dataset: The data set as it will be used.
        problems: What is broken or doubtful, and what boxseg does about it.
    """

    dataset: BoxDataset
    problems: tuple[Problem, ...]

    def tables(self) -> list[Table]:
        """Counts, classes and problems."""
        data = self.dataset
        boxes = sum(len(sample.labels) for sample in data.samples)
        counts = Table(
            title=f"{data.root}: {data.format}, split {data.split}",
            columns=("", "count"),
            rows=(
                ("images", len(data)),
                ("images that EXIF turns", sum(one.count for one in data.turned)),
                ("images without a box", sum(len(sample.labels) == 0 for sample in data.samples)),
                ("images with ground-truth masks", sum(s.ground_truth is not None for s in data.samples)),
                ("boxes", boxes),
                ("difficult boxes", int(sum(sample.difficult.sum() for sample in data.samples))),
                ("crowds and objects that cannot be read", sum(len(sample.crowds) for sample in data.samples)),
                ("problems", len(self.problems)),
            ),
        )
        return [counts, _classes(data), *([_problems(self.problems, data.root)] if self.problems else [])]

    def notes(self) -> list[str]:
        """How photos that EXIF turns are read, and a summary of the problems."""
        kinds = Counter(problem.action for problem in self.problems)
        found = ", ".join(f"{count} {action}" for action, count in kinds.most_common())
        return [
            *turned_lines(self.dataset.turned),
            f"Problems: {found}." if found else "Nothing is broken.",
        ]


def _classes(data: BoxDataset) -> Table:
    images: Counter[int] = Counter()
    boxes: Counter[int] = Counter()
    for sample in data.samples:
        boxes.update(sample.labels.tolist())
        images.update(set(sample.labels.tolist()))
    rows = ((name, number, images[number], boxes[number]) for number, name in enumerate(data.classes, start=1))
    return Table(title="Classes", columns=("class", "id", "images", "boxes"), rows=tuple(rows))


def _problems(problems: tuple[Problem, ...], root: Path) -> Table:
    files = [p.file.relative_to(root) if p.file.is_relative_to(root) else p.file for p in problems]
    rows = tuple((str(file), p.what, p.action) for file, p in zip(files, problems, strict=True))
    return Table(title="Problems", columns=("file", "what", "what is done"), rows=rows)


@dataclass(frozen=True, kw_only=True)
class SubmissionCheckResult(Checked, Result):
    """What is wrong with results for the VOC server.

    Attributes:
        results: Archive or folder.
        problems: What the server would refuse or score wrong.
    """

    results: Path
    problems: tuple[Problem, ...]

    def notes(self) -> list[str]:
        """Whether it is ready, or the number of problems."""
        found = f"problems: {len(self.problems)}" if self.problems else "ready for the VOC 2012 server"
        return [f"{self.results}: {found}."]


def run(job: DoctorJob) -> DoctorResult | SubmissionCheckResult:
    """Read a data set, or results for the VOC server, and list what is wrong with it."""
    if job.submission is not None:
        found = check_results(job.submission, job.data.root, job.data.split)
        return SubmissionCheckResult(results=job.submission, problems=tuple(found))
    dataset = formats.load(job.data)
    further: list[Problem] = []
    if job.decode:
        with Progress("decode", len(dataset)) as bar:
            further = inspect(dataset, lambda done, _: bar.update(done))
    return DoctorResult(dataset=dataset, problems=(*dataset.problems, *further))
