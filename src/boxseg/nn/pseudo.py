"""Stage 2: pseudo labels of one image from its features, the box classifier and its boxes.

`class_scores` gives what a dense CRF starts from; `finish_crf` turns what the CRF answers into Y_crf, and
`retrieve` derives Y_ret from Y_crf. Only the classes of the image's boxes are ever computed.

Source: Oh, Kim, Ham, "Background-Aware Pooling and Noise-Aware Loss", CVPR 2021, section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from boxseg.dataset import BACKGROUND, IGNORE
from boxseg.nn.field import UpsampledFeatures
from boxseg.nn.reproducible import softmax

Background = Literal["attention", "complement", "zero"]

# u_0 keeps the attention within this share of its maximum.
CONFIDENT = 0.99


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxMasks:
    """The boxes of one image in whole pixels.

    Attributes:
        classes: (K,) int64, the classes that have a box, ascending.
        inside: (K, H, W) bool, pixels inside any box of each of these classes.
        rectangles: Per box, its half-open pixel range (left, top, right, bottom); may be empty.
        owners: Per box, the position of its class in `classes`.
        ignored: (H, W) bool, pixels of crowds, of which the boxes say nothing.
    """

    classes: Tensor
    inside: Tensor
    rectangles: tuple[tuple[int, int, int, int], ...]
    owners: tuple[int, ...]
    ignored: Tensor

    @cached_property
    def outside(self) -> Tensor:
        """(H, W) bool, pixels outside every box."""
        return ~self.inside.any(0)

    @property
    def background(self) -> Tensor:
        """(H, W) bool, M: pixels outside every box and every crowd."""
        return self.outside & ~self.ignored


def box_masks(boxes: Tensor, labels: Tensor, size: tuple[int, int], ignored: Tensor | None = None) -> BoxMasks:
    """Rasterise boxes: a pixel is inside when its centre is inside the half-open box.

    A box so thin that it holds no pixel centre covers no pixel.

    Args:
        boxes: (n, 4) floating, x1 y1 x2 y2, pixel edges; clipped to the image here.
        labels: (n,) integer, class 1..L of each box.
        size: (H, W) of the image, pixels.
        ignored: (H, W) bool, pixels of crowds; None for none.
    """
    height, width = size
    classes, owners = torch.unique(labels.long(), return_inverse=True)
    limit = torch.tensor([width, height, width, height], dtype=boxes.dtype, device=boxes.device)
    corners = torch.minimum((boxes - 0.5).ceil().clamp_min(0), limit).long()
    inside = torch.zeros(len(classes), height, width, dtype=torch.bool, device=boxes.device)
    rectangles: list[tuple[int, int, int, int]] = []
    for (left, top, right, bottom), owner in zip(corners.tolist(), owners.tolist(), strict=True):
        rectangles.append((left, top, right, bottom))
        inside[owner, top:bottom, left:right] = True
    if ignored is None:
        ignored = torch.zeros(height, width, dtype=torch.bool, device=boxes.device)
    return BoxMasks(
        classes=classes,
        inside=inside,
        rectangles=tuple(rectangles),
        owners=tuple(owners.tolist()),
        ignored=ignored,
    )


def background_attention(field: UpsampledFeatures, background: Tensor, grid: int) -> Tensor:
    """A(p): mean over the background queries q_j of ReLU(cos(f↑(p), q_j)), (H, W), on every pixel.

    Args:
        field: Features of the image.
        background: (H, W) bool, M.
        grid: N; the image is cut into N x N cells, and each that holds background gives one query, the mean
            of f↑ over it. Without background there is no query and A = 0.
    """
    height, width = background.shape
    cell_row = torch.arange(height, device=background.device, dtype=torch.int32) * grid // height
    cell_column = torch.arange(width, device=background.device, dtype=torch.int32) * grid // width
    cell = torch.where(background, cell_row[:, None] * grid + cell_column, -1)
    means, present = field.means(cell, torch.arange(grid * grid, dtype=cell.dtype, device=cell.device))
    queries = means[present]
    attention = field.features.new_empty(field.size)
    for rows in field.bands():
        attention[rows] = field.cosine(queries, rows).relu_().sum(0)
    return attention.div_(max(len(queries), 1))


def confident_background(field: UpsampledFeatures, boxes: BoxMasks, grid: int) -> Tensor:
    """u_0, (H, W): A where A >= 0.99 max A (maximum over the whole image) and 0 elsewhere; 1 outside all boxes.

    In an image that is all box there is no query, and u_0 = 0.
    """
    attention = background_attention(field, boxes.background, grid)
    kept = torch.where(attention >= CONFIDENT * attention.max(), attention, 0)
    return torch.where(boxes.outside, 1, kept)


def lowest_peak(cam: Tensor, boxes: BoxMasks, owner: int) -> Tensor:
    """What to divide the CAM (H, W) of a class by: the least of its maxima in the boxes around each pixel.

    That is the largest of the values normalised in each box, whatever the order of the boxes. Outside its boxes
    it is infinite, and 1 in a box where the CAM is 0 throughout.
    """
    peaks = []
    for (left, top, right, bottom), own in zip(boxes.rectangles, boxes.owners, strict=True):
        if own == owner and left < right and top < bottom:
            window = slice(top, bottom), slice(left, right)
            peaks.append((float(cam[window].max()), window))
    lowest = torch.full_like(cam, torch.inf)
    for peak, window in sorted(peaks, key=lambda item: -item[0]):
        lowest[window] = peak or 1.0
    return lowest


def class_scores(
    field: UpsampledFeatures,
    weight: Tensor,
    boxes: BoxMasks,
    *,
    background: Background,
    grid: int,
    known: Tensor | None = None,
) -> Tensor:
    """Probabilities of the background and of the image's classes, before the CRF.

    Inside any box, softmax over [u_0, u_c ...]; outside, (1, 0, ...), but for crowds there, where all are
    equally probable. A class unknown to the classifier has u_c = 1 - u_0 inside its boxes.

    Args:
        field: Features of the image.
        weight: (L + 1, C), the classifier's weights for the classes of the data.
        boxes: The boxes.
        background: Background score inside boxes: `attention` is u_0; `complement` is 1 - max_c u_c (where
            an unknown class still takes its u_c from u_0); `zero` is 0.
        grid: N of the background queries.
        known: (L + 1,) bool, whether the classifier has weights for a class; None where it has for all.

    Returns:
        (K + 1, H, W), background first, then `boxes.classes`.

    Source: section 3.2; unknown classes: section 4, from VOC to COCO.
    """
    scores = field.features.new_ones(len(boxes.classes) + 1, *field.size)
    if len(boxes.classes) == 0:
        return scores
    scores[0] = confident_background(field, boxes, grid)
    for rows in field.bands():
        scores[1:, rows] = field.dot(weight[boxes.classes], rows).relu_()
    for owner, cam in enumerate(scores[1:]):
        cam.div_(lowest_peak(cam, boxes, owner))
    unknown = _unknown(boxes, known)[:, None, None]
    for rows in field.bands():
        u_0, activation, inside = scores[0, rows], scores[1:, rows], boxes.inside[:, rows]
        activation = torch.where(unknown, inside * (1 - u_0), activation)
        own = {"attention": u_0, "complement": 1 - activation.amax(0), "zero": torch.zeros_like(u_0)}[
            background
        ]
        outside = scores.new_zeros(len(scores), 1, 1)
        outside[0] = 1
        crowd = torch.where(boxes.ignored[rows], 1 / len(scores), outside)
        scores[:, rows] = torch.where(boxes.outside[rows], crowd, softmax(torch.cat([own[None], activation])))
    return scores


def finish_crf(probabilities: Tensor, boxes: BoxMasks) -> Tensor:
    """Y_crf: the most probable class, where a class counts inside its boxes only.

    What would be background on a pixel of a crowd is 255, inside boxes and outside.

    Args:
        probabilities: (K + 1, H, W), background first, then `boxes.classes`: the CRF's answer, or
            `class_scores` itself for labels without a CRF.
        boxes: The boxes.

    Returns:
        (H, W) uint8, classes of the data set.
    """
    return _strongest(probabilities, boxes)


def retrieve(
    field: UpsampledFeatures,
    y_crf: Tensor,
    weight: Tensor,
    boxes: BoxMasks,
    *,
    grid: int = 1,
    known: Tensor | None = None,
) -> Tensor:
    """Y_ret: each pixel takes the class whose mean feature under Y_crf it resembles most.

    D_c = ReLU(cos(f↑, q_c)) with q_c the mean of f↑ over {Y_crf = c}, or the classifier weight w_c where
    Y_crf lacks c (for a class unknown to the classifier, the mean of f↑ over its boxes, weighted by 1 - u_0).
    A class counts inside its boxes only; outside all boxes D_0 = 1. Crowds are as in `finish_crf`.

    Args:
        field: Features of the image.
        y_crf: (H, W) integer, classes of the data set, or 255.
        weight: (L + 1, C), the classifier's weights for the classes of the data; row 0 is the background.
        boxes: The boxes.
        grid: N of the background queries.
        known: (L + 1,) bool, whether the classifier has weights for a class; None where it has for all.

    Returns:
        (H, W) uint8, classes of the data set.

    Source: section 3.2.
    """
    classes = torch.cat([boxes.classes.new_tensor([BACKGROUND]), boxes.classes])
    means, present = field.means(y_crf, classes.to(y_crf.dtype))
    prototypes = torch.where(present[:, None], means, weight[classes].to(means.dtype))
    strangers = ~present[1:] & _unknown(boxes, known)
    if strangers.any():
        foreground = boxes.inside[strangers] * (1 - confident_background(field, boxes, grid))
        prototypes[1:][strangers] = field.mean(foreground)
    labels = torch.empty_like(y_crf, dtype=torch.uint8)
    for rows in field.bands():
        # D_0 = 1 outside all boxes is not spelled out: no class may win there.
        labels[rows] = _strongest(field.cosine(prototypes, rows).relu_(), boxes, rows)
    return labels


def _unknown(boxes: BoxMasks, known: Tensor | None) -> Tensor:
    """(K,) bool, whether the classifier lacks weights for each class that has a box."""
    return torch.zeros_like(boxes.classes, dtype=torch.bool) if known is None else ~known[boxes.classes]


def _strongest(scores: Tensor, boxes: BoxMasks, rows: slice = slice(None)) -> Tensor:
    """Class of the highest score at each pixel, uint8; a class counts inside its boxes only.

    Where a crowd is and no class, 255. A class must beat the background and the classes before it strictly.
    One map at a time: an argmax over the few classes of an image is many times slower on a CPU.

    Args:
        scores: (K + 1, n, W), background first, then `boxes.classes`.
        boxes: Of the whole image.
        rows: The n rows of the image that the scores are of.
    """
    best = scores[0]
    labels = torch.full_like(best, BACKGROUND, dtype=torch.uint8)
    for label, score, inside in zip(boxes.classes.tolist(), scores[1:], boxes.inside[:, rows], strict=True):
        better = inside & (score > best)
        labels = torch.where(better, label, labels)
        best = torch.where(better, score, best)
    return torch.where(boxes.ignored[rows] & (labels == BACKGROUND), IGNORE, labels)
