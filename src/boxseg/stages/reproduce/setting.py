"""What a table was really made with, and where that is not the paper's setting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from boxseg.config import Classify, Segment
from boxseg.dataset import VOC_CLASSES, BoxDataset
from boxseg.jobs import ReproduceJob
from boxseg.options import default_options, flatten, read_yaml, to_plain
from boxseg.stages.reproduce import published
from boxseg.stages.reproduce.experiments import Experiment
from boxseg.stages.reproduce.steps import Plan
from boxseg.stages.training import schedule_length

# Options that make the length of a schedule, which is compared as such.
_LENGTH = ("iterations", "epochs")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Data, networks and schedules of a table.

    Attributes:
        title: The table's title; says what departs from the paper.
        facts: Particulars, by name.
        departures: Every departure from the paper, in words.
    """

    title: str
    facts: dict[str, str]
    departures: tuple[str, ...]


def describe(name: str, experiment: Experiment, plan: Plan) -> Setting:
    """The setting of a table."""
    job = plan.job
    train, scored = plan.shared.load(plan.train), plan.shared.load(experiment.scored(plan))
    departures = {
        "data": _data_departures(experiment, train, scored),
        "network": _network_departures(experiment, plan),
        "schedule": _schedule_departures(experiment, job, len(train)),
        "options": _option_departures(experiment, job),
    }
    lengths = _lengths(experiment, job, len(train))
    backbone = job.model.backbone if "segment" in experiment.sections else plan.classifier_model.backbone
    title = (
        f"{name}: {len(scored):,} photos of {scored.split}, trained on {len(train):,} of {job.data.split}, "
        f"{len(train.classes)} classes, {backbone}, {_listed(lengths.values())} iterations"
    )
    other = [kind for kind, words in departures.items() if words]
    title += f": NOT the paper's {_listed(other, ' or ')}" if other else ": the paper's setting"
    return Setting(
        title=title,
        facts=_facts(plan, train, scored, lengths),
        departures=tuple(words for kind in departures.values() for words in kind),
    )


def _facts(plan: Plan, train: BoxDataset, scored: BoxDataset, lengths: dict[str, int]) -> dict[str, str]:
    job = plan.job
    facts = {
        "training photos": f"{len(train):,} ({train.split} of {train.root})",
        "scored photos": f"{len(scored):,} ({scored.split} of {scored.root})",
        "classes": f"{len(train.classes)}: {', '.join(train.classes)}",
        "classifier": f"{plan.classifier_model.backbone}, weights {plan.classifier_model.weights}",
    }
    if "segment" in lengths:
        facts["network"] = f"{job.model.backbone}, weights {job.model.weights}"
    for section, iterations in lengths.items():
        options = getattr(job, section)
        passes = iterations * options.batch / len(train)
        facts[f"schedule of {section}"] = (
            f"{iterations:,} iterations of {options.batch} crops of {options.augment.crop} pixels: "
            f"{passes:.1f} passes over the photos"
        )
    facts["seeds"] = ", ".join(map(str, plan.seeds))
    return facts


def _data_departures(experiment: Experiment, train: BoxDataset, scored: BoxDataset) -> list[str]:
    words = []
    if train.classes != VOC_CLASSES:
        words.append(f"{len(train.classes)} classes that are not VOC's 20")
    if len(train) != published.TRAIN_AUG:
        known = " (VOC's own train, without the extra annotations)" if len(train) == published.TRAIN else ""
        words.append(f"{len(train):,} photos to train on{known}, the paper {published.TRAIN_AUG:,}")
    if len(scored) != experiment.paper_scored:
        words.append(f"{len(scored):,} photos scored, the paper {experiment.paper_scored:,}")
    return words


def _network_departures(experiment: Experiment, plan: Plan) -> list[str]:
    words, model, classifier = [], plan.job.model, plan.classifier_model
    if classifier.backbone != "vgg16":
        words.append(f"classifier {classifier.backbone}, the paper vgg16")
    if "segment" in experiment.sections and model.backbone != experiment.backbone:
        words.append(f"network {model.backbone}, the paper {experiment.backbone}")
    if "none" in (classifier.weights, model.weights):
        words.append("starts from random weights, the paper from ImageNet's")
    return words


def _schedule_departures(experiment: Experiment, job: ReproduceJob, images: int) -> list[str]:
    recipe = read_yaml(experiment.recipe, ReproduceJob)
    return [
        f"{section}: {length:,} iterations, the paper {recipe[f'{section}.iterations']:,}"
        for section, length in _lengths(experiment, job, images).items()
        if length != recipe[f"{section}.iterations"]
    ]


def _option_departures(experiment: Experiment, job: ReproduceJob) -> list[str]:
    """Options of the sections in use whose values are not those of the paper's recipe."""
    recipe = default_options(ReproduceJob) | read_yaml(experiment.recipe, ReproduceJob)
    now = flatten(to_plain(job))
    lengths = tuple(f"{section}.{key}" for section in experiment.sections for key in _LENGTH)
    in_use = tuple(f"{section}." for section in experiment.sections)
    if "segment" in experiment.sections:
        in_use += ("model.head", "model.temperature")
    return [
        f"{key}={_plain(now[key])}, the paper {_plain(value)}"
        for key, value in recipe.items()
        if key.startswith(in_use) and key not in (*experiment.set_by_rows, *lengths) and now[key] != value
    ]


def _lengths(experiment: Experiment, job: ReproduceJob, images: int) -> dict[str, int]:
    """Iterations of each training of a table, by section."""
    sections: dict[str, Classify | Segment] = {"classify": job.classify, "segment": job.segment}
    return {
        name: schedule_length(item, images, job.scale)
        for name, item in sections.items()
        if name in experiment.sections
    }


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _listed(items: Any, last: str = " and ") -> str:
    """Words as a list in a sentence."""
    words = [f"{item:,}" if isinstance(item, int) else str(item) for item in items]
    return last.join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
