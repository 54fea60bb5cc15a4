"""Problems of a data set, as tables and log lines."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from boxseg.dataset import BoxDataset, Problem
from boxseg.errors import DataError
from boxseg.formats.frames import turned_lines
from boxseg.formats.sample_counts import box_counts
from boxseg.tables import Table
from boxseg.wording import counted

log = logging.getLogger("boxseg")


def check_boxes(dataset: BoxDataset) -> None:
    """Refuse a split without a single box: its labels would be background alone.

    Raises:
        DataError: No photo has a box.
    """
    if box_counts(dataset.samples).any():
        return
    first = dataset.problems[0] if dataset.problems else None
    why = (
        f"; the first of {counted(len(dataset.problems), 'problem')} is {first.file}: {first.what}"
        if first
        else ""
    )
    raise DataError(
        f"no image of split {dataset.split} in {dataset.root} has a box "
        f"({counted(len(dataset), 'image')}{why}): nothing "
        f"can be labelled or learnt; `boxseg doctor data.root={dataset.root} data.split={dataset.split}` shows "
        "what was read"
    )


class Checked:
    """Base of results with `problems`: they are its table, and make the exit status 1."""

    problems: tuple[Problem, ...]

    @property
    def status(self) -> int:
        """1 if there is any problem."""
        return int(bool(self.problems))

    def tables(self) -> list[Table]:
        """The problems."""
        return [problem_table(self.problems)] if self.problems else []


def problem_table(problems: Sequence[Problem], shown: int = 5) -> Table:
    """The first few problems of each kind, and how many more there are."""
    kinds = Counter(problem.kind for problem in problems)
    rows: list[tuple[str, str, str]] = []
    for kind, count in kinds.items():
        alike = [problem for problem in problems if problem.kind == kind]
        rows += [(str(problem.file), problem.what, problem.action) for problem in alike[:shown]]
        if count > shown:
            rows.append((f"… and {count - shown} more", kind, alike[0].action))
    return Table(title="Problems", columns=("file", "what", "what is needed"), rows=tuple(rows))


def report_problems(dataset: BoxDataset, shown: int = 3) -> None:
    """Log how photos that EXIF turns are read, how many items have problems, and the first few of them."""
    for line in turned_lines(dataset.turned):
        log.info(f"{dataset.split}: {line}")
    if not dataset.problems:
        return
    count = len(dataset.problems)
    log.warning(f"{dataset.split}: {counted(count, 'problem')} in {dataset.root}; `boxseg doctor` lists them:")
    for problem in dataset.problems[:shown]:
        log.warning(f"  {problem.file}: {problem.what} ({problem.action})")
    if count > shown:
        log.warning(f"  … and {count - shown} more")
