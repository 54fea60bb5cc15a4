"""The setting a table was made with, and where it departs from the paper's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from boxseg.config import Classify, Model, Segment
from boxseg.dataset import VOC_CLASSES, BoxDataset
from boxseg.jobs import ReproduceJob
from boxseg.nn.weights.loading import weight_file
from boxseg.options import default_options, flatten, read_yaml, to_plain
from boxseg.stages.reproduce import published
from boxseg.stages.reproduce.experiments import Experiment
from boxseg.stages.reproduce.steps import Plan
from boxseg.training.schedule import schedule_length
from boxseg.wording import counted

# Options not compared one by one: together they give a schedule's length or a network's initial weights.
_LENGTH = ("iterations", "epochs")
_START = ("backbone", "weights")
_HEAD = ("head", "temperature")  # options of a network that a classifier does not have


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Data, networks and schedules of a table.

    Attributes:
        title: The table's title; names what is not the paper's.
        weights: Initial weights of each network, on one line.
        facts: Details, by name.
        departures: Every departure from the paper, in words.
    """

    title: str
    weights: str
    facts: dict[str, str]
    departures: tuple[str, ...]


def describe(name: str, experiment: Experiment, plan: Plan) -> Setting:
    """The setting of a table."""
    job = plan.job
    train, scored = plan.shared.load(plan.train), plan.shared.load(experiment.scored(plan))
    networks = _networks(experiment, plan)
    lengths = _lengths(experiment, job, len(train))
    departures = {
        "data": _data_departures(experiment, train, scored),
        "network": _network_departures(experiment, networks),
        "schedule": _schedule_departures(experiment, lengths),
        "options": _option_departures(experiment, job, networks),
    }
    backbone = job.model.backbone if "segment" in experiment.sections else plan.classifier_model.backbone
    title = (
        f"{name}: {counted(len(scored), 'photo')} of {scored.split}, trained on {len(train):,} of "
        f"{job.data.split}, {counted(len(train.classes), 'class')}, {backbone}, "
        f"{_listed(lengths.values())} iterations"
    )
    other = [kind for kind, words in departures.items() if words]
    title += f": NOT the paper's {_listed(other, ' or ')}" if other else ": the paper's setting"
    return Setting(
        title=title,
        weights="; ".join(f"{kind} {model.backbone}: {model.weights}" for kind, model in networks.items()),
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
        facts[f"schedule of {section}"] = (
            f"{counted(iterations, 'iteration')} of {counted(options.batch, 'crop')} of "
            f"{options.augment.crop} pixels: "
            f"{iterations * options.batch / len(train):.1f} passes over the photos"
        )
    facts["seeds"] = ", ".join(map(str, plan.seeds))
    return facts


def _data_departures(experiment: Experiment, train: BoxDataset, scored: BoxDataset) -> list[str]:
    words = []
    if train.classes != VOC_CLASSES:
        words.append(f"{counted(len(train.classes), 'class')} that are not VOC's 20")
    if len(train) != published.TRAIN_AUG:
        known = " (VOC's own train, without the extra annotations)" if len(train) == published.TRAIN else ""
        words.append(f"{counted(len(train), 'photo')} to train on{known}, the paper {published.TRAIN_AUG:,}")
    if len(scored) != experiment.paper_scored:
        words.append(f"{counted(len(scored), 'photo')} scored, the paper {experiment.paper_scored:,}")
    return words


def _networks(experiment: Experiment, plan: Plan) -> dict[str, Model]:
    networks = {"classifier": plan.classifier_model}
    return networks | ({"network": plan.job.model} if "segment" in experiment.sections else {})


def _network_departures(experiment: Experiment, networks: dict[str, Model]) -> list[str]:
    words = []
    theirs = (experiment.backbone, experiment.weights)
    paper = {"classifier": ("vgg16", published.IMAGENET), "network": theirs}
    for name, model in networks.items():
        backbone, weights = paper[name]
        if model.backbone != backbone:
            words.append(f"{name} {model.backbone}, the paper {backbone}")
        if _start(model) != weights:
            words.append(f"{name} starts from {_start(model)}, the authors' from {weights}")
    return words


def _start(model: Model) -> str:
    """A network's initial weights; what a file holds is unknown."""
    if model.weights == "none":
        return "random weights"
    if weight_file(model.weights):
        return f"the file {model.weights}"
    return "the weights published under its name" if ":" in model.backbone else published.IMAGENET


def _schedule_departures(experiment: Experiment, lengths: dict[str, int]) -> list[str]:
    recipe = read_yaml(experiment.recipe, ReproduceJob)
    paper = {section: recipe[f"{section}.iterations"] for section in lengths}
    return [
        f"{section}: {counted(length, 'iteration')}, the paper {paper[section]:,}"
        for section, length in lengths.items()
        if length != paper[section]
    ]


def _option_departures(experiment: Experiment, job: ReproduceJob, networks: dict[str, Model]) -> list[str]:
    recipe = default_options(ReproduceJob) | read_yaml(experiment.recipe, ReproduceJob)
    in_use = (*(f"{section}." for section in experiment.sections), "trainer.precision")
    lengths = tuple(f"{section}.{key}" for section in experiment.sections for key in _LENGTH)
    now = [item for item in flatten(to_plain(job)).items() if item[0].startswith(in_use)]
    words = [
        f"{key}={_plain(value)}, the paper {_plain(recipe[key])}"
        for key, value in (*_model_options(networks), *now)
        if key not in (*experiment.set_by_rows, *lengths) and value != recipe[key]
    ]
    return list(dict.fromkeys(words))


def _model_options(networks: dict[str, Model]) -> Iterator[tuple[str, Any]]:
    """Options of the networks in use, except their initial weights."""
    for name, model in networks.items():
        others = _START if name == "network" else (*_START, *_HEAD)
        yield from ((f"model.{key}", value) for key, value in to_plain(model).items() if key not in others)


def _lengths(experiment: Experiment, job: ReproduceJob, images: int) -> dict[str, int]:
    sections: dict[str, Classify | Segment] = {"classify": job.classify, "segment": job.segment}
    return {
        name: schedule_length(item, images, job.scale)
        for name, item in sections.items()
        if name in experiment.sections
    }


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _listed(items: Any, last: str = " and ") -> str:
    """As in a sentence: `a, b and c`."""
    words = [f"{item:,}" if isinstance(item, int) else str(item) for item in items]
    return last.join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
