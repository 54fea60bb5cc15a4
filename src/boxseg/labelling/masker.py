"""Masks of boxes in memory: one photo, its boxes, and the mask network that comes with boxseg."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from boxseg.config import Crf, Masks, TrainerOptions
from boxseg.config.data import MOST_PIXELS
from boxseg.data.box_masks import Window, object_windows
from boxseg.data.geometry import painting_order
from boxseg.dataset import Sample
from boxseg.errors import DataError
from boxseg.formats.boxes import judge_boxes
from boxseg.formats.components import clean_mask
from boxseg.formats.images import small_png, to_photo
from boxseg.formats.simplify import mask_polygons
from boxseg.formats.supervision import detections
from boxseg.inference.devices import torch_device
from boxseg.inference.mask_networks import SHIPPED, load_mask_network
from boxseg.labelling.finishing import finish
from boxseg.labelling.from_network import FromNetwork
from boxseg.labelling.method import Scored, ScoredInParts
from boxseg.labelling.objects import with_fallbacks
from boxseg.palette import overlay
from boxseg.wording import counted

# Classes that a palette image can hold.
_MOST_CLASSES = 254


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ObjectMasks:
    """The masks of a photo's boxes. In a notebook it shows as the photo with its masks over it.

    Attributes:
        image: The upright photo, (H, W, 3) uint8 RGB.
        boxes: (n, 4) x1 y1 x2 y2, pixels, cut at the photo's edges.
        labels: (n,) class of each box, 1..L.
        classes: Names of classes 1..L.
        windows: Pixels of each box, half-open (left, top, right, bottom).
        parts: Mask of each box on its window, (h, w) bool. `masks` has them in the size of the photo.
        scores: (n,), how likely each mask is right, 0..1; 0 for a fallback.
        sources: `network`, or `fallback`: the network found nothing, and the mask is the ellipse in the box.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    windows: tuple[Window, ...]
    parts: tuple[NDArray[np.bool_], ...]
    scores: NDArray[np.float64]
    sources: tuple[str, ...]
    _scored: Scored | ScoredInParts = field(repr=False)
    _crf: Crf = field(repr=False)

    def __len__(self) -> int:
        return len(self.parts)

    @property
    def masks(self) -> NDArray[np.bool_]:
        """(n, H, W) bool, made anew each time; of many boxes in a large photo `parts` take less memory."""
        whole = np.zeros((len(self), *self.image.shape[:2]), dtype=bool)
        for mask, (left, top, right, bottom), part in zip(whole, self.windows, self.parts, strict=True):
            mask[top:bottom, left:right] = part
        return whole

    @cached_property
    def labels_map(self) -> NDArray[np.uint8]:
        """(H, W) uint8: 0 background, or the class; a pixel of several boxes goes to the most probable one."""
        with torch.inference_mode():
            found: Tensor = finish([self._scored], self._crf)[0].labels
        return found.cpu().numpy()

    def polygons(self, simplify: float = 1.0) -> list[list[NDArray[np.float64]]]:
        """For each box the outlines of its mask, (k, 2) x y each, pixels; holes are cut open by a line.

        Args:
            simplify: Corners are left out as long as they stay within this many pixels of the outline.
        """
        found = []
        for part, window in zip(self.parts, self.windows, strict=True):
            rings = mask_polygons(part, simplify)
            found.append([np.asarray(ring + np.array(window[:2]), dtype=np.float64) for ring in rings])
        return found

    def to_supervision(self) -> Any:
        """The masks as `supervision.Detections`, one for each box, in their order.

        `class_id` is the place in `classes`, from 0, `confidence` the score, and `data["class_name"]` the name.

        Raises:
            MissingExtraError: supervision is not installed.
        """
        return detections(
            boxes=self.boxes, masks=self.masks, scores=self.scores, labels=self.labels, classes=self.classes
        )

    def overlay(self, opacity: float = 0.55) -> Image.Image:
        """The photo with its masks painted over it, each in a colour of its own, small boxes on top."""
        numbers = np.zeros(self.image.shape[:2], dtype=np.uint8)
        for place in painting_order(self.boxes, self.labels):
            left, top, right, bottom = self.windows[place]
            numbers[top:bottom, left:right][self.parts[place]] = place % _MOST_CLASSES + 1
        return Image.fromarray(overlay(self.image, numbers, opacity))

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        fallbacks = self.sources.count("fallback")
        more = f", {fallbacks} fallback" if fallbacks else ""
        return f"{type(self).__name__}({counted(len(self), 'mask')} on {width}x{height} pixels{more})"

    def _repr_png_(self) -> bytes:
        return small_png(self.overlay())


