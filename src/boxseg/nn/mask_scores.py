"""Class probabilities inside boxes, for methods that give masks instead of class scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log
from statistics import median

import torch
from torch import Tensor

from boxseg.dataset import BACKGROUND
from boxseg.nn.pseudo import BoxMasks

# Probability of a hard label, as in pydensecrf's examples: with more, a CRF would not change the label.
CERTAINTY = 0.7

# Of `favour_small`: of 0, 0.25, 0.5, 0.75, 1 and 1.5 the best for labels of COCO's photos.
FAVOUR = 0.75


def label_scores(labels: Tensor, boxes: BoxMasks, certainty: float = CERTAINTY) -> Tensor:
    """Probabilities (K + 1, H, W) of hard labels (H, W), each 0 or a class of the boxes; background first.

    The label gets `certainty`, above 1/2 so that it is the most probable class; the others share the rest
    evenly. Outside boxes as in `certain_outside`.
    """
    count = len(boxes.classes)
    values = torch.cat([boxes.classes.new_tensor([BACKGROUND]), boxes.classes])
    other = (1 - certainty) / max(count, 1)
    inside = torch.where(labels == values[:, None, None].to(labels.dtype), certainty, other)
    return certain_outside(inside, boxes)


def mask_scores(masks: Iterable[Tensor], boxes: BoxMasks) -> Tensor:
    """Probabilities (K + 1, H, W) of soft masks, background first, then `boxes.classes`.

    There is a mask in [0, 1] for each box, (h, w) as its rectangle. A class has the highest probability
    of its boxes that hold the pixel, the background 1 minus that of the most probable class. All are then
    scaled to sum to 1. Outside boxes as in `certain_outside`.
    """
    found = torch.zeros(boxes.inside.shape, device=boxes.inside.device)
    for mask, (left, top, right, bottom), owner in zip(masks, boxes.rectangles, boxes.owners, strict=True):
        view = found[owner, top:bottom, left:right]
        if view.numel():  # a box may lie between the centres of pixels
            view.copy_(torch.maximum(view, mask))
    background = 1 - found.amax(0, keepdim=True) if len(found) else torch.ones_like(boxes.ignored[None]).float()
    scores = torch.cat([background, found])
    return certain_outside(scores / scores.sum(0), boxes)


def favour_small(masks: Sequence[Tensor], boxes: BoxMasks) -> list[Tensor]:
    """Soft masks with which the smaller of two objects wins where both are probable: it is in front, as a rule.

    Where p > 1/2, the log odds of a mask grow by FAVOUR · ln(median area of the boxes / area of its box), but
    no pixel of an object becomes background by that.

    Args:
        masks: For each box (h, w) in [0, 1], as its rectangle.
        boxes: The boxes.
    """
    return [moved(mask, bonus) for mask, bonus in zip(masks, bonuses(boxes), strict=True)]


def bonuses(boxes: BoxMasks) -> list[float]:
    """For each box, by how much `favour_small` moves the log odds of its mask."""
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in boxes.rectangles]
    middle = median(areas) if areas else 0
    return [FAVOUR * log(max(middle, 1) / max(area, 1)) for area in areas]


def moved(mask: Tensor, bonus: float) -> Tensor:
    """A soft mask, or a part of it, its log odds moved as in `favour_small`."""
    found = (torch.logit(mask.clamp(1e-3, 1 - 1e-3)) + bonus).sigmoid().clamp_min(0.5001)
    return torch.where(mask > 0.5, found, mask)


def small_boxes(boxes: BoxMasks, side: float) -> Tensor:
    """(H, W) bool, the pixels of boxes whose mean side, the root of their area, is below `side` pixels."""
    return pixels_of(boxes, are_small(boxes, side))


def are_small(boxes: BoxMasks, side: float) -> list[bool]:
    """Which boxes have a mean side below `side` pixels."""
    return [(right - left) * (bottom - top) < side**2 for left, top, right, bottom in boxes.rectangles]


def pixels_of(boxes: BoxMasks, chosen: Sequence[bool]) -> Tensor:
    """(H, W) bool, the pixels of some of the boxes."""
    found = torch.zeros(boxes.size, dtype=torch.bool, device=boxes.classes.device)
    for (left, top, right, bottom), own in zip(boxes.rectangles, chosen, strict=True):
        if own:
            found[top:bottom, left:right] = True
    return found


def certain_outside(inside: Tensor, boxes: BoxMasks) -> Tensor:
    """Keep probabilities (K + 1, H, W) inside boxes; set (1, 0, ...) outside, all equal on crowds."""
    outside = inside.new_zeros(len(inside), 1, 1)
    outside[0] = 1
    certain = torch.where(boxes.ignored, 1 / len(inside), outside)
    return torch.where(boxes.outside, certain, inside)
