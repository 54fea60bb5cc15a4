"""Stage 2: pseudo labels Y_crf and Y_ret for photos with boxes.

Source: Oh et al., BANA, CVPR 2021, section 3.2.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from boxseg import formats
from boxseg.config import Label, Trainer
from boxseg.dataset import Sample
from boxseg.formats.masks import write_mask
from boxseg.jobs import LabelJob
from boxseg.nn.deeplab import BoxClassifier
from boxseg.nn.field import UpsampledFeatures
from boxseg.nn.pseudo import BoxMasks, box_masks, class_scores, finish_crf, retrieve
from boxseg.report.tables import Table
from boxseg.stages.doctor import report_problems
from boxseg.stages.folder import open_folder, write_json
from boxseg.stages.grouping import photo_groups
from boxseg.stages.networks import Loaded, check_classes, checkpoint_file, load_classifier
from boxseg.stages.refine import refine
from boxseg.stages.scoring import LabelScores, label_table, score_labels
from boxseg.stages.training import torch_device

log = logging.getLogger("boxseg")

Background = Literal["attention", "complement"]


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
    """

    folder: Path
    written: int
    present: int
    skipped: dict[str, str]
    scores: LabelScores | None
    title: str

    def tables(self) -> list[Table]:
        """Scores of the labels and of the whole-box baseline."""
        return [label_table(self.title, self.scores)] if self.scores else []

    def notes(self) -> list[str]:
        """What was written, and where."""
        skipped = f", {len(self.skipped)} unreadable and skipped" if self.skipped else ""
        return [f"Labels: {self.folder} ({self.written} written, {self.present} there already{skipped})"]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pending:
    """A photo on its way through the CRF."""

    sample: Sample
    image: Tensor
    field: UpsampledFeatures
    boxes: BoxMasks
    probabilities: Tensor


def run(job: LabelJob) -> Labelled:
    """Write the labels that are missing, and score them where there is ground truth.

    Raises:
        CheckpointError: The checkpoint is no box classifier, or was trained on other classes.
        DataError: The data cannot be used.
        ConfigError: The folder holds another run.
    """
    loaded = load_classifier(job.checkpoint, torch_device(job.trainer))
    dataset = formats.load(job.data)
    check_classes(loaded.classes, dataset, job.checkpoint)
    folder = open_folder(job, inputs={"checkpoint": checkpoint_file(job.checkpoint)})
    report_problems(dataset)
    missing = [s for s in dataset.samples if not all(path.is_file() for path in paths(folder, s))]
    present = len(dataset) - len(missing)
    if present:
        log.info(f"label: {present} of {len(dataset)} photos have their labels already")
    skipped = label_photos(loaded, missing, job.label, folder, job.trainer)
    scores = score_labels(folder, dataset) if dataset.has_ground_truth else None
    if scores:
        write_json(folder / "metrics.json", {**scores.as_dict(), "skipped": skipped})
    return Labelled(
        folder=folder,
        written=len(missing) - len(skipped),
        present=present,
        skipped=skipped,
        scores=scores,
        title=f"Labels of {dataset.split}, {len(dataset)} images: mIoU",
    )


def paths(folder: Path, sample: Sample) -> tuple[Path, Path]:
    """Files of Y_crf and Y_ret."""
    return folder / "y_crf" / f"{sample.id}.png", folder / "y_ret" / f"{sample.id}.png"


@torch.inference_mode()
def label_photos(
    loaded: Loaded[BoxClassifier],
    samples: Sequence[Sample],
    options: Label,
    folder: Path,
    trainer: Trainer,
) -> dict[str, str]:
    """Label these photos and write the results; returns those that could not be read, with the reason."""
    skipped: dict[str, str] = {}
    for group in photo_groups(samples, skipped, description="label", trainer=trainer):
        pending = [score_photo(loaded, sample, image, options) for sample, image in group]
        solved = refine(options.crf, [item.image for item in pending], [item.probabilities for item in pending])
        for item, probabilities in zip(pending, solved, strict=True):
            y_crf = finish_crf(probabilities, item.boxes)
            y_ret = retrieve(item.field, y_crf, loaded.network.weight, item.boxes)
            for path, labels in zip(paths(folder, item.sample), (y_crf, y_ret), strict=True):
                write_mask(path, labels.cpu().numpy())
    return skipped


def score_photo(
    loaded: Loaded[BoxClassifier], sample: Sample, photo: NDArray[np.uint8], options: Label
) -> _Pending:
    """Class probabilities of one photo (H, W, 3) before the CRF."""
    image = torch.from_numpy(photo).to(loaded.device)
    size = (image.shape[0], image.shape[1])
    features = loaded.network.features(image.permute(2, 0, 1)[None])[0]
    field = UpsampledFeatures(features, size, loaded.network.stride)
    edges, labels = (torch.from_numpy(array).to(loaded.device) for array in (sample.boxes, sample.labels))
    boxes = box_masks(edges, labels, size)
    probabilities = class_scores(
        field,
        loaded.network.weight,
        boxes,
        background=background_of(loaded.options, options),
        grid=options.grid,
    )
    return _Pending(sample=sample, image=image, field=field, boxes=boxes, probabilities=probabilities)


def background_of(trained: dict[str, Any], options: Label) -> Background:
    """The background score: as asked, or u_0 for a BAP classifier and 1 - max u_c for a GAP one."""
    if options.background != "auto":
        return options.background
    return "attention" if trained["pooling"] == "bap" else "complement"
