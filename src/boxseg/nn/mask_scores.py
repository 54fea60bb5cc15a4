"""Class probabilities inside boxes from masks, for methods that give masks instead of scores of classes."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from boxseg.dataset import BACKGROUND
from boxseg.nn.pseudo import BoxMasks

# How sure a hard label is: surer, and a CRF would not change it. What pydensecrf's examples take.
CERTAINTY = 0.7


def label_scores(labels: Tensor, boxes: BoxMasks, certainty: float = CERTAINTY) -> Tensor:
    """Probabilities of hard labels: `certainty` for the label, the rest evenly for the other classes.

    Args:
        labels: (H, W) integer, 0 or a class of the boxes.
        boxes: The boxes.
        certainty: Above 1/2, so that the label is the most probable class.

    Returns:
        (K + 1, H, W), background first, then `boxes.classes`. Outside boxes as in `certain_outside`.
    """
    count = len(boxes.classes)
    values = torch.cat([boxes.classes.new_tensor([BACKGROUND]), boxes.classes])
    other = (1 - certainty) / max(count, 1)
    inside = torch.where(labels == values[:, None, None].to(labels.dtype), certainty, other)
    return certain_outside(inside, boxes)


def mask_scores(masks: Iterable[Tensor], boxes: BoxMasks) -> Tensor:
    """Probabilities of soft masks, one for each box.

    A class is as probable as the surest of its boxes that holds the pixel, the background as improbable as the
    surest class; then they are scaled to a sum of 1.

    Args:
        masks: For each box, (H, W) in [0, 1], the probability of its object; what lies outside the box is not
            looked at.
        boxes: The boxes.

    Returns:
        (K + 1, H, W), background first, then `boxes.classes`. Outside boxes as in `certain_outside`.
    """
    found = torch.zeros(boxes.inside.shape, device=boxes.inside.device)
    for mask, (left, top, right, bottom), owner in zip(masks, boxes.rectangles, boxes.owners, strict=True):
        view = found[owner, top:bottom, left:right]
        view.copy_(torch.maximum(view, mask[top:bottom, left:right]))
    background = 1 - found.amax(0, keepdim=True) if len(found) else torch.ones_like(boxes.ignored[None]).float()
    scores = torch.cat([background, found])
    return certain_outside(scores / scores.sum(0), boxes)


def certain_outside(inside: Tensor, boxes: BoxMasks) -> Tensor:
    """Probabilities (K + 1, H, W) inside the boxes, and (1, 0, ...) outside; on crowds there all are equal."""
    outside = inside.new_zeros(len(inside), 1, 1)
    outside[0] = 1
    certain = torch.where(boxes.ignored, 1 / len(inside), outside)
    return torch.where(boxes.outside, certain, inside)
