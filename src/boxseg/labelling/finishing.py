"""From what a method says of a photo to its labels: the CRF, on all of it or, if it is large, in windows.

The CRF takes more than a hundred bytes a pixel, and a pixel depends on others some standard deviations away at
most. So a large photo is cut into cores, and each is computed with a margin around it, and only where there are
boxes: far from every box all pixels are background. The lattices of windows are those of the whole photo, so
labels are the same but for what lies beyond the margins: on photos one pixel in millions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from boxseg.config import Crf
from boxseg.inference.refine import refine
from boxseg.inference.windows import Rectangle, around, cores, shared
from boxseg.labelling.confidence_maps import confidence_levels
from boxseg.labelling.method import LARGE, Scored, ScoredInParts
from boxseg.nn.field import Window
from boxseg.nn.pseudo import BoxMasks

# Side of the cores of windows, pixels.
SIDE = 1536
# The margin, in standard deviations of the wider kernel.
_REACH = 4.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Finished:
    """The labels of a photo.

    Attributes:
        labels: (H, W) uint8: Y_crf.
        second: (H, W) uint8, a second opinion: Y_ret, or the labels without the CRF.
        levels: (H, W) uint8, the confidence of the labels, 255 for a probability of 1.
        probabilities: (K + 1, H, W) after the CRF; None where nothing needs those of a large photo.
    """

    labels: Tensor
    second: Tensor
    levels: Tensor
    probabilities: Tensor | None


def finish(scored: Sequence[Scored | ScoredInParts], crf: Crf) -> list[Finished]:
    """Labels of photos, in their order; those that are not large go through the CRF together."""
    whole = {
        place: item
        for place, item in enumerate(scored)
        if isinstance(item, Scored) and item.boxes.size[0] * item.boxes.size[1] <= LARGE
    }
    images = [item.image for item in whole.values()]
    probabilities = [item.probabilities for item in whole.values()]
    solved = dict(zip(whole, refine(crf, images, probabilities), strict=True))
    return [
        _finished(whole[place], solved.pop(place)) if place in whole else _in_windows(item, crf)
        for place, item in enumerate(scored)
    ]


def _finished(scored: Scored, refined: Tensor) -> Finished:
    refined = scored.finished(refined)
    labels, second = scored.labels(refined)
    levels = confidence_levels(labels, refined, scored.boxes)
    return Finished(labels=labels, second=second, levels=levels, probabilities=refined)


def _in_windows(scored: Scored | ScoredInParts, crf: Crf) -> Finished:
    boxes = scored.boxes
    margin = math.ceil(_REACH * max(crf.sigma_xy, crf.gaussian_sigma)) if crf.active else 0
    labels = torch.zeros(boxes.size, dtype=torch.uint8, device=scored.image.device)
    second, levels = torch.zeros_like(labels), torch.full_like(labels, 255)
    retrieve = scored.retrieve if isinstance(scored, Scored) else None
    probabilities = None
    if scored.objects is None or retrieve is not None:  # they need those of the whole photo
        probabilities = torch.zeros(len(boxes.classes) + 1, *boxes.size, device=scored.image.device)
        probabilities[0] = 1
    for core, window in cores(boxes.size, SIDE, margin):
        area = _area(boxes, window, margin)
        own = shared(core, area) if area else None
        if area is None or own is None:
            continue
        part = scored.part(_slices(area))
        done = _finished(part, refine(crf, [part.image], [part.probabilities], area[:2])[0])
        place, inner = _slices(own), _slices(own, area[:2])
        labels[place], second[place], levels[place] = done.labels[inner], done.second[inner], done.levels[inner]
        if probabilities is not None and done.probabilities is not None:
            probabilities[:, place[0], place[1]] = done.probabilities[:, inner[0], inner[1]]
    if retrieve is not None:
        second = retrieve(labels)
    return Finished(labels=labels, second=second, levels=levels, probabilities=probabilities)


def _area(boxes: BoxMasks, window: Rectangle, margin: int) -> Rectangle | None:
    """The part of a window that is not sure background: boxes with a margin, or all if it has crowds."""
    if boxes.crowds is not None and bool(boxes.crowds[_slices(window)].any()):
        return window
    parts = [part for edges in boxes.rectangles if (part := shared(edges, window))]
    if not parts:
        return None
    left, top, right, bottom = zip(*parts, strict=True)
    return shared(around((min(left), min(top), max(right), max(bottom)), margin, boxes.size), window)


def _slices(rectangle: Rectangle, origin: tuple[int, int] = (0, 0)) -> Window:
    """Rows and columns of a rectangle, counted from a place (x, y)."""
    (left, top, right, bottom), (x, y) = rectangle, origin
    return slice(top - y, bottom - y), slice(left - x, right - x)
