"""Masks of the mask network, which needs no training of one's own: the default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from boxseg.dataset import BoxDataset, Sample
from boxseg.formats.box_masks import NETWORK
from boxseg.inference.devices import torch_device
from boxseg.inference.mask_networks import SHIPPED, LoadedMaskNetwork, load_mask_network
from boxseg.inference.object_masks import ObjectAnswer, object_answers
from boxseg.inference.windows import shared
from boxseg.jobs import LabelJob
from boxseg.labelling.method import LARGE, Origin, Scored, ScoredInParts, pixel_boxes
from boxseg.labelling.objects import ObjectMask
from boxseg.nn.field import Window
from boxseg.nn.mask_scores import are_small, bonuses, mask_scores, moved, pixels_of
from boxseg.nn.pseudo import BoxMasks

# Mean side, pixels, of boxes in which labels stay as the network says: the CRF takes small objects for
# background.
SMALL = 96.0


@dataclass(frozen=True, kw_only=True, eq=False)
class FromNetwork:
    """Labels and masks from a mask network.

    Attributes:
        loaded: The network.
        origin: Its weights.
    """

    loaded: LoadedMaskNetwork
    origin: Origin = field(default_factory=Origin)

    @property
    def device(self) -> torch.device:
        """Where it works."""
        return self.loaded.device

    def on(self, device: torch.device) -> FromNetwork:  # noqa: D102
        return replace(self, loaded=self.loaded.on(device))

    def score(self, sample: Sample, photo: NDArray[np.uint8]) -> Scored | ScoredInParts:
        """The mask of each box; a pixel of several boxes is most probably of the surest one's class."""
        boxes = pixel_boxes(sample, self.device)
        answers = object_answers(self.loaded, photo, sample.boxes)
        image = torch.from_numpy(photo).to(self.device)
        objects = tuple(
            ObjectMask(mask=answer.mask.cpu().numpy(), score=answer.score, source=NETWORK) for answer in answers
        )
        part = partial(_part, image, boxes, answers)
        if sample.width * sample.height > LARGE:
            return ScoredInParts(image=image, boxes=boxes, part=part, objects=objects)
        return replace(part((slice(0, sample.height), slice(0, sample.width))), objects=objects)


def _part(image: Tensor, boxes: BoxMasks, answers: Sequence[ObjectAnswer], window: Window) -> Scored:
    """What the network says of a window: of the boxes in it, as classes of others have no probability there."""
    rows, columns = window
    area = (columns.start, rows.start, columns.stop, rows.stop)
    own = boxes.cut(window)
    parts = {
        place: part for place, edges in enumerate(boxes.rectangles) if (part := shared(edges, area)) is not None
    }
    if own.size != boxes.size:
        own = own.only(list(parts))
    else:
        parts = dict(enumerate(boxes.rectangles))
    bonus, small = bonuses(boxes), are_small(boxes, SMALL)
    masks = (moved(answers[place].within(part), bonus[place]) for place, part in parts.items())
    return Scored(
        image=image[window],
        boxes=own,
        probabilities=mask_scores(masks, own),
        without_crf=pixels_of(own, [small[place] for place in parts]),
    )


def start(job: LabelJob, dataset: BoxDataset) -> FromNetwork:
    """Load the mask network: the one that comes with boxseg, or `checkpoint`.

    Raises:
        CheckpointError: The checkpoint is no mask network.
    """
    loaded = load_mask_network(job.checkpoint or SHIPPED, torch_device(job.trainer))
    return FromNetwork(loaded=loaded, origin=Origin(files={"checkpoint": loaded.file}))
