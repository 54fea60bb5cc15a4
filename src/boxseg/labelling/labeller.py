"""Pseudo labels Y_crf and Y_ret of photos, by any method, written to their files.

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

from boxseg.config import Label, TrainerOptions
from boxseg.dataset import Sample
from boxseg.errors import DataError
from boxseg.formats.masks import write_mask
from boxseg.inference.devices import torch_devices
from boxseg.inference.processes import in_order, spread
from boxseg.inference.refine import refine
from boxseg.inference.threads import Readable, photo_loop
from boxseg.labelling.box_instances import box_instances, write_piece
from boxseg.labelling.confidence_maps import write_maps
from boxseg.labelling.methods import Method, Scored
from boxseg.runs.layout import LABELS, label_paths, map_paths, piece_path

log = logging.getLogger("boxseg")


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
        masks = [piece_path(self.folder, sample)] if self.options.instances else []
        maps = map_paths(self.folder, sample) if self.options.maps else ()
        return [*label_paths(self.folder, sample), *masks, *maps]


def label_photos(labeller: Labeller, samples: Sequence[Sample], trainer: TrainerOptions) -> dict[str, str]:
    """Label these photos and write the results; returns those that could not be read, with the reason."""
    work = partial(_label_share, trainer=trainer)
    return in_order(samples, spread(work, labeller, samples, torch_devices(trainer), "label"))


def _label_share(labeller: Labeller, samples: Sequence[Sample], trainer: TrainerOptions) -> dict[str, str]:
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
    both = dict(zip(LABELS, (y_crf, y_ret), strict=True))
    for path, labels in zip(label_paths(folder, sample), both.values(), strict=True):
        write_mask(path, labels.cpu().numpy())
    if labeller.options.maps:
        write_maps(folder, sample, y_crf, y_ret, refined, scored.boxes)
    if labeller.options.instances:
        masks = {
            source: box_instances(sample, labels, refined, scored.boxes, labeller.category_ids)
            for source, labels in both.items()
        }
        write_piece(folder, sample, masks)
