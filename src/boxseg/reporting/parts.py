"""What a run folder holds, whichever stage made it."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path

from boxseg.config import Data, Evaluate, TrainerOptions
from boxseg.data.labels import GROUND_TRUTH
from boxseg.dataset import BoxDataset
from boxseg.errors import BoxsegError, DataError, did_you_mean
from boxseg.formats.masks import MaskFolder
from boxseg.formats.splits import Splits
from boxseg.inference.networks import KeptSegmenter
from boxseg.jobs import AdaptJob, ClassifyJob, LabelJob, RunJob, SegmentJob
from boxseg.options import build_job, flatten, load_mapping
from boxseg.runs.label_source import label_sources
from boxseg.runs.layout import (
    AGREED,
    CONFIG,
    FINAL,
    MODEL,
    PAIR,
    STAGES,
    predictions,
    stage_folder,
)
from boxseg.runs.stage_files import training_files
from boxseg.shards.find import home_of
from boxseg.shards.home import Home

log = logging.getLogger("boxseg")

RunKind = AdaptJob | ClassifyJob | LabelJob | SegmentJob | RunJob

# The first of these that config.yaml has all options of tells the verb that wrote it.
_VERBS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"checkpoint"}), "label"),
    (frozenset({"labels", "segment"}), "segment"),
    (frozenset({"segment"}), "run"),
    (frozenset({"classify"}), "classify"),
    (frozenset({"adapt"}), "adapt"),
)
_WRITERS = "run, demo, adapt, classify, label or segment"


@dataclass(frozen=True, kw_only=True)
class Split:
    """Photos of one split, and where their labels are.

    Attributes:
        sources: By layer (`y_crf`, `y_ret`, `labels`, `prediction` …): its masks.
        compared: Layers that must agree on a pixel for it to be reliable, the first in the role of Y_crf.
        masks: What `label` made, with the masks of the boxes.
    """

    dataset: BoxDataset
    sources: dict[str, MaskFolder]
    compared: tuple[str, ...]
    masks: Home | None = None


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of a run that exist.

    Attributes:
        stages: Folders of its stages: `adapt`, `classify`, `label`, `segment`.
        splits: Its photos; empty if the data set cannot be read.
        evaluate: Test-time options of its network.
        trainer: Where the network runs.
        missing: What is missing, and how to get it.
    """

    folder: Path
    verb: str
    data: Data
    stages: dict[str, Path]
    splits: tuple[Split, ...]
    evaluate: Evaluate
    trainer: TrainerOptions
    missing: tuple[str, ...]

    def network(self) -> KeptSegmenter:
        """Its segmentation network, which may not exist yet."""
        return KeptSegmenter(path=self.stages.get("segment", self.folder) / MODEL, trainer=self.trainer)


def read_parts(folder: Path, root: Path | None, splits: Splits) -> Parts:
    """Look through a run folder.

    Args:
        folder: Made by `run`, `demo`, `adapt`, `classify`, `label` or `segment`.
        root: The data set, if it has moved since the run.
        splits: Reads its photos, each split once.

    Raises:
        DataError: It is not a run folder.
        ConfigError: Its config.yaml cannot be used.
    """
    verb, job = read_job(folder)
    data = dataclasses.replace(job.data, root=root) if root else job.data
    stages = find_stages(folder, verb, job)
    wanted = [data]
    if "segment" in stages and data.val_split:
        wanted.append(data.with_split(data.val_split))
    missing: list[str] = []
    shown: list[Split] = []
    for split in wanted:
        loaded = _load(split, splits)
        if isinstance(loaded, BoxDataset):
            sources, compared = _labels(split.split, data, _label_names(job, stages))
            if "segment" in stages:
                sources["prediction"] = MaskFolder(predictions(stages["segment"], split.split))
            home = stages.get("label")
            masks = home_of(home) if home and _split_of(home, data) == split.split else None
            shown.append(Split(dataset=loaded, sources=sources, compared=compared, masks=masks))
        else:
            mend = "" if shown else " If the data set has moved, give its folder: boxseg report RUN data=DIR"
            missing.append(f"No photos of split {split.split}: {loaded}.{mend}")
    return Parts(
        folder=folder,
        verb=verb,
        data=data,
        stages=stages,
        splits=tuple(shown),
        evaluate=getattr(job, "evaluate", Evaluate()),
        trainer=job.trainer,
        missing=(*missing, *_what_is_missing(verb, stages)),
    )


