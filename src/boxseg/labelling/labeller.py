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
from boxseg.formats.listing import parts_of
from boxseg.formats.masks import write_mask
from boxseg.inference.refine import require_finite
from boxseg.inference.threads import Readable, Skipped, photo_loop
from boxseg.labelling.box_instances import box_instances, write_piece
from boxseg.labelling.confidence_maps import write_maps
from boxseg.labelling.corrected import correct_labels, correct_objects
from boxseg.labelling.finishing import Finished, finish
from boxseg.labelling.method import Method, Scored, ScoredInParts
from boxseg.labelling.objects import ObjectMask, objects_of_labels, with_fallbacks, write_objects
from boxseg.nn.pseudo import BoxMasks
from boxseg.runs.layout import PAIR, label_path, pair_paths
from boxseg.runs.provenance import add_lines, recording
from boxseg.runs.stage_files import StageFiles, label_files
from boxseg.spreading.place import Here, Needs, Place

log = logging.getLogger("boxseg")

# Photos whose files are looked for together, on a drive that other machines write to.
_WAITED_FOR = 1024


@dataclass(frozen=True, kw_only=True, eq=False)
class Labeller:
    """What is needed to label photos.

    Attributes:
        method: The label method.
        options: Options of stage 2.
        folder: Where the labels go.
        classes: Names of the classes 1..L.
        category_ids: COCO's ids of the classes; empty where the data has none.
        seed: Seed of GrabCut, where corrections want its masks.
    """

    method: Method
    options: Label
    folder: Path
    classes: tuple[str, ...]
    category_ids: tuple[int, ...] = ()
    seed: int = 0

    def files(self, samples: Sequence[Sample] = ()) -> StageFiles:
        """The files that it writes."""
        pair, instances = self.method.origin.pair, self.options.instances
        return label_files(self.folder, samples, pair=pair, instances=instances)

    def on(self, device: torch.device) -> Labeller:
        """The same on another device."""
        return replace(self, method=self.method.on(device))


def label_photos(
    labeller: Labeller, samples: Sequence[Sample], trainer: TrainerOptions, place: Place | None = None
) -> dict[str, str]:
    """Write the labels of these photos; returns the photos that could not be read, with the reason.

    `place` is this machine by default.
    """
    place = place or Here(trainer)
    # The processes of this machine add their lines to the record of photos themselves, photo by photo. Other
    # machines send them back with each chunk, and this process alone writes them: on NFS, which knows no
    # appending, two machines that add lines at once write over each other's.
    work = partial(_label_chunk, trainer=trainer, lines_here=place.here)
    needs, folder = Needs(writes=labeller.folder), labeller.folder
    parts = place.spread(
        work, labeller, samples, "label", needs=needs, arrived=lambda part: add_lines(folder, part.lines)
    )
    skipped = {name: reason for part in parts for name, reason in part.skipped.items()}
    files = labeller.files().of
    if not place.here:
        for some in parts_of(samples, _WAITED_FOR):
            place.wait_for([file for sample in some if sample.id not in skipped for file in files(sample)])
    return skipped


@dataclass(frozen=True, kw_only=True)
class _Labelled:
    """What comes back of a chunk: unreadable photos with the reason, and lines for the record of photos."""

    skipped: dict[str, str]
    lines: tuple[str, ...] = ()


def _label_chunk(
    labeller: Labeller, samples: Sequence[Sample], trainer: TrainerOptions, lines_here: bool
) -> _Labelled:
    work, device = partial(_label_group, labeller), labeller.method.device
    skipped: dict[str, str] = {}
    lines: list[str] = []
    add = None if lines_here else lines.append
    with recording(labeller.folder, labeller.classes, labeller.files().of, add) as done:
        for sample, result in photo_loop(work, samples, description="label", trainer=trainer, device=device):
            if isinstance(result, Skipped):
                skipped[sample.id] = result.reason
            else:
                done(sample)
    return _Labelled(skipped=skipped, lines=tuple(lines))


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
    folder, origin = labeller.folder, labeller.method.origin
    objects = with_fallbacks(_objects(scored, done, sample, origin.source), sample)
    if sample.corrections:
        objects = correct_objects(objects, sample, scored.image.cpu().numpy(), labeller.seed)
        done = _corrected(done, objects, sample, scored.boxes)
    both = done.labels, done.second
    write_mask(label_path(folder, sample), done.labels.cpu().numpy())
    write_maps(folder, sample, *both, done.levels)
    write_objects(folder, sample, objects)
    if not origin.pair:
        return
    for path, own in zip(pair_paths(folder, sample), both, strict=True):
        write_mask(path, own.cpu().numpy())
    if labeller.options.instances:
        assert done.probabilities is not None
        masks = {
            source: box_instances(sample, own, done.probabilities, scored.boxes, labeller.category_ids)
            for source, own in zip(PAIR, both, strict=True)
        }
        write_piece(folder, sample, masks)


def _objects(
    scored: Scored | ScoredInParts, done: Finished, sample: Sample, source: str
) -> Sequence[ObjectMask]:
    """The mask of each box: the method's own, or its class in the labels."""
    if scored.objects is not None:
        return scored.objects
    assert done.probabilities is not None
    windows = object_windows(sample.boxes, sample.height, sample.width)
    return objects_of_labels(done.labels, done.probabilities, scored.boxes, windows, source)


def _corrected(done: Finished, objects: Sequence[ObjectMask], sample: Sample, boxes: BoxMasks) -> Finished:
    """The labels of a photo after its corrections, on the CPU."""
    first, second, levels = (part.cpu().numpy() for part in (done.labels, done.second, done.levels))
    crowds = None if boxes.crowds is None else boxes.crowds.cpu().numpy()
    both, levels = correct_labels((first, second), levels, objects, sample, crowds)
    corrected = dict(zip(("labels", "second", "levels"), map(torch.from_numpy, (*both, levels)), strict=True))
    return replace(done, **corrected)
