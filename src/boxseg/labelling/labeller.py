"""Labels of photos, maps and the masks of boxes, by any method, written to their files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from boxseg.config import Label, TrainerOptions
from boxseg.data.box_masks import object_windows
from boxseg.dataset import Sample
from boxseg.errors import DataError
from boxseg.formats.masks import write_mask
from boxseg.inference.devices import torch_devices
from boxseg.inference.processes import spread
from boxseg.inference.refine import require_finite
from boxseg.inference.threads import Readable, Skipped, photo_loop
from boxseg.labelling.box_instances import box_instances, write_piece
from boxseg.labelling.confidence_maps import write_maps
from boxseg.labelling.finishing import Finished, finish
from boxseg.labelling.method import Method, Scored, ScoredInParts
from boxseg.labelling.objects import ObjectMask, objects_of_labels, with_fallbacks, write_objects
from boxseg.runs.layout import PAIR, label_path, pair_paths
from boxseg.runs.provenance import recording
from boxseg.runs.stage_files import StageFiles, label_files

log = logging.getLogger("boxseg")


@dataclass(frozen=True, kw_only=True, eq=False)
class Labeller:
    """What is needed to label photos.

    Attributes:
        method: The label method.
        options: Options of stage 2.
        folder: Where the labels go.
        classes: Names of the classes 1..L.
        category_ids: COCO's ids of the classes; empty where the data has none.
    """

    method: Method
    options: Label
    folder: Path
    classes: tuple[str, ...]
    category_ids: tuple[int, ...] = ()

    def files(self, samples: Sequence[Sample] = ()) -> StageFiles:
        """The files that it writes."""
        pair, instances = self.method.origin.pair, self.options.instances
        return label_files(self.folder, samples, pair=pair, instances=instances)

    def on(self, device: torch.device) -> Labeller:
        """The same on another device."""
        return replace(self, method=self.method.on(device))


def label_photos(labeller: Labeller, samples: Sequence[Sample], trainer: TrainerOptions) -> dict[str, str]:
    """Write the labels of these photos; returns the photos that could not be read, with the reason."""
    work = partial(_label_chunk, trainer=trainer)
    parts = spread(work, labeller, samples, torch_devices(trainer), "label")
    return {name: reason for part in parts for name, reason in part.items()}


def _label_chunk(labeller: Labeller, samples: Sequence[Sample], trainer: TrainerOptions) -> dict[str, str]:
    work, device = partial(_label_group, labeller), labeller.method.device
    skipped: dict[str, str] = {}
    with recording(labeller.folder, labeller.classes, labeller.files().of) as done:
        for sample, result in photo_loop(work, samples, description="label", trainer=trainer, device=device):
            if isinstance(result, Skipped):
                skipped[sample.id] = result.reason
            else:
                done(sample)
    return skipped


@torch.inference_mode()
def _label_group(labeller: Labeller, group: Sequence[Readable]) -> list[Skipped | None]:
    scored = [_score(labeller, sample, image) for sample, image in group]
    pending = [
        (sample, item) for (sample, _), item in zip(group, scored, strict=True) if not isinstance(item, Skipped)
    ]
    finished = finish([item for _, item in pending], labeller.options.crf)
    for (sample, item), done in zip(pending, finished, strict=True):
        _write(labeller, sample, item, done)
    return [item if isinstance(item, Skipped) else None for item in scored]


def _score(labeller: Labeller, sample: Sample, photo: NDArray[np.uint8]) -> Scored | ScoredInParts | Skipped:
    try:
        scored = labeller.method.score(sample, photo)
        if isinstance(scored, Scored):
            require_finite(scored.probabilities)
        return scored
    except DataError as error:
        return Skipped(str(error))


def _write(labeller: Labeller, sample: Sample, scored: Scored | ScoredInParts, done: Finished) -> None:
    folder, origin, labels = labeller.folder, labeller.method.origin, done.labels
    write_mask(label_path(folder, sample), labels.cpu().numpy())
    write_maps(folder, sample, labels, done.second, done.levels)
    objects: Sequence[ObjectMask] | None = scored.objects
    if objects is None:
        assert done.probabilities is not None
        windows = object_windows(sample.boxes, sample.height, sample.width)
        objects = objects_of_labels(labels, done.probabilities, scored.boxes, windows, origin.source)
    write_objects(folder, sample, with_fallbacks(objects, sample))
    if not origin.pair:
        return
    both = labels, done.second
    for path, own in zip(pair_paths(folder, sample), both, strict=True):
        write_mask(path, own.cpu().numpy())
    if labeller.options.instances:
        assert done.probabilities is not None
        masks = {
            source: box_instances(sample, own, done.probabilities, scored.boxes, labeller.category_ids)
            for source, own in zip(PAIR, both, strict=True)
        }
        write_piece(folder, sample, masks)