class Masker:
    """Makes masks from boxes; the network is loaded once, and the object called for each photo.

    Args:
        checkpoint: A mask network of `boxseg adapt`, or its run folder; by default the one that comes with
            boxseg.
        device: `auto`, `cpu` or `gpu`.
        crf: Dense CRF of `labels_map`: on or off, or one of other options. Masks are made without it.
        max_pixels: Photo files of more pixels are refused: decoded, a small file may be of any size.

    Example:
        >>> masker = Masker()
        >>> image = np.full((120, 160, 3), 90, np.uint8)
        >>> image[30:90, 40:120] = (200, 60, 40)
        >>> masker(image, [[40, 30, 120, 90]]).masks.shape
        (1, 120, 160)

    Raises:
        CheckpointError: The checkpoint is no mask network.
        ConfigError: The device is not there.
    """

    def __init__(
        self,
        checkpoint: Path | str | None = None,
        *,
        device: str = "auto",
        crf: bool | Crf = True,
        max_pixels: int = MOST_PIXELS,
    ) -> None:
        place = torch_device(TrainerOptions(accelerator=device))
        self._method = FromNetwork(loaded=load_mask_network(checkpoint or SHIPPED, place))
        self._max_pixels = max_pixels
        self._crf = crf if isinstance(crf, Crf) else Crf(enabled=crf)

    def __call__(self, image: Any, boxes: Any, labels: Sequence[int | str] | None = None) -> ObjectMasks:
        """The masks of a photo's boxes.

        Args:
            image: A path, a PIL image, an array (H, W, 3) or (H, W) uint8, or a tensor (3, H, W) uint8.
            boxes: (n, 4) x1 y1 x2 y2 in pixels: a list, an array or a tensor. What sticks out is cut off.
            labels: The class of each box, a number from 1 on or a name; without them all are of class 1.

        Raises:
            DataError: The photo cannot be read, or a box has no area in it; its number is named.
        """
        photo = to_photo(image, self._max_pixels)
        usable = _boxes(boxes, photo)
        numbers, classes = _classes(labels, len(usable))
        sample = Sample(
            id="photo",
            image=Path("photo"),
            width=photo.shape[1],
            height=photo.shape[0],
            boxes=usable,
            labels=numbers,
            difficult=np.zeros(len(usable), dtype=bool),
        )
        with torch.inference_mode():
            scored = self._method.score(sample, photo)
        objects = with_fallbacks(scored.objects or (), sample)
        clean = Masks()
        return ObjectMasks(
            image=photo,
            boxes=usable,
            labels=numbers,
            classes=classes,
            windows=tuple(object_windows(usable, *photo.shape[:2])),
            parts=tuple(clean_mask(item.mask, clean.min_component, clean.fill_holes) for item in objects),
            scores=np.array([item.score for item in objects], dtype=np.float64),
            sources=tuple(item.source for item in objects),
            _scored=scored,
            _crf=self._crf,
        )


def masks(
    image: Any,
    boxes: Any,
    labels: Sequence[int | str] | None = None,
    *,
    checkpoint: Path | str | None = None,
    max_pixels: int = MOST_PIXELS,
) -> ObjectMasks:
    """The masks of a photo's boxes; for more than one photo, a `Masker` loads the network only once.

    Arguments and errors are those of `Masker`.

    Example:
        >>> image = np.full((120, 160, 3), 90, np.uint8)
        >>> image[30:90, 40:120] = (200, 60, 40)
        >>> found = masks(image, [[40, 30, 120, 90]], ["box"])
        >>> found.classes, found.labels_map.shape
        (('box',), (120, 160))
    """
    return Masker(checkpoint, max_pixels=max_pixels)(image, boxes, labels)


def _boxes(given: Any, photo: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Boxes (n, 4) float64, cut at the photo's edges."""
    array = given.detach().cpu().numpy() if isinstance(given, Tensor) else given
    try:
        boxes = np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"boxes are rows of four numbers x1 y1 x2 y2, got {given!r}"[:200]) from error
    if boxes.size == 0:
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise DataError(f"boxes of shape {boxes.shape}, expected (n, 4): rows x1 y1 x2 y2 in pixels")
    clipped, keep, verdicts = judge_boxes(boxes, photo.shape[1], photo.shape[0])
    for verdict in verdicts:
        if not keep[verdict.index]:
            raise DataError(f"boxes[{verdict.index}]: {verdict.kind}: {verdict.detail}")
    return clipped


def _classes(labels: Sequence[int | str] | None, count: int) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Class 1..L of each box, and the names of the classes."""
    given = [1] * count if labels is None else list(labels)
    if len(given) != count:
        raise DataError(f"{counted(len(given), 'label')} for {counted(count, 'box')}: give one for each")
    if all(isinstance(label, str) for label in given):
        names = tuple(dict.fromkeys(str(label) for label in given))
        numbers = [names.index(str(label)) + 1 for label in given]
    else:
        numbers = [_number(label) for label in given]
        most = max(numbers, default=0)
        if most > _MOST_CLASSES:
            raise DataError(f"label {most}: classes are numbered from 1 to {_MOST_CLASSES} at most")
        names = tuple(str(number) for number in range(1, most + 1))
    if len(names) > _MOST_CLASSES:
        raise DataError(f"{counted(len(names), 'class')}, at most {_MOST_CLASSES} are possible")
    return np.array(numbers, dtype=np.int64), names


def _number(label: Any) -> int:
    try:
        number = int(label)
    except (TypeError, ValueError):
        number = 0
    if isinstance(label, str) or number < 1 or number != label:
        raise DataError(f"label {label!r}: expected whole numbers from 1 on, or a name for every box")
    return number
