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
from torch import Tensor

from boxseg.config import Label, TrainerOptions
from boxseg.data.box_masks import object_windows
from boxseg.dataset import Sample
from boxseg.errors import DataError
from boxseg.formats.masks import write_mask
from boxseg.inference.devices import torch_devices
from boxseg.inference.processes import spread
from boxseg.inference.refine import refine, require_finite
from boxseg.inference.threads import Readable, Skipped, photo_loop
from boxseg.labelling.box_instances import box_instances, write_piece
from boxseg.labelling.confidence_maps import write_maps
from boxseg.labelling.methods import Method, Scored
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
        (sample, item) for (sample, _), item in zip(group, scored, strict=True) if isinstance(item, Scored)
    ]
    images = [item.image for _, item in pending]
    solved = refine(labeller.options.crf, images, [item.probabilities for _, item in pending])
    for (sample, item), refined in zip(pending, solved, strict=True):
        _finish(labeller, sample, item, refined)
    return [item if isinstance(item, Skipped) else None for item in scored]


def _score(labeller: Labeller, sample: Sample, photo: NDArray[np.uint8]) -> Scored | Skipped:
    try:
        scored = labeller.method.score(sample, photo)
        require_finite(scored.probabilities)
        return scored
    except DataError as error:
        return Skipped(str(error))


def _finish(labeller: Labeller, sample: Sample, scored: Scored, refined: Tensor) -> None:
    folder, pair = labeller.folder, labeller.method.origin.pair
    refined = scored.finished(refined)
    both = scored.labels(refined)
    write_mask(label_path(folder, sample), both[0].cpu().numpy())
    write_maps(folder, sample, *both, refined, scored.boxes)
    objects: Sequence[ObjectMask] | None = scored.objects
    if objects is None:
        windows = object_windows(sample.boxes, sample.height, sample.width)
        objects = objects_of_labels(both[0], refined, scored.boxes, windows, labeller.method.origin.source)
    write_objects(folder, sample, with_fallbacks(objects, sample))
    if not pair:
        return
    for path, labels in zip(pair_paths(folder, sample), both, strict=True):
        write_mask(path, labels.cpu().numpy())
    if labeller.options.instances:
        masks = {
            source: box_instances(sample, labels, refined, scored.boxes, labeller.category_ids)
            for source, labels in zip(PAIR, both, strict=True)
        }
        write_piece(folder, sample, masks)
