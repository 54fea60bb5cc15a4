"""Stage 2: pseudo labels of one image from its features, the box classifier and its boxes.

`class_scores` gives the input of a dense CRF; `finish_crf` turns the CRF's output into Y_crf, and `retrieve`
derives Y_ret from Y_crf. Only classes that have a box in the image are computed.

Source: Oh, Kim, Ham, "Background-Aware Pooling and Noise-Aware Loss", CVPR 2021, section 3.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from boxseg.dataset import BACKGROUND, IGNORE
from boxseg.nn.field import UpsampledFeatures, Window

Background = Literal["attention", "activation"]

# u_0 keeps attention of at least this share of its maximum.
CONFIDENT = 0.99


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxMasks:
    """The boxes of one image in whole pixels.

    Attributes:
        classes: (K,) int64, the classes that have a box, ascending.
        rectangles: Per box, its half-open pixel range (left, top, right, bottom); may be empty.
        owners: Per box, the position of its class in `classes`.
        size: (H, W) of the image.
        crowds: (H, W) bool, pixels of crowds, of which the boxes say nothing; None for none.
    """

    classes: Tensor
    rectangles: tuple[tuple[int, int, int, int], ...]
    owners: tuple[int, ...]
    size: tuple[int, int]
    crowds: Tensor | None = None

    @cached_property
    def inside(self) -> Tensor:
        """(K, H, W) bool, pixels inside any box of each class."""
        inside = torch.zeros(len(self.classes), *self.size, dtype=torch.bool, device=self.classes.device)
        for (left, top, right, bottom), owner in zip(self.rectangles, self.owners, strict=True):
            inside[owner, top:bottom, left:right] = True
        return inside

    @cached_property
    def ignored(self) -> Tensor:
        """(H, W) bool, pixels of crowds."""
        if self.crowds is not None:
            return self.crowds
        return torch.zeros(self.size, dtype=torch.bool, device=self.classes.device)

    def cut(self, window: Window) -> BoxMasks:
        """The boxes in a window of the image, in its pixels, with empty ranges for those elsewhere."""
        rows, columns = (part.indices(side)[:2] for part, side in zip(window, self.size, strict=True))
        low, high = (columns[0], rows[0]) * 2, (columns[1], rows[1]) * 2
        rectangles = (
            [min(max(edge, least), most) - least for edge, least, most in zip(edges, low, high, strict=True)]
            for edges in self.rectangles
        )
        return BoxMasks(
            classes=self.classes,
            rectangles=tuple((left, top, right, bottom) for left, top, right, bottom in rectangles),
            owners=self.owners,
            size=(rows[1] - rows[0], columns[1] - columns[0]),
            crowds=None if self.crowds is None else self.crowds[window],
        )

    def only(self, places: Sequence[int]) -> BoxMasks:
        """Some of the boxes, with their classes alone."""
        owners = [self.owners[place] for place in places]
        kept = sorted(set(owners))
        return BoxMasks(
            classes=self.classes[kept],
            rectangles=tuple(self.rectangles[place] for place in places),
            owners=tuple(kept.index(owner) for owner in owners),
            size=self.size,
            crowds=self.crowds,
        )

    @cached_property
    def outside(self) -> Tensor:
        """(H, W) bool, pixels outside every box."""
        return ~self.inside.any(0)

    @cached_property
    def window(self) -> Window:
        """The smallest window that holds every box; there is no object outside it."""
        full = [edges for edges in self.rectangles if edges[0] < edges[2] and edges[1] < edges[3]]
        if not full:
            return slice(0, 0), slice(0, 0)
        left, top, right, bottom = zip(*full, strict=True)
        return slice(min(top), max(bottom)), slice(min(left), max(right))

    @cached_property
    def crowded(self) -> bool:
        """Whether there are pixels of crowds."""
        return self.crowds is not None and bool(self.crowds.any())

    @property
    def background(self) -> Tensor:
        """(H, W) bool, M: pixels outside every box and every crowd."""
        return self.outside & ~self.ignored


def box_masks(boxes: Tensor, labels: Tensor, size: tuple[int, int], ignored: Tensor | None = None) -> BoxMasks:
    """Rasterise boxes: a pixel is inside when its centre is inside the half-open box.

    Boxes (n, 4) are x1 y1 x2 y2, pixel edges, clipped to the image here; one so thin that it holds no pixel
    centre covers no pixel. `labels` (n,) are classes 1..L, `ignored` (H, W) bool pixels of crowds.
    """
    height, width = size
    classes, owners = torch.unique(labels.long(), return_inverse=True)
    limit = torch.tensor([width, height, width, height], dtype=boxes.dtype, device=boxes.device)
    corners = torch.minimum((boxes - 0.5).ceil().clamp_min(0), limit).long()
    return BoxMasks(
        classes=classes,
        rectangles=tuple((left, top, right, bottom) for left, top, right, bottom in corners.tolist()),
        owners=tuple(owners.tolist()),
        size=size,
        crowds=ignored,
    )


def background_attention(field: UpsampledFeatures, background: Tensor, grid: int) -> Tensor:
    """A(p): mean over the background queries q_j of ReLU(cos(f↑(p), q_j)), (H, W), on every pixel.

    The image is cut into N x N cells, N = `grid`; each that holds background, M (H, W) bool, gives one query,
    the mean of f↑ over it. Without background there is no query and A = 0.
    """
    height, width = background.shape
    cell_row = torch.arange(height, device=background.device, dtype=torch.int32) * grid // height
    cell_column = torch.arange(width, device=background.device, dtype=torch.int32) * grid // width
    cell = torch.where(background, cell_row[:, None] * grid + cell_column, -1)
    means, present = field.means(cell, torch.arange(grid * grid, dtype=cell.dtype, device=cell.device))
    queries = means[present]
    attention = field.features.new_empty(field.size)
    for part in field.bands():
        attention[part] = field.cosine(queries, part).relu_().sum(0)
    return attention.div_(max(len(queries), 1))


def confident_background(field: UpsampledFeatures, boxes: BoxMasks, grid: int) -> Tensor:
    """u_0, (H, W): A where A >= 0.99 max A (maximum over the whole image) and 0 elsewhere; 1 outside all boxes.

    In an image that is all box there is no query, and u_0 = 0.
    """
    attention = background_attention(field, boxes.background, grid)
    kept = torch.where(attention >= CONFIDENT * attention.max(), attention, 0)
    return torch.where(boxes.outside, 1, kept)


def background_activation(field: UpsampledFeatures, weight: Tensor, boxes: BoxMasks) -> Tensor:
    """The background score without u_0, (H, W): ReLU(w_0 · f↑) over its maximum outside all boxes; 0 inside.

    `weight` (C,) is w_0. The pixels of crowds do not count for the maximum. Where the map is 0 throughout, its
    quotient says nothing, and the score outside the boxes is 1, as with u_0.
    """
    score = field.features.new_empty(field.size)
    for part in field.bands():
        score[part] = field.dot(weight[None], part).relu_()[0]
    peak = score.where(boxes.background, 0).amax()
    return torch.where(peak > 0, score / peak, 1).clamp_max_(1) * boxes.outside


def lowest_peak(cam: Tensor, boxes: BoxMasks, owner: int) -> Tensor:
    """What to divide a class's CAM (H, W) by: at each pixel the least of its maxima in the boxes around.

    The quotient is the largest of the values normalised in each box, whatever the order of the boxes. The
    divisor is infinite outside the class's boxes, and 1 in a box where the CAM is 0 throughout.
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

    Inside any box, softmax over [u_0, u_c ...]; outside, (1, 0, ...), or all equal on crowds. A class unknown
    to the classifier has u_c = 1 - u_0 inside its boxes.

    Without u_0, the background score is 0 inside boxes, and outside the background's own activation map takes
    the place of the 1, without a softmax: there the classes do not add up to 1.

    Args:
        field: Features of the image.
        weight: (L + 1, C), the classifier's weights for the classes of the data.
        boxes: The boxes.
        background: Background score: `attention` is u_0; `activation` does without it (an unknown class
            still takes its u_c from u_0).
        grid: N of the background queries.
        known: (L + 1,) bool, whether the classifier has weights for a class; None where it has for all.

    Returns:
        (K + 1, H, W), background first, then `boxes.classes`.

    Source: section 3.2, its ablation without u_0 included; unknown classes: section 4, from VOC to COCO.
    """
    scores = field.features.new_zeros(len(boxes.classes) + 1, *field.size)
    scores[0] = confident_background(field, boxes, grid) if len(boxes.classes) else 1
    for rows, columns in field.bands(boxes.window):
        scores[1:, rows, columns] = field.dot(weight[boxes.classes], (rows, columns)).relu_()
    for owner, cam in enumerate(scores[1:]):
        cam[boxes.window].div_(lowest_peak(cam, boxes, owner)[boxes.window])
    unknown = _unknown(boxes, known)
    for rows, columns in field.bands(boxes.window):
        part, inside = scores[:, rows, columns], boxes.inside[:, rows, columns]
        u_0, activation = part[0], part[1:]
        if unknown.any():
            activation = torch.where(unknown[:, None, None], inside * (1 - u_0), activation)
        own = u_0 if background == "attention" else torch.zeros_like(u_0)
        # Outside the boxes it is (1, 0, …) already: u_0 = 1, and the CAMs were divided by infinity.
        probabilities = torch.cat([own[None], activation]).softmax(0)
        scores[:, rows, columns] = torch.where(boxes.outside[rows, columns], part, probabilities)
    if background == "activation":
        own_map = background_activation(field, weight[BACKGROUND], boxes)
        scores[0] = torch.where(boxes.outside, own_map, scores[0])
    if boxes.crowded:
        scores.masked_fill_(boxes.ignored & boxes.outside, 1 / len(scores))
    return scores


def finish_crf(probabilities: Tensor, boxes: BoxMasks) -> Tensor:
    """Y_crf (H, W) uint8: the most probable class of the data set; a class counts inside its boxes only.

    The probabilities (K + 1, H, W), background first, then `boxes.classes`, are the CRF's answer, or
    `class_scores` itself for labels without a CRF. Background on a pixel of a crowd becomes 255, inside boxes
    and outside.
    """
    rows, columns = boxes.window
    return _strongest([(boxes.window, probabilities[:, rows, columns])], boxes)


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
        y_crf: (H, W) integer, classes of the data set inside their boxes, or 255.
        weight: (L + 1, C), the classifier's weights for the classes of the data; row 0 is the background.
        boxes: The boxes.
        grid: N of the background queries.
        known: (L + 1,) bool, whether the classifier has weights for a class; None where it has for all.

    Returns:
        (H, W) uint8, classes of the data set.

    Source: section 3.2.
    """
    classes = torch.cat([boxes.classes.new_tensor([BACKGROUND]), boxes.classes])
    values = classes.to(y_crf.dtype)
    both = field.means(y_crf, values[:1]), field.means(y_crf, values[1:], boxes.window)
    means, present = (torch.cat(parts) for parts in zip(*both, strict=True))
    prototypes = torch.where(present[:, None], means, weight[classes].to(means.dtype))
    strangers = ~present[1:] & _unknown(boxes, known)
    if strangers.any():
        foreground = boxes.inside[strangers] * (1 - confident_background(field, boxes, grid))
        prototypes[1:][strangers] = field.mean(foreground)
    # Left out: D_0 = 1 outside all boxes, where no class may win, and |f↑|, which divides all scores alike.
    directions = F.normalize(prototypes, dim=1, eps=torch.finfo(prototypes.dtype).tiny)
    parts = field.bands(boxes.window)
    return _strongest(((part, field.dot(directions, part).relu_()) for part in parts), boxes)


