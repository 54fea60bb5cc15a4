"""Check a data set: counts, classes, decisions, problems, and what to do next."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from boxseg.config import Data
from boxseg.dataset import BoxDataset, Problem, Sample
from boxseg.formats.check import inspect_photos
from boxseg.formats.frames import turned_lines
from boxseg.formats.object_counts import count_classes, count_sizes
from boxseg.formats.problems import Checked
from boxseg.formats.sample_counts import all_boxes, crowd_count, truth_flags
from boxseg.formats.splits import Splits
from boxseg.formats.tightness import Tightness, measure_tightness
from boxseg.formats.voc_server import check_results
from boxseg.jobs import DoctorJob
from boxseg.progress import Progress
from boxseg.results import Result
from boxseg.runs.next_steps import NextStep, next_steps
from boxseg.spreading.place import Needs, place_of
from boxseg.tables import Table
from boxseg.wording import counted

if TYPE_CHECKING:
    from boxseg.runs.decoded import Decoded

log = logging.getLogger("boxseg")

Form = Literal["table", "json"]

# Decoding so many photos takes minutes: then it is said how to go on when it is stopped.
FEWEST_TO_TELL = 100_000
# Photos whose decoding is recorded together: it takes seconds.
TOGETHER = 1024


@dataclass(frozen=True, kw_only=True)
class DoctorResult(Checked, Result):
    """What `doctor` found.

    Attributes:
        dataset: The data set as it will be used.
        problems: What is broken or doubtful, and what boxseg does about it.
        tightness: How well the boxes fit the outlines of their objects; None without such outlines.
        next: Commands that may come next.
        form: What the command prints: `table` or `json`.
    """

    dataset: BoxDataset
    problems: tuple[Problem, ...]
    tightness: Tightness | None = None
    next: tuple[NextStep, ...] = ()
    form: Form = "table"

    def to_dict(self) -> dict[str, Any]:
        """What `boxseg doctor DIR format=json` prints, as values of JSON; docs/data.md has the keys."""
        data = self.dataset
        sizes = {each.name: {"images": each.images, "boxes": each.boxes} for each in count_sizes(data)}
        return {
            "root": str(data.root),
            "format": data.format,
            "split": data.split,
            "annotations": None if data.annotations is None else str(data.annotations),
            **_counts(data),
            "classes": [
                {
                    "id": number,
                    "name": each.name,
                    "images": each.images,
                    "boxes": each.boxes,
                    "small": each.small,
                }
                for number, each in enumerate(count_classes(data), start=1)
            ],
            "own_classes": _own_classes(data),
            "sizes": sizes,
            "turned_by_exif": [asdict(one) for one in data.turned],
            "decisions": [asdict(decision) for decision in data.decisions],
            "tightness": None if self.tightness is None else _tightness_dict(self.tightness),
            "problems": _problem_dicts(self.problems),
            "next": [asdict(step) for step in self.next],
        }

    def output(self) -> str | None:
        """The JSON, if it was asked for."""
        return json.dumps(self.to_dict(), indent=1) if self.form == "json" else None

    def tables(self) -> list[Table]:
        """Counts, decisions, classes, sizes, tightness and problems."""
        data = self.dataset
        counts = Table(
            title=f"{data.root}: {data.format}, split {data.split}",
            columns=("", "count"),
            rows=(
                *((name.replace("_", " "), count) for name, count in _counts(data).items()),
                ("problems", len(self.problems)),
            ),
        )
        decisions = tuple((each.about, each.decided, each.why) for each in data.decisions)
        return [
            counts,
            *(
                [Table(title="Decisions", columns=("about", "decided", "why"), rows=decisions)]
                if decisions
                else []
            ),
            _classes(data),
            _sizes(data),
            *([_tightness_table(self.tightness)] if self.tightness else []),
            *([_problems(self.problems, data.root)] if self.problems else []),
        ]

    def notes(self) -> list[str]:
        """How turned photos are read, a summary of the problems, how tight boxes are, and what to do next."""
        kinds = Counter(problem.action for problem in self.problems)
        found = ", ".join(f"{count} {action}" for action, count in kinds.most_common())
        lines = turned_lines(self.dataset.turned)
        lines.append(f"Problems: {found}." if found else "Nothing is broken.")
        if self.tightness:
            verdict = self.tightness.verdict
            lines.append(
                f"{verdict[0].upper()}{verdict[1:]} (measured on {counted(self.tightness.objects, 'object')})."
            )
        if self.next:
            lines += ["Next:", *(f"  {step.command}  # {step.what}" for step in self.next)]
        return lines


def _counts(data: BoxDataset) -> dict[str, int]:
    found = all_boxes(data.samples)
    return {
        "images": len(data),
        "images_turned_by_exif": sum(one.count for one in data.turned),
        "images_without_a_box": int((found.counts == 0).sum()),
        "images_with_ground_truth": int(truth_flags(data.samples).sum()),
        "boxes": len(found.labels),
        "difficult_boxes": int(found.difficult.sum()),
        "crowds_and_objects_that_cannot_be_read": crowd_count(data.samples),
    }


def _classes(data: BoxDataset) -> Table:
    rows = (
        (each.name, number, each.images, each.boxes, each.share_small)
        for number, each in enumerate(count_classes(data), start=1)
    )
    columns = ("class", "id", "images", "boxes", "% small (< 32²)")
    return Table(title="Classes", columns=columns, rows=tuple(rows))


def _sizes(data: BoxDataset) -> Table:
    counts = count_sizes(data)
    every = sum(each.boxes for each in counts)
    limits = {"small": "< 32² pixels", "medium": "to 96²", "large": "> 96²"}
    rows = tuple(
        (f"{each.name} ({limits[each.name]})", each.images, each.boxes, each.boxes / every if every else None)
        for each in counts
    )
    return Table(
        title="Sizes, by the areas of boxes", columns=("size", "images", "boxes", "% of boxes"), rows=rows
    )


def _own_classes(data: BoxDataset) -> list[dict[str, Any]] | None:
    choice = data.choice
    if choice is None:
        return None
    parts = zip(choice.own, choice.labels, choice.boxes, strict=True)
    return [{"name": name, "id": label or None, "boxes": boxes} for name, label, boxes in parts]


def _tightness_dict(found: Tightness) -> dict[str, Any]:
    return {**asdict(found), "loose": found.is_loose, "verdict": found.verdict}


def _tightness_table(found: Tightness) -> Table:
    rows = tuple(
        (name, f"{side.pixels:.1f}", f"{side.pixels_90:.1f}", side.share, side.share_90)
        for name, side in found.sides.items()
    )
    return Table(
        title=f"From the sides of boxes to the outlines of {counted(found.objects, 'object')}",
        columns=("side", "pixels: median", "90th percentile", "% of the box: median", "90th percentile"),
        rows=rows,
    )


def _problem_dicts(problems: tuple[Problem, ...]) -> list[dict[str, str]]:
    return [{"file": str(p.file), "kind": p.kind, "detail": p.detail, "action": p.action} for p in problems]


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
        form: What the command prints: `table` or `json`.
    """

    results: Path
    problems: tuple[Problem, ...]
    form: Form = "table"

    def to_dict(self) -> dict[str, Any]:
        """What `format=json` prints."""
        return {"results": str(self.results), "problems": _problem_dicts(self.problems)}

    def output(self) -> str | None:
        """The JSON, if it was asked for."""
        return json.dumps(self.to_dict(), indent=1) if self.form == "json" else None

    def notes(self) -> list[str]:
        """Whether it is ready, or the number of problems."""
        found = f"problems: {len(self.problems)}" if self.problems else "ready for the VOC 2012 server"
        return [f"{self.results}: {found}."]