def read_job(folder: Path) -> tuple[str, RunKind]:
    """The verb and the options that made a folder; errors as for `read_parts`."""
    if not folder.is_dir():
        siblings = [path.name for path in folder.absolute().parent.glob("*") if path.is_dir()]
        raise DataError(
            f"{folder}: no such folder{did_you_mean(folder.name, siblings)} (expected the folder of a run)"
        )
    file = folder / CONFIG
    if not file.is_file():
        raise DataError(f"{folder} holds no run: expected config.yaml, written by {_WRITERS}")
    options = load_mapping(file)
    verb = next((verb for names, verb in _VERBS if names <= options.keys()), None)
    if verb is None or "images" in options or "data" not in options:
        raise DataError(f"{file} was not written by {_WRITERS}: there is nothing to show")
    job = build_job(verb, flatten(options))
    assert isinstance(job, RunKind)
    return verb, job


def find_stages(folder: Path, verb: str, job: RunKind) -> dict[str, Path]:
    """Folders of the stages that have started, by stage."""
    if verb == "run":
        return {stage: path for stage in STAGES if _has_config(path := stage_folder(folder, stage))}
    stages = {verb: folder}
    made = [home for name in _label_names(job, stages) if _has_config(home := _home(Path(name)))]
    return {"label": made[0], **stages} if made else stages


def _has_config(folder: Path) -> bool:
    return (folder / CONFIG).is_file()


def _load(data: Data, splits: Splits) -> BoxDataset | DataError:
    try:
        return splits.load(data)
    except DataError as error:
        return error


def _label_names(job: RunKind, stages: dict[str, Path]) -> list[str]:
    """The sources of labels, as `segment` takes them."""
    if isinstance(job, SegmentJob):
        return [job.labels] if isinstance(job.labels, str) else job.labels
    return [str(stages["label"])] if "label" in stages else []


def _home(labels: Path) -> Path:
    """The run folder of a source of labels; `label` makes two sources, in subfolders."""
    return labels.parent if labels.name in (FINAL, *PAIR) and _has_config(labels.parent) else labels


def _labels(name: str, data: Data, labels: list[str]) -> tuple[dict[str, MaskFolder], tuple[str, ...]]:
    """Label masks of a split by layer, and the layers whose agreement makes a pixel reliable."""
    sources: dict[str, MaskFolder] = {}
    compared: list[str] = []
    for label in labels:
        if label == GROUND_TRUTH:
            compared.append("ground_truth")
        elif name == _split_of(_home(Path(label)), data):
            try:
                found = label_sources(Path(label))
            except DataError:
                log.info(f"report: {label} holds no labels yet")
                return sources, ()
            for source, masks in found.items():
                own = masks.path.name if masks.path.name in PAIR else source
                more = AGREED if own == AGREED else FINAL
                key = own if own not in sources else f"{more}_{len(sources) + 1}"
                sources[key] = masks
                compared.append(key)
    return sources, tuple(compared)


def _split_of(folder: Path, data: Data) -> str:
    try:
        return read_job(folder)[1].data.split
    except BoxsegError:
        return data.split


def _what_is_missing(verb: str, stages: dict[str, Path]) -> list[str]:
    if verb == "adapt":
        return ["Only a mask network: boxseg label checkpoint=… makes masks with it."]
    if verb == "classify":
        return ["Only a box classifier: boxseg label makes labels with it."]
    if verb == "label":
        return ["No segmentation network: this folder is of boxseg label, which trains none."]
    lines = []
    if "label" not in stages and verb == "run":
        lines.append("No labels yet: give the same boxseg run command again to continue.")
    elif "segment" not in stages:
        lines.append("No segmentation network yet: give the same boxseg run command again to continue.")
    if "segment" in stages and not training_files(stages["segment"]).done:
        lines.append("The segmentation network is not trained to the end yet.")
    return lines
