"""What a mask network says of every box of a photo, on the photo's own pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from boxseg.data.box_masks import Window as Rectangle
from boxseg.data.box_masks import object_windows
from boxseg.data.object_crops import MARGIN, Window, cut_crop, others_map, paste_back, to_crop, window_around
from boxseg.formats.boxes import box_areas
from boxseg.inference.mask_networks import LoadedMaskNetwork
from boxseg.inference.refine import require_finite
from boxseg.nn.mask_network import SIDE, guide_maps
from boxseg.nn.row_bands import FULL_SIZE_PIXELS, bands

# An answer on the grid of a crop, (GRID, GRID), and where the crop lies in the photo.
View = tuple[Tensor, Window]

# Boxes seen together, each as it is and mirrored: more at a time leave a processor's caches, and take memory.
BATCH = 2
# Probability above which a pixel is the object.
THRESHOLD = 0.5
# Margin of the closer crop, and the mean side of a box, pixels, from which there is one.
_CLOSE, _CLOSE_FROM = 0.1, 48.0
# Crowding above which a mask is doubted no more.
_CROWDED = 2.0


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectAnswer:
    """What the network says of one box.

    Attributes:
        rectangle: Pixels of the box, as of `object_windows`.
        views: What the network says on the grids of two crops, and where these lie in the photo.
        agreement: IoU of the masks of the two crops.
        crowding: Area of the box that other boxes cover, in areas of the box; counted for each of them.
    """

    rectangle: Rectangle
    views: tuple[View, View]
    agreement: float
    crowding: float

    @cached_property
    def probability(self) -> Tensor:
        """(bottom - top, right - left) float32, of each pixel of the box to be the object."""
        return self._pasted(self.rectangle)

    @cached_property
    def mask(self) -> Tensor:
        """(bottom - top, right - left) bool."""
        if not self.is_large:
            return self.probability > THRESHOLD
        left, top, right, bottom = self.rectangle
        parts = bands(bottom - top, right - left, pixels=FULL_SIZE_PIXELS)
        return torch.cat(
            [self._pasted((left, top + first, right, top + last)) > THRESHOLD for first, last in parts]
        )

    @property
    def is_large(self) -> bool:
        """Whether its probability takes so much memory that it is made in parts, and made anew."""
        left, top, right, bottom = self.rectangle
        return (right - left) * (bottom - top) > FULL_SIZE_PIXELS

    def within(self, rectangle: Rectangle) -> Tensor:
        """`probability` on a part of the rectangle, (left, top, right, bottom) in the photo."""
        left, top, right, bottom = rectangle
        if self.is_large:
            return self._pasted(rectangle)
        x, y = self.rectangle[:2]
        return self.probability[top - y : bottom - y, left - x : right - x]

    def _pasted(self, rectangle: Rectangle) -> Tensor:
        one, two = (paste_back(answer, window, rectangle) for answer, window in self.views)
        return (one + two) / 2

    @property
    def score(self) -> float:
        """How likely the mask is right, 0..1: the agreement of the views, less in a crowd.

        On photos with true masks this ranks masks better than their probabilities do.
        """
        return self.agreement / (1 + min(self.crowding, _CROWDED) / 2)


def object_answers(
    loaded: LoadedMaskNetwork, photo: NDArray[np.uint8], boxes: NDArray[np.float64]
) -> list[ObjectAnswer]:
    """Answers for the boxes of a photo, in their order: the mean of a crop and a mirrored one.

    Args:
        loaded: The network.
        photo: (H, W, 3) uint8 RGB.
        boxes: (n, 4) xyxy, pixels.
    """
    wide = [window_around(box) for box in boxes]
    # Around all but small objects the mirrored crop is closer, and shows them with more pixels.
    margins = [MARGIN if side < _CLOSE_FROM else _CLOSE for side in np.sqrt(box_areas(boxes)).tolist()]
    close = [window_around(box, (margin,) * 4) for box, margin in zip(boxes, margins, strict=True)]
    rectangles = object_windows(boxes, photo.shape[0], photo.shape[1])
    found: list[ObjectAnswer] = []
    for start in range(0, len(boxes), BATCH):
        some = range(start, min(start + BATCH, len(boxes)))
        views = [_view(loaded, photo, boxes, wide, some), _view(loaded, photo, boxes, close, some, flip=True)]
        for place, first, second in zip(some, *views, strict=True):
            both = (first, wide[place]), (second, close[place])
            found.append(
                ObjectAnswer(
                    rectangle=rectangles[place],
                    views=both,
                    agreement=_agreement(both, rectangles[place]),
                    crowding=_crowding(boxes, place),
                )
            )
    return found


def _crowding(boxes: NDArray[np.float64], place: int) -> float:
    """Area of a box that others cover, in areas of the box."""
    low, high = np.maximum(boxes[:, :2], boxes[place, :2]), np.minimum(boxes[:, 2:], boxes[place, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    return float((shared.sum() - shared[place]) / max(shared[place], 1e-9))


def _view(
    loaded: LoadedMaskNetwork,
    photo: NDArray[np.uint8],
    boxes: NDArray[np.float64],
    windows: Sequence[Window],
    some: range,
    flip: bool = False,
) -> Tensor:
    """Probabilities (b, GRID, GRID) of some boxes, from crops as they are or mirrored."""
    crops, own, others = [], [], []
    for place in some:
        crop, placed = cut_crop(photo, windows[place]), to_crop(boxes, windows[place])
        if flip:
            crop = crop[:, ::-1]
            placed = np.stack([SIDE - placed[:, 2], placed[:, 1], SIDE - placed[:, 0], placed[:, 3]], 1)
        crops.append(crop.transpose(2, 0, 1))
        own.append(placed[place])
        others.append(others_map(np.delete(placed, place, 0)))
    device = loaded.device
    images = torch.from_numpy(np.stack(crops)).to(device)
    guides = guide_maps(
        torch.from_numpy(np.stack(own).astype(np.float32)).to(device),
        torch.from_numpy(np.stack(others)).to(device),
    )
    answers = require_finite(loaded.network(images, guides).float().sigmoid())
    return answers.flip(-1) if flip else answers


def _agreement(views: tuple[View, View], rectangle: Rectangle) -> float:
    """IoU of the masks of two views in a rectangle of the photo; 1 where neither has any."""
    left, top, right, bottom = rectangle
    both = either = 0
    for first, last in bands(bottom - top, right - left, pixels=FULL_SIZE_PIXELS):
        rows = (left, top + first, right, top + last)
        one, two = (paste_back(answer, window, rows) > THRESHOLD for answer, window in views)
        both, either = both + int((one & two).sum()), either + int((one | two).sum())
    return both / either if either else 1.0
