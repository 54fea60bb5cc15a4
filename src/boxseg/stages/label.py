"""Stage 2: pseudo labels Y_crf and Y_ret for photos with boxes.

Source: Oh et al., BANA, CVPR 2021, section 3.2.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from boxseg import formats
from boxseg.config import Label, Trainer
from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import DataError
from boxseg.formats.masks import write_mask
from boxseg.jobs import LabelJob
from boxseg.report.tables import Table
from boxseg.stages import instances
from boxseg.stages.class_map import label_map
from boxseg.stages.convert import write_formats
from boxseg.stages.devices import torch_devices
from boxseg.stages.doctor import report_problems
from boxseg.stages.folder import open_folder, write_json
from boxseg.stages.instance_scores import InstanceScores, precision_table, result_files, score_instances
from boxseg.stages.label_maps import map_paths, write_maps
from boxseg.stages.label_methods import METHODS, Method, Scored
from boxseg.stages.photo_loop import Readable, photo_loop
from boxseg.stages.refine import refine
from boxseg.stages.scoring import LabelScores, label_table, score_labels, write_confusion
from boxseg.stages.spread import in_order, spread

log = logging.getLogger("boxseg")


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Pseudo labels of a split.

    Attributes:
        folder: Holds y_crf/ID.png and y_ret/ID.png.
        written: Photos labelled by this call.
        present: Photos that had their labels already.
        skipped: Photos that could not be read, with the reason.
        scores: Scores against ground truth, where there is any.
        title: What the scores are about.
        instances: Scores of the masks of single boxes, where they were asked for and there is ground truth.
        exported: A line on every other format they were written in.
    """

    folder: Path
    written: int
    present: int
    skipped: dict[str, str]
    scores: LabelScores | None
    title: str
    instances: InstanceScores | None = None
    exported: tuple[str, ...] = ()

    def tables(self) -> list[Table]:
        """Scores of the labels and of the whole-box baseline, and of the masks of single boxes."""
        tables = [label_table(f"{self.title}: mIoU", self.scores)] if self.scores else []
        return [*tables, precision_table(f"{self.title}: AP", self.instances)] if self.instances else tables

    def notes(self) -> list[str]:
        """What was written, and where."""
        skipped = f", {len(self.skipped)} unreadable and skipped" if self.skipped else ""
        line = f"Labels: {self.folder} ({self.written} written, {self.present} there already{skipped})"
        return [line, *self.exported]


@dataclass(frozen=True, kw_only=True, eq=False)
class Labeller:
    """What every photo is labelled with.

    Attributes:
        method: The way from its boxes to labels.
        options: Stage 2.
        folder: Where the labels go.
        category_ids: COCO's ids of the classes; empty where the data has none.
    """

    method: Method
    options: Label
    folder: Path
    category_ids: tuple[int, ...] = ()

    def on(self, device: torch.device) -> Labeller:
        """The same on another device."""
        return replace(self, method=self.method.on(device))

    def files(self, sample: Sample) -> list[Path]:
        """All files made of a photo."""
        masks = [instances.piece_path(self.folder, sample)] if self.options.instances else []
        maps = map_paths(self.folder, sample) if self.options.maps else ()
        return [*paths(self.folder, sample), *masks, *maps]


