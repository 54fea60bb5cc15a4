"""What somebody said of a photo's masks in the report, done to its masks and labels.

It comes after the method and the CRF, so that the labels of every method can be corrected. What is said of a
box changes pixels of this box alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from boxseg.data.box_masks import Window, ellipse_mask, grabcut_mask, object_windows, whole_mask
from boxseg.data.geometry import painting_order
from boxseg.dataset import BACKGROUND, IGNORE, LEAVE_OUT, REDRAW, Correction, Sample
from boxseg.formats.box_masks import LEFT_OUT
from boxseg.inference.windows import shared
from boxseg.labelling.objects import ObjectMask

Labels = NDArray[np.uint8]
Pixels = NDArray[np.bool_]

# The score of a mask that a person chose, and the confidence of its pixels. It is also the score of no mask: a
# low one would say that it is to be looked at.
_CHOSEN, _SURE = 1.0, 255


def correct_objects(
    objects: Sequence[ObjectMask], sample: Sample, photo: NDArray[np.uint8], seed: int
) -> list[ObjectMask]:
    """The masks of a photo's boxes with those that somebody chose; empty for boxes that are left out.

    Args:
        objects: The masks, in the order of the boxes.
        sample: The photo, with its corrections.
        photo: (H, W, 3) uint8 RGB.
        seed: Seed of GrabCut.

    Raises:
        MissingExtraError: GrabCut was chosen, and OpenCV is not installed.
    """
    windows = object_windows(sample.boxes, sample.height, sample.width)
    corrected = list(objects)
    for place, do in sample.corrections.items():
        own = objects[place]
        if do == REDRAW:
            mask, score, source = own.mask, own.score, own.source
        elif do == LEAVE_OUT:
            mask, score, source = np.zeros_like(own.mask), _CHOSEN, LEFT_OUT
        else:
            mask = _chosen(do, sample.boxes[place], windows[place], photo, seed)
            score, source = _CHOSEN, do
        corrected[place] = ObjectMask(mask=mask, score=score, source=source, corrected=do)
    return corrected


def _chosen(
    do: Correction, box: NDArray[np.float64], window: Window, photo: NDArray[np.uint8], seed: int
) -> Pixels:
    if do == "grabcut":
        return grabcut_mask(photo, window, seed)
    return ellipse_mask(box, window) if do == "ellipse" else whole_mask(box, window)


def correct_labels(
    labels: tuple[Labels, Labels],
    levels: Labels,
    objects: Sequence[ObjectMask],
    sample: Sample,
    crowds: Pixels | None = None,
) -> tuple[tuple[Labels, Labels], Labels]:
    """Both labels of a photo, and the confidence of the first, as the corrections of its masks want them.

    What is painted is the masks of all boxes, the smallest box on top, without boxes that are left out or to be
    redrawn. Of a box whose mask was replaced, pixels get what is painted if its new mask is on top there, or if
    their label is its class without any mask of that class there. Of a box that is left out or to be redrawn,
    pixels become 255, unless both labels are classes of masks that cover them.

    Args:
        labels: (H, W) each: Y_crf and Y_ret, or the labels with and without the CRF.
        levels: (H, W), the confidence of the first.
        objects: The masks of the boxes, of `correct_objects`.
        sample: The photo, with its corrections.
        crowds: (H, W), pixels that are neither objects nor sure background; None for none.
    """
    first, second = labels[0].copy(), labels[1].copy()
    levels = levels.copy()
    windows = object_windows(sample.boxes, *first.shape)
    dropped = [place for place, do in sample.corrections.items() if do in (LEAVE_OUT, REDRAW)]
    kept = [place for place in range(len(objects)) if place not in dropped]
    painted, on_top = _painted(objects, sample, windows, kept, crowds)

    def backed(of: Labels, window: Window) -> Pixels:
        """Pixels of a window whose label is the class of a mask that covers them."""
        found = np.zeros((window[3] - window[1], window[2] - window[0]), dtype=bool)
        for place in kept:
            part = shared(windows[place], window)
            if part is not None:
                mask = objects[place].mask[_inside(part, windows[place])]
                found[_inside(part, window)] |= mask & (of[_inside(part)] == sample.labels[place])
        return found

    for place in (place for place in sample.corrections if place not in dropped):
        window, area = windows[place], _inside(windows[place])
        for own in (first, second):
            freed = (own[area] == sample.labels[place]) & ~backed(own, window)
            own[area][freed] = painted[area][freed]
            if own is first:
                levels[area][freed] = np.where(painted[area][freed] == IGNORE, 0, _SURE)
    first[on_top] = second[on_top] = painted[on_top]
    levels[on_top] = _SURE
    for place in dropped:
        unknown = ~(backed(first, windows[place]) & backed(second, windows[place]))
        for own, value in ((first, IGNORE), (second, IGNORE), (levels, 0)):
            own[_inside(windows[place])][unknown] = value
    return (first, second), levels


def _painted(
    objects: Sequence[ObjectMask],
    sample: Sample,
    windows: Sequence[Window],
    kept: Sequence[int],
    crowds: Pixels | None,
) -> tuple[Labels, Pixels]:
    """The masks that are kept as labels (H, W), and the pixels where one that was chosen is on top."""
    painted = np.full((sample.height, sample.width), BACKGROUND, dtype=np.uint8)
    if crowds is not None:
        painted[crowds] = IGNORE
    on_top = np.zeros(painted.shape, dtype=bool)
    for place in painting_order(sample.boxes, sample.labels).tolist():
        if place in kept:
            area, mask = _inside(windows[place]), objects[place].mask
            painted[area][mask] = sample.labels[place]
            on_top[area][mask] = place in sample.corrections
    return painted, on_top


def _inside(window: Window, of: Window = (0, 0, 0, 0)) -> tuple[slice, slice]:
    """Rows and columns of a window, counted from the corner of another."""
    left, top = of[:2]
    return slice(window[1] - top, window[3] - top), slice(window[0] - left, window[2] - left)