def run(job: DoctorJob) -> DoctorResult | SubmissionCheckResult:
    """Read a data set, or results for the VOC server, and list what is wrong with it."""
    if job.submission is not None:
        found = check_results(job.submission, job.data.root, job.data.split)
        return SubmissionCheckResult(results=job.submission, problems=tuple(found), form=job.format)
    place = place_of(job.cluster)
    dataset, known = (Splits().load(job.data), None) if job.out is None else _read_with(job.out, job.data)
    further: list[Problem] = []
    if job.decode and place.here:
        if known is None and len(dataset) >= FEWEST_TO_TELL:
            log.info(
                f"doctor: decoding {counted(len(dataset), 'photo')}; with out=FOLDER, the same command would "
                "go on where it was stopped (decode=false looks at headers alone)"
            )
        further = _decoded(dataset, known)
    elif job.decode:
        # On a cluster a chunk has one thread: workers take several at once.
        work = partial(_decode, classes=dataset.classes, threads=1)
        parts = place.share(work, dataset.samples, "decode", needs=Needs(truth=True))
        further = [each for part in parts for each in part]
        if further:
            # Another machine has another current folder, and names files from the root.
            names = {sample.image.absolute(): sample.image for sample in dataset.samples}
            further = [replace(each, file=names.get(each.file, each.file)) for each in further]
    tightness = measure_tightness(dataset.samples)
    return DoctorResult(
        dataset=dataset,
        problems=(*dataset.problems, *further),
        tightness=tightness,
        next=tuple(next_steps(job.data, dataset, tightness)),
        form=job.format,
    )


def _read_with(out: Path, data: Data) -> tuple[BoxDataset, Decoded | None]:
    """The data set, with an index in a folder, and which of its photos an earlier call has decoded."""
    # Few give a folder, and what looks after one takes a tenth of the time that this verb takes to start.
    from boxseg.runs.data_index import IndexedSplits
    from boxseg.runs.decoded import Decoded
    from boxseg.runs.folder import check_folder
    from boxseg.runs.lock import hold

    splits = IndexedSplits(out)
    check_folder(out)
    dataset = splits.load(data)
    out.mkdir(parents=True, exist_ok=True)
    hold(out)
    splits.keep(out)
    state = splits.state(data)
    return dataset, None if state is None else Decoded(out, state, data)


def _decoded(dataset: BoxDataset, known: Decoded | None) -> list[Problem]:
    """Read photos and masks completely, but for those that an earlier call has read."""
    samples, problems = dataset.samples, list[Problem]()
    with Progress("decode", len(samples)) as bar:
        for first in range(0, len(samples), TOGETHER):
            found = known.found(first) if known is not None else None
            part = samples[first : first + TOGETHER]
            if found is None:
                found = inspect_photos(part, dataset.classes, lambda done, _, at=first: bar.update(at + done))  # type: ignore[misc]
                if known is not None:
                    known.add(first, found)
            bar.update(first + len(part))
            problems += found
    return problems


def _decode(samples: Sequence[Sample], classes: tuple[str, ...], threads: int | None) -> list[Problem]:
    """Read photos and masks completely; returns what is wrong with them."""
    with Progress("decode", len(samples)) as bar:
        return inspect_photos(samples, classes, lambda done, _: bar.update(done), threads)