def run(job: LabelJob) -> Labelled:
    """Write the labels that are missing, and score them where there is ground truth.

    Raises:
        CheckpointError: The network of the method cannot be used, or lacks classes that no class map accounts
            for.
        MissingExtraError: The method needs a package that is not there.
        DataError: The data cannot be used.
        ConfigError: The folder holds another run, or the class map cannot be used.
    """
    dataset = formats.load(job.data)
    method = METHODS[job.label.method](job, dataset)
    folder = open_folder(job, inputs=method.origin.files)
    report_problems(dataset)
    names = label_map(dataset.classes, method.origin.matches, dataset.category_ids)
    write_json(folder / "labelmap.json", names)
    labeller = Labeller(method=method, options=job.label, folder=folder, category_ids=dataset.category_ids)
    missing = [s for s in dataset.samples if not all(path.is_file() for path in labeller.files(s))]
    present = len(dataset) - len(missing)
    if present:
        log.info(f"label: {present} of {len(dataset)} photos have their labels already")
    skipped = label_photos(labeller, missing, job.trainer)
    masks = score_masks(folder, dataset) if job.label.instances else None
    scores = score_labels(folder, dataset) if dataset.has_ground_truth else None
    if scores:
        parts = {"instances": masks.as_dict()} if masks else {}
        write_json(folder / "metrics.json", {**scores.as_dict(), **parts, "skipped": skipped})
        write_confusion(folder, {"whole_box": scores.whole_box, **scores.labels})
    exported = write_formats(job.label.formats, folder, dataset, changed=bool(missing))
    return Labelled(
        folder=folder,
        written=len(missing) - len(skipped),
        present=present,
        skipped=skipped,
        scores=scores,
        title=f"Labels of {dataset.split}, {len(dataset)} images",
        instances=masks,
        exported=tuple(exported),
    )


def score_masks(folder: Path, dataset: BoxDataset) -> InstanceScores | None:
    """Gather the masks of single boxes, and score them where the data has masks of its objects."""
    counts = instances.gather(folder, dataset.samples)
    boxes = sum(len(sample.labels) for sample in dataset.samples)
    log.info(f"label: {counts['y_crf']} masks of Y_crf and {counts['y_ret']} of Y_ret for {boxes} boxes")
    labelled = [s for s in dataset.samples if instances.piece_path(folder, s).is_file()]
    if all(sample.instances is None for sample in labelled):
        return None
    return score_instances(result_files(folder), dataset, labelled)


def paths(folder: Path, sample: Sample) -> tuple[Path, Path]:
    """Files of Y_crf and Y_ret."""
    return folder / "y_crf" / f"{sample.id}.png", folder / "y_ret" / f"{sample.id}.png"


def label_photos(labeller: Labeller, samples: Sequence[Sample], trainer: Trainer) -> dict[str, str]:
    """Label these photos and write the results; returns those that could not be read, with the reason."""
    work = partial(_label_share, trainer=trainer)
    return in_order(samples, spread(work, labeller, samples, torch_devices(trainer), "label"))


def _label_share(labeller: Labeller, samples: Sequence[Sample], trainer: Trainer) -> dict[str, str]:
    skipped: dict[str, str] = {}
    work = partial(_label_group, labeller, skipped)
    device = labeller.method.device
    for _ in photo_loop(work, samples, skipped, description="label", trainer=trainer, device=device):
        pass
    return skipped


@torch.inference_mode()
def _label_group(labeller: Labeller, skipped: dict[str, str], group: Sequence[Readable]) -> None:
    scored = [(sample, _score(labeller, sample, image, skipped)) for sample, image in group]
    pending = [(sample, item) for sample, item in scored if item is not None]
    images = [item.image for _, item in pending]
    solved = refine(labeller.options.crf, images, [item.probabilities for _, item in pending])
    for (sample, item), refined in zip(pending, solved, strict=True):
        _finish(labeller, sample, item, refined)


def _score(
    labeller: Labeller, sample: Sample, photo: NDArray[np.uint8], skipped: dict[str, str]
) -> Scored | None:
    try:
        return labeller.method.score(sample, photo)
    except DataError as error:
        skipped[sample.id] = str(error)
        return None


def _finish(labeller: Labeller, sample: Sample, scored: Scored, refined: Tensor) -> None:
    """Write the labels of a photo, and its masks where they are wanted."""
    folder = labeller.folder
    y_crf, y_ret = scored.labels(refined)
    both = dict(zip(instances.SOURCES, (y_crf, y_ret), strict=True))
    for path, labels in zip(paths(folder, sample), both.values(), strict=True):
        write_mask(path, labels.cpu().numpy())
    if labeller.options.maps:
        write_maps(folder, sample, y_crf, y_ret, refined, scored.boxes)
    if labeller.options.instances:
        masks = {
            source: instances.box_instances(sample, labels, refined, scored.boxes, labeller.category_ids)
            for source, labels in both.items()
        }
        instances.write_piece(folder, sample, masks)
