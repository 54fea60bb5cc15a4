"""What a run folder holds, whichever stage made it."""

from __future__ import annotations

import csv
import dataclasses
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxseg import formats
from boxseg.config import Data, Evaluate, Trainer
from boxseg.dataset import BoxDataset
from boxseg.errors import BoxsegError, DataError, did_you_mean
from boxseg.jobs import ClassifyJob, LabelJob, RunJob, SegmentJob
from boxseg.options import build_job, flatten, load_mapping
from boxseg.stages.scoring import label_sources
from boxseg.stages.segment import predictions, validation

log = logging.getLogger("boxseg")

RunKind = ClassifyJob | LabelJob | SegmentJob | RunJob

# Files of which a stage is known by; the first option that is in config.yaml names the stage that wrote it.
_VERBS = {"checkpoint": "label", "labels": "segment", "segment": "run", "classify": "classify"}


@dataclass(frozen=True, kw_only=True)
class Split:
    """Photos of one split, and where their labels are.

    Attributes:
        dataset: The photos.
        sources: By layer (`y_crf`, `y_ret`, `labels`, `prediction`): a folder of masks ID.png.
    """

    dataset: BoxDataset
    sources: dict[str, Path]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What there is of a run.

    Attributes:
        folder: The run folder.
        verb: What made it.
        data: Its data set.
        stages: Folders of the stages that it holds: `classify`, `label`, `segment`.
        splits: Its photos; empty where the data set cannot be read.
        evaluate: Test-time options of its network.
        trainer: Where the network runs.
        missing: What is not there, and how to get it.
    """

    folder: Path
    verb: str
    data: Data
    stages: dict[str, Path]
    splits: tuple[Split, ...]
    evaluate: Evaluate = field(default_factory=Evaluate)
    trainer: Trainer = field(default_factory=Trainer)
    missing: tuple[str, ...] = ()


def read_parts(folder: Path, root: Path | None) -> Parts:
    """Look through a run folder.

    Args:
        folder: Made by `run`, `demo`, `classify`, `label` or `segment`.
        root: Where the data set is, instead of where the run had it.

    Raises:
        DataError: It is no run folder.
        ConfigError: Its config.yaml cannot be used.
    """
    verb, job = read_job(folder)
    data = dataclasses.replace(job.data, root=root) if root else job.data
    stages = find_stages(folder, verb, job)
    missing: list[str] = []
    splits: list[Split] = []
    for split in [data] + ([validation(data)] if "segment" in stages and data.val_split else []):
        loaded = _load(split)
        if isinstance(loaded, BoxDataset):
            splits.append(Split(dataset=loaded, sources=_sources(split.split, data, stages)))
        else:
            mend = "" if splits else " Is the data set elsewhere? Say where: boxseg report RUN data=DIR"
            missing.append(f"No photos of split {split.split}: {loaded}.{mend}")
    return Parts(
        folder=folder,
        verb=verb,
        data=data,
        stages=stages,
        splits=tuple(splits),
        evaluate=getattr(job, "evaluate", Evaluate()),
        trainer=job.trainer,
        missing=(*missing, *_what_is_missing(verb, stages)),
    )


def read_job(folder: Path) -> tuple[str, RunKind]:
    """The verb and the options that made a folder.

    Raises:
        DataError: There is no such folder, or none that a stage made.
        ConfigError: Its config.yaml cannot be used.
    """
    if not folder.is_dir():
        siblings = [path.name for path in folder.absolute().parent.glob("*") if path.is_dir()]
        raise DataError(f"{folder}: no such folder{did_you_mean(folder.name, siblings)}, expected one of a run")
    file = folder / "config.yaml"
    if not file.is_file():
        raise DataError(
            f"{folder} holds no run: expected config.yaml, as run, demo, classify, label and segment write it"
        )
    options = load_mapping(file)
    verb = next((verb for key, verb in _VERBS.items() if key in options), None)
    if verb is None or "images" in options or "data" not in options:
        raise DataError(f"{file} is not of run, demo, classify, label or segment: there is nothing to show")
    job = build_job(verb, flatten(options))
    assert isinstance(job, ClassifyJob | LabelJob | SegmentJob | RunJob)
    return verb, job


def find_stages(folder: Path, verb: str, job: RunKind) -> dict[str, Path]:
    """Folders of the stages that have left something, by stage."""
    if verb == "run":
        return {name: path for name in ("classify", "label", "segment") if has_config(path := folder / name)}
    stages = {verb: folder}
    if isinstance(job, SegmentJob) and has_config(Path(job.labels)):
        stages = {"label": Path(job.labels), **stages}
    return stages


def has_config(folder: Path) -> bool:
    """Whether a stage has begun in a folder."""
    return (folder / "config.yaml").is_file()


def _load(data: Data) -> BoxDataset | DataError:
    try:
        return formats.load(data)
    except DataError as error:
        return error


def _sources(name: str, data: Data, stages: dict[str, Path]) -> dict[str, Path]:
    """Folders of masks of a split."""
    sources: dict[str, Path] = {}
    if "label" in stages and name == _split_of(stages["label"], data):
        try:
            sources |= label_sources(stages["label"])
        except DataError:
            log.info(f"report: {stages['label']} holds no labels yet")
    if "segment" in stages:
        sources["prediction"] = predictions(stages["segment"], name)
    return sources


def _split_of(folder: Path, data: Data) -> str:
    """Which split a folder has labels of."""
    try:
        return read_job(folder)[1].data.split
    except BoxsegError:
        return data.split


def _what_is_missing(verb: str, stages: dict[str, Path]) -> list[str]:
    lines = []
    if "label" not in stages and verb == "run":
        lines.append("No labels yet: the same boxseg run, started again, goes on where it stopped.")
    elif verb == "label":
        lines.append("No segmentation network: this folder is of boxseg label, which trains none.")
    elif "segment" not in stages and verb == "run":
        lines.append("No segmentation network yet: the same boxseg run, started again, goes on.")
    if "segment" in stages and not (stages["segment"] / "model.safetensors").is_file():
        lines.append("The segmentation network is not trained to the end yet.")
    if verb == "classify":
        lines.append("Only a box classifier: boxseg label makes labels with it.")
    return lines


def read_scores(folder: Path | None) -> dict[str, Any]:
    """Content of a stage's metrics.json; empty where there is none or it cannot be read."""
    return _read_json(folder / "metrics.json") if folder else {}


def read_confusion(folder: Path | None) -> tuple[tuple[str, ...], dict[str, NDArray[np.int64]]]:
    """Class names 0..L and counts (L + 1, L + 2) by name of scores; empty where none were stored."""
    content = _read_json(folder / "confusion.json") if folder else {}
    counts = {name: np.array(rows, dtype=np.int64) for name, rows in content.get("counts", {}).items()}
    return tuple(content.get("classes", ())), counts


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.info(f"report: {file} left out: {error}")
        return {}
    return content if isinstance(content, dict) else {}


def read_history(folder: Path) -> list[tuple[int, float, float]]:
    """(iteration, loss, learning rate) of a training; empty where there is none."""
    file = folder / "history.csv"
    if not file.is_file():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        try:
            return [
                (int(row["iteration"]), float(row["loss"]), float(row["lr"])) for row in csv.DictReader(lines)
            ]
        except (KeyError, TypeError, ValueError) as error:
            log.info(f"report: {file} left out: {error}")
            return []
