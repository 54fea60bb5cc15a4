"""Labels of photos, maps and the masks of boxes, by any method, written to their files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from boxseg.config import Label, TrainerOptions
from boxseg.data.box_masks import object_windows
from boxseg.dataset import Sample
from boxseg.errors import DataError
from boxseg.formats.box_masks import box_masks_json
from boxseg.formats.listing import parts_of
from boxseg.formats.masks import mask_png
from boxseg.inference.refine import require_finite
from boxseg.inference.threads import Readable, Skipped, photo_loop
from boxseg.labelling.box_instances import box_instances, instances_json
from boxseg.labelling.confidence_maps import map_pictures
from boxseg.labelling.corrected import correct_labels, correct_objects
from boxseg.labelling.finishing import Finished, finish
from boxseg.labelling.method import Method, Scored, ScoredInParts
from boxseg.labelling.objects import ObjectMask, box_masks_of, objects_of_labels, with_fallbacks
from boxseg.labelling.photo_facts import photo_facts
from boxseg.nn.pseudo import BoxMasks
from boxseg.runs.layout import FINAL, INSTANCES, PAIR, PIECES
from boxseg.runs.provenance import add_lines, recording
from boxseg.runs.stage_files import StageFiles, label_files
from boxseg.shards.home import Home, Writer
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
        home: Where the labels go.
        classes: Names of the classes 1..L.
        category_ids: COCO's ids of the classes; empty where the data has none.
        seed: Seed of GrabCut, where corrections want its masks.
    """

    method: Method
    options: Label
    home: Home
    classes: tuple[str, ...]
    category_ids: tuple[int, ...] = ()
    seed: int = 0

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.home.folder

    def files(self, samples: Sequence[Sample] = ()) -> StageFiles:
        """The files that it writes."""
        pair, instances = self.method.origin.pair, self.options.instances
        return label_files(self.home, samples, pair=pair, instances=instances)

    def on(self, device: torch.device) -> Labeller:
        """The same on another device."""
        return replace(self, method=self.method.on(device))


def label_photos(
    labeller: Labeller, samples: Sequence[Sample], trainer: TrainerOptions, place: Place | None = None
) -> dict[str, str]:
    """Write the labels of these photos; returns the photos that could not be read, with the reason.

    The labeller's home is one that `begin` has returned. `place` is this machine by default.
    """
    place = place or Here(trainer)
    # The processes of this machine add their lines to the record of photos themselves, photo by photo. Other
    # machines send them back with each chunk, and this process alone writes them: on NFS, which knows no
    # appending, two machines that add lines at once write over each other's.
    work = partial(_label_chunk, trainer=trainer, lines_here=place.here)
    folder = labeller.folder
    parts = place.spread(
        work,
        labeller,
        samples,
        "label",
        needs=Needs(writes=folder, together=labeller.home.together),
        arrived=lambda part: add_lines(folder, part.lines),
    )
    skipped = {name: reason for part in parts for name, reason in part.skipped.items()}
    own = labeller.files().of
    if not place.here:
        for some in parts_of(samples, _WAITED_FOR):
            place.wait_for([file for sample in some if sample.id not in skipped for file in own(sample)])
    place.wait_for([file for part in parts for file in part.files])
    return skipped


@dataclass(frozen=True, kw_only=True)
class _Labelled:
    """What comes back of a chunk.

    Attributes:
        skipped: Unreadable photos, with the reason.
        lines: For the record of photos.
        files: Files of many photos.
    """

    skipped: dict[str, str]
    lines: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


def _label_chunk(
    labeller: Labeller, samples: Sequence[Sample], trainer: TrainerOptions, lines_here: bool
) -> _Labelled:
    device = labeller.method.device
    skipped: dict[str, str] = {}
    lines: list[str] = []
    add = None if lines_here else lines.append
    with (
        recording(labeller.folder, labeller.classes, labeller.files().of, add) as recorder,
        labeller.home.writer(lambda names: recorder.kept(names, writer.latest)) as writer,
    ):
        work = partial(_label_group, labeller, writer)
        for sample, result in photo_loop(work, samples, description="label", trainer=trainer, device=device):
            if isinstance(result, Skipped):
                skipped[sample.id] = result.reason
            else:
                recorder.made(sample)
                writer.keep(sample.id, result)
    return _Labelled(skipped=skipped, lines=tuple(lines), files=tuple(writer.files))


@torch.inference_mode()
def _label_group(labeller: Labeller, writer: Writer, group: Sequence[Readable]) -> list[Any]:
    """What the writer gave for each photo, or why it was skipped."""
    scored = [_score(labeller, sample, image) for sample, image in group]
    pending = [
        (sample, item) for (sample, _), item in zip(group, scored, strict=True) if not isinstance(item, Skipped)
    ]
    finished = finish([item for _, item in pending], labeller.options.crf)
    written = (_write(labeller, writer, *both, done) for both, done in zip(pending, finished, strict=True))
    return [item if isinstance(item, Skipped) else next(written) for item in scored]


def _score(labeller: Labeller, sample: Sample, photo: NDArray[np.uint8]) -> Scored | ScoredInParts | Skipped:
    try:
        scored = labeller.method.score(sample, photo)
        if isinstance(scored, Scored):
            require_finite(scored.probabilities)
        return scored
    except DataError as error:
        return Skipped(str(error))


def _write(
    labeller: Labeller, writer: Writer, sample: Sample, scored: Scored | ScoredInParts, done: Finished
) -> Any:
    origin = labeller.method.origin
    objects = with_fallbacks(_objects(scored, done, sample, origin.source), sample)
    if sample.corrections:
        objects = correct_objects(objects, sample, scored.image.cpu().numpy(), labeller.seed)
        done = _corrected(done, objects, sample, scored.boxes)
    both = done.labels, done.second
    entries = box_masks_of(sample, objects)
    results = {FINAL: mask_png(done.labels.cpu().numpy()), PIECES: box_masks_json(entries)}
    results |= map_pictures(*both, done.levels)
    if origin.pair:
        results |= {kind: mask_png(own.cpu().numpy()) for kind, own in zip(PAIR, both, strict=True)}
    if origin.pair and labeller.options.instances:
        assert done.probabilities is not None
        masks = {
            source: box_instances(sample, own, done.probabilities, scored.boxes, labeller.category_ids)
            for source, own in zip(PAIR, both, strict=True)
        }
        results[INSTANCES] = instances_json(masks)
    return writer.write(sample.id, results, partial(photo_facts, sample, objects, labeller.classes))


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
