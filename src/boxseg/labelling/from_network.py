"""Masks of the mask network, which needs no training of one's own: the default."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from boxseg.dataset import BoxDataset, Sample
from boxseg.formats.box_masks import NETWORK
from boxseg.inference.devices import torch_device
from boxseg.inference.mask_networks import SHIPPED, LoadedMaskNetwork, load_mask_network
from boxseg.inference.object_masks import object_answers
from boxseg.jobs import LabelJob
from boxseg.labelling.method import Origin, Scored, pixel_boxes
from boxseg.labelling.objects import ObjectMask
from boxseg.nn.mask_scores import favour_small, mask_scores, small_boxes

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

    def score(self, sample: Sample, photo: NDArray[np.uint8]) -> Scored:
        """The mask of each box; a pixel of several boxes is most probably of the surest one's class."""
        boxes = pixel_boxes(sample, self.device)
        answers = object_answers(self.loaded, photo, sample.boxes)
        masks = [answer.probability for answer in answers]
        return Scored(
            image=torch.from_numpy(photo).to(self.device),
            boxes=boxes,
            probabilities=mask_scores(favour_small(masks, boxes), boxes),
            without_crf=small_boxes(boxes, SMALL),
            objects=tuple(
                ObjectMask(mask=answer.mask.cpu().numpy(), score=answer.score, source=NETWORK)
                for answer in answers
            ),
        )


def start(job: LabelJob, dataset: BoxDataset) -> FromNetwork:
    """Load the mask network: the one that comes with boxseg, or `checkpoint`.

    Raises:
        CheckpointError: The checkpoint is no mask network.
    """
    loaded = load_mask_network(job.checkpoint or SHIPPED, torch_device(job.trainer))
    return FromNetwork(loaded=loaded, origin=Origin(files={"checkpoint": loaded.file}))
