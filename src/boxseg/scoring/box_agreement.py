"""What boxes alone can tell of a mask network: do its masks fill their boxes, and do its views agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from boxseg.config import TrainerOptions
from boxseg.dataset import Sample
from boxseg.formats.boxes import mask_bounds
from boxseg.inference.mask_networks import LoadedMaskNetwork
from boxseg.inference.object_masks import ObjectAnswer, object_answers
from boxseg.inference.threads import Readable, Skipped, photo_loop
from boxseg.tables import Table


@dataclass(frozen=True, kw_only=True)
class BoxAgreement:
    """Means over boxes, 0..1.

    Attributes:
        boxes: Their number.
        projection: IoU of the box and the bounds of its mask: 1 where the mask touches all four sides.
        views: IoU of the masks of a crop and of its mirror image.
        empty: Boxes without a mask; their projection is 0.
    """

    boxes: int
    projection: float
    views: float
    empty: int

    def as_dict(self) -> dict[str, Any]:
        """For metrics.json."""
        return asdict(self)


@torch.inference_mode()
def box_agreement(
    loaded: LoadedMaskNetwork, samples: Sequence[Sample], trainer: TrainerOptions
) -> BoxAgreement:
    """How well a network's masks agree with boxes; photos that cannot be read are left out."""
    results = photo_loop(
        partial(_answers, loaded),
        samples,
        description="score on held-out boxes",
        trainer=trainer,
        device=loaded.device,
    )
    answers = [answer for _, found in results if not isinstance(found, Skipped) for answer in found]
    projections, views = zip(*answers, strict=True) if answers else ((), ())
    return BoxAgreement(
        boxes=len(answers),
        projection=_mean(projections),
        views=_mean(views),
        empty=sum(share == 0 for share in projections),
    )


def agreement_table(title: str, rows: dict[str, BoxAgreement]) -> Table:
    """A row for each network."""
    return Table(
        title=title,
        columns=("mask network", "boxes", "projection", "views", "empty"),
        rows=tuple((name, part.boxes, part.projection, part.views, part.empty) for name, part in rows.items()),
    )


@torch.inference_mode()
def _answers(loaded: LoadedMaskNetwork, group: Sequence[Readable]) -> list[list[tuple[float, float]]]:
    """Projection and agreement of views of each box; its masks are not kept."""
    return [
        [(_projection(answer), answer.agreement) for answer in object_answers(loaded, photo, sample.boxes)]
        for sample, photo in group
    ]


def _projection(answer: ObjectAnswer) -> float:
    """IoU of the bounds of a mask and its box, in whole pixels."""
    mask = answer.mask.cpu().numpy()
    if not mask.any():
        return 0.0
    left, top, right, bottom = mask_bounds(mask)
    return (right - left) * (bottom - top) / mask.size


def _mean(shares: Sequence[float]) -> float:
    return round(float(np.mean(shares)), 4) if shares else 0.0