def _unknown(boxes: BoxMasks, known: Tensor | None) -> Tensor:
    """(K,) bool: classes of the boxes for which the classifier lacks weights."""
    return torch.zeros_like(boxes.classes, dtype=torch.bool) if known is None else ~known[boxes.classes]


def _strongest(parts: Iterable[tuple[Window, Tensor]], boxes: BoxMasks) -> Tensor:
    """Class of the highest score at each pixel, (H, W) uint8; a class counts inside its boxes only.

    A class must strictly beat the background and earlier classes; background on a crowd is 255. `parts` hold
    all boxes, with scores (K + 1, n, m), not negative, background first. One map at a time: torch's argmax over
    few classes is many times slower on a CPU (https://github.com/pytorch/pytorch/issues/140000).
    """
    labels = torch.full_like(boxes.ignored, BACKGROUND, dtype=torch.uint8)
    for (rows, columns), scores in parts:
        best, strongest, inside = scores[0], labels[rows, columns], boxes.inside[:, rows, columns]
        for label, score, own in zip(boxes.classes.tolist(), scores[1:], inside, strict=True):
            score = score * own
            # Arithmetic in bytes: selecting by a mask takes a CPU many times as long.
            strongest += (label - strongest) * (score > best)
            best = torch.maximum(best, score)
    if boxes.crowded:
        labels[boxes.ignored & (labels == BACKGROUND)] = IGNORE
    return labels
