"""Rows with their numbers, and the files that hold them: Markdown, CSV, JSON."""

from __future__ import annotations

import csv
import dataclasses
import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boxseg.atomic import write_json, write_text
from boxseg.runs.folder import versions
from boxseg.stages.reproduce.experiments import Experiment, RowSource
from boxseg.stages.reproduce.published import Numbers, Published
from boxseg.stages.reproduce.setting import Setting
from boxseg.stages.reproduce.steps import Plan, Step, command_line
from boxseg.tables import Table
from boxseg.wording import counted_of

CSV_COLUMNS = (
    "row", "metric", "authors", "reproduction", "ours", "spread", "seeds", "setting", "weights", "commands"
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table.

    Attributes:
        ours: Our numbers in percent: for each metric, one for each seed that is done.
        instead: Text in place of missing numbers.
        remark: A note for the reader.
        commands: The commands that make this row alone.
    """

    name: str
    published: Published
    ours: tuple[Numbers, ...]
    instead: str
    remark: str
    commands: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class PaperTable:
    """A table of the paper.

    Attributes:
        plan: Makes its steps.
        setting: Data and schedule, and how they depart from the paper's.
        sources: Where the numbers of every row come from, one source for each seed.
        rows: The numbers so far.
    """

    name: str
    experiment: Experiment
    plan: Plan
    setting: Setting
    sources: dict[str, list[RowSource]]
    rows: tuple[Row, ...] = ()

    def filled(self, failed: dict[Step, str]) -> PaperTable:
        """The table with the numbers so far, and why others failed."""
        rows = []
        for name, sources in self.sources.items():
            reasons = [failed[source.step] for source in sources if source.step in failed]
            published = self.experiment.published[name]
            rows.append(read_row(name, published, sources, len(self.experiment.metrics), reasons))
        return dataclasses.replace(self, rows=tuple(rows))

    def needing(self, step: Step) -> list[str]:
        """The rows that need a step, as `TABLE: ROW`."""
        return [
            f"{self.name}: {row}"
            for row, sources in self.sources.items()
            if any(source.step is not None and step in source.step.chain() for source in sources)
        ]

    def table(self) -> Table:
        """Authors, reproduction and ours side by side; more than two metrics take a line each."""
        metrics = self.experiment.metrics
        places, many = range(len(metrics)), len(metrics) > 2
        groups = [(place,) for place in places] if many else [tuple(places)]
        head = "" if many else " / ".join(metrics)
        rows = tuple(self._cells(row, group) for row in self.rows for group in groups)
        return Table(title=self.setting.title, columns=(head, "authors", "reproduction", "ours"), rows=rows)

    def _cells(self, row: Row, places: tuple[int, ...]) -> tuple[str | None, ...]:
        metrics, digits = self.experiment.metrics, self.experiment.decimals
        return (
            row.name if len(places) == len(metrics) else f"{row.name}: {metrics[places[0]]}",
            _numbers(row.published.authors, places, digits),
            _numbers(row.published.reproduction, places, digits),
            self._ours(row, places),
        )

    def _ours(self, row: Row, places: tuple[int, ...]) -> str:
        if not any(row.ours):
            return row.instead
        text = " / ".join(_mean(row.ours[place], self.experiment.decimals) for place in places)
        done, seeds = max(map(len, row.ours)), len(self.plan.seeds)
        return text if done == seeds else f"{text} ({counted_of(done, seeds, 'seed')})"

    def notes(self) -> list[str]:
        """Notes for the reader."""
        notes = [f"{row.name}: {row.remark}." for row in self.rows if row.remark]
        if len(self.plan.seeds) > 1:
            seeds = ", ".join(map(str, self.plan.seeds))
            notes.append(f"Mean ± standard deviation over the seeds {seeds}.")
        if self.setting.departures:
            notes.append(f"Not as in the paper: {'; '.join(self.setting.departures)}.")
        return notes

    def write(self, folder: Path) -> None:
        """Write TABLE.md, TABLE.csv and TABLE.json."""
        write_text(folder / f"{self.name}.md", self.markdown())
        write_text(folder / f"{self.name}.csv", self.csv())
        write_json(folder / f"{self.name}.json", self.as_dict())

    def markdown(self) -> str:
        """The table, how to read it, what it was made with, and the commands of every row."""
        parts = [self.table().markdown().rstrip("\n"), "\n".join(f"- {note}" for note in self.notes())]
        known = ", ".join(f"{name} {number}" for name, number in versions().items())
        facts = [*self.setting.facts.items(), ("versions", known)]
        parts.append("Made with:\n\n" + "\n".join(f"- {name}: {fact}" for name, fact in facts))
        parts.append(f"All rows:\n\n```sh\n{command_line('reproduce', self.plan.job)}\n```")
        parts += [
            f"{row.name}:\n\n```sh\n" + "\n".join(row.commands) + "\n```" for row in self.rows if row.commands
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def csv(self) -> str:
        """A line for every row and metric, each with its setting, weights and commands."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for row in self.rows:
            origin = (self.setting.title, self.setting.weights, " && ".join(row.commands))
            for place, metric in enumerate(self.experiment.metrics):
                published = (row.published.authors, row.published.reproduction)
                theirs = [numbers[place] if numbers else "" for numbers in published]
                values = row.ours[place] if row.ours else ()
                ours = f"{statistics.fmean(values):.4f}" if values else ""
                spread = f"{statistics.stdev(values):.4f}" if len(values) > 1 else ""
                writer.writerow((row.name, metric, *theirs, ours, spread, len(values), *origin))
        return text.getvalue()

    def as_dict(self) -> dict[str, Any]:
        """Everything, for TABLE.json."""
        return {
            "table": self.name,
            "about": self.experiment.about,
            "metrics": list(self.experiment.metrics),
            **dataclasses.asdict(self.setting),
            "as_in_the_paper": not self.setting.departures,
            "seeds": list(self.plan.seeds),
            "versions": versions(),
            "command": command_line("reproduce", self.plan.job),
            "rows": [
                {
                    "row": row.name,
                    "authors": row.published.authors,
                    "reproduction": row.published.reproduction,
                    "ours": row.ours,
                    "instead": None if any(row.ours) else row.instead,
                    "remark": row.remark,
                    "commands": row.commands,
                }
                for row in self.rows
            ],
        }


def read_row(
    name: str, published: Published, sources: Sequence[RowSource], metrics: int, failed: Sequence[str]
) -> Row:
    """A row from its sources, one for each seed; `failed` says why steps failed."""
    ours: list[list[float]] = [[] for _ in range(metrics)]
    remarks = [source.why_not for source in sources if source.why_not] + list(failed)
    commands: dict[str, None] = {}
    instead = "not run"
    for source in sources:
        if source.step is None:
            continue
        commands |= dict.fromkeys(step.command for step in source.step.chain())
        if not source.step.done:
            continue
        scores = source.step.scores()
        for values, path in zip(ours, source.scores, strict=False):
            if (value := _look_up(scores, path)) is not None:
                values.append(100 * value)
        if not source.scores:
            instead = "archive"
        fraction = _look_up(scores, "reliable_fraction")
        share = "–" if fraction is None else f"{100 * fraction:.1f}"
        remarks += [source.remark.format(reliable_fraction=share)] if source.remark else []
    return Row(
        name=name,
        published=published,
        ours=tuple(map(tuple, ours)),
        instead=instead,
        remark="; ".join(dict.fromkeys(remarks)),
        commands=tuple(commands),
    )


def _look_up(scores: dict[str, Any], path: str) -> float | None:
    """The number at a dotted name in nested mappings; None if any part is missing."""
    value: Any = scores
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return float(value) if isinstance(value, (int, float)) else None


def _numbers(numbers: Numbers | None, places: tuple[int, ...], digits: int) -> str | None:
    return None if numbers is None else " / ".join(f"{numbers[place]:.{digits}f}" for place in places)


def _mean(values: Numbers, digits: int) -> str:
    if not values:
        return "–"
    mean = f"{statistics.fmean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"
