"""The tables of the paper, one call each: ours beside the published numbers.

`experiments` says which steps give which row, `steps` what a step is and where its results are, `setting` how
data, network and schedule depart from the paper's; `paper_tables` writes the tables, `published` has the
published numbers.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boxseg.errors import BoxsegError
from boxseg.formats.splits import Splits
from boxseg.jobs import ReproduceJob
from boxseg.options import build_job, flatten, read_yaml, to_plain
from boxseg.results import Result
from boxseg.stages.reproduce.experiments import EXPERIMENTS, RowSource
from boxseg.stages.reproduce.paper_tables import PaperTable
from boxseg.stages.reproduce.setting import describe
from boxseg.stages.reproduce.steps import Plan, Shared, Step
from boxseg.tables import Table
from boxseg.wording import counted

log = logging.getLogger("boxseg")


@dataclass(frozen=True, kw_only=True)
class ReproduceResult(Result):
    """Tables with their numbers.

    Attributes:
        results: The tables.
        folder: Where their files are.
        failed: Whether a row failed.
    """

    results: tuple[PaperTable, ...]
    folder: Path
    failed: bool

    @property
    def status(self) -> int:
        """1 if a row failed."""
        return int(self.failed)

    def tables(self) -> list[Table]:
        """Authors, reproduction and ours side by side."""
        return [result.table() for result in self.results]

    def notes(self) -> list[str]:
        """How to read them, their networks' initial weights, and where they are."""
        notes = []
        for result in self.results:
            told = (*result.notes(), f"Weights: {result.setting.weights}.")
            notes += [f"{result.name}: {note}" for note in told]
        files = [f"{self.folder / result.name}.md" for result in self.results]
        return [*notes, f"Tables, with the commands of every row: {', '.join(files)} (also .csv, .json)"]


@dataclass(frozen=True, kw_only=True)
class ReproducePlan(Result):
    """The steps of tables, none of them run.

    Attributes:
        titles: Of the tables.
        steps: Their steps, in order.
    """

    titles: tuple[str, ...]
    steps: tuple[Step, ...]

    def tables(self) -> list[Table]:
        """Every step, and whether it is done."""
        rows = tuple(
            (f"{place:>3}  {step.about}", "done" if step.done else "to run")
            for place, step in enumerate(self.steps, start=1)
        )
        missing = sum(not step.done for step in self.steps)
        title = f"{counted(len(rows), 'step')}, {missing} to run"
        return [Table(title=title, columns=("step", ""), rows=rows)]

    def notes(self) -> list[str]:
        """The tables, and the command of every step."""
        return [*self.titles, *(step.command for step in self.steps)]


def run(job: ReproduceJob) -> ReproduceResult | ReproducePlan:
    """Run the steps that are missing, and write the tables after each.

    If a step fails, its rows show the reason instead of numbers; the other rows still run.
    """
    shared = Shared()
    tables = [_plan(name, _job_of(name, job), shared) for name in _names(job)]
    steps = tuple(shared.steps.values())
    if job.dry_run:
        return ReproducePlan(titles=tuple(table.setting.title for table in tables), steps=steps)
    failed: dict[Step, str] = {}
    results = _write(tables, failed, job.out)
    for place, step in enumerate(steps, start=1):
        if step.done:
            continue
        reason = next((failed[need] for need in step.needs if need in failed), None)
        if reason is None:
            log.info(f"reproduce: step {place} of {len(steps)}: {step.about}")
            reason = _try(
                step, shared.splits, "; ".join(row for table in tables for row in table.needing(step))
            )
        if reason is not None:
            failed[step] = reason
        results = _write(tables, failed, job.out)
    return ReproduceResult(results=results, folder=job.out, failed=bool(failed))


def _names(job: ReproduceJob) -> list[str]:
    if job.table != "all":
        return [job.table]
    if job.coco is None:
        log.info("reproduce: the table coco is left out; it needs coco=DIR, COCO 2017")
    return [name for name in EXPERIMENTS if name != "coco" or job.coco is not None]


def _job_of(name: str, job: ReproduceJob) -> ReproduceJob:
    """The job of one table.

    `final-resnet` has a recipe of its own: with table=all it replaces the options that still have the values of
    the VGG-16 recipe.
    """
    if job.table != "all":
        return job
    now: dict[str, Any] = flatten(to_plain(job)) | {"table": name}
    theirs = EXPERIMENTS[name].recipe
    if theirs != "voc_vgg16" and job.model.backbone == "vgg16":
        first, second = read_yaml("voc_vgg16", ReproduceJob), read_yaml(theirs, ReproduceJob)
        now |= {key: value for key, value in second.items() if now[key] == first.get(key)}
        now |= {"model.weights": second["model.weights"], "classifier_weights": job.model.weights}
    made = build_job("reproduce", now)
    assert isinstance(made, ReproduceJob)
    return made


def _plan(name: str, job: ReproduceJob, shared: Shared) -> PaperTable:
    experiment = EXPERIMENTS[name]
    plan = Plan(job, own_classifier=experiment.backbone == "vgg16", shared=shared)
    sources: dict[str, list[RowSource]] = {row: [] for row in experiment.published}
    for seed in plan.seeds:
        for row, source in experiment.rows(plan, seed).items():
            sources[row].append(source)
    setting = describe(name, experiment, plan)
    return PaperTable(name=name, experiment=experiment, plan=plan, setting=setting, sources=sources)


def _try(step: Step, splits: Splits, rows: str) -> str | None:
    """Run a step; returns why it failed, or None."""
    try:
        step.run(splits)
    except BoxsegError as error:
        log.error(f"reproduce: {step.about}, needed for {rows}: {error}")
        return f"not run: {error}"
    except BaseException:
        log.error(f"reproduce: stopped in {step.about}, needed for {rows}")
        raise
    return None


def _write(tables: Sequence[PaperTable], failed: dict[Step, str], folder: Path) -> tuple[PaperTable, ...]:
    results = tuple(table.filled(failed) for table in tables)
    for result in results:
        result.write(folder)
    return results
