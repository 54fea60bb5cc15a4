"""The interface of a label method, and what it returns for a photo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from boxseg.data.box_masks import Window as Rectangle
from boxseg.data.box_masks import object_windows, paint_masks
from boxseg.dataset import IGNORE, Sample
from boxseg.labelling.objects import ObjectMask
from boxseg.nn.field import Window
from boxseg.nn.mask_scores import label_scores
from boxseg.nn.pseudo import BoxMasks, box_masks, finish_crf

# Pixels above which a photo is finished in windows (`labelling.finishing`).
LARGE = 2**23

MethodT = TypeVar("MethodT", bound="Method")


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """What a method returns for a photo.

    Attributes:
        image: (H, W, 3) uint8 RGB, on the device of the rest.
        boxes: The boxes.
        probabilities: (K + 1, H, W), background first, then `boxes.classes`: what the CRF starts from.
        without_crf: (H, W) bool, pixels on which the CRF changes nothing; None for none.
        retrieve: Gives Y_ret (H, W) from Y_crf (H, W), for labels from a classifier; None if there is no Y_ret.
        objects: The mask of each box, in the order of the boxes; None if the labels inside a box are its mask.
    """

    image: Tensor
    boxes: BoxMasks
    probabilities: Tensor
    without_crf: Tensor | None = None
    retrieve: Callable[[Tensor], Tensor] | None = None
    objects: tuple[ObjectMask, ...] | None = None

    def part(self, window: Window) -> Scored:
        """The same of a window of the photo, without `retrieve` and `objects`."""
        return Scored(
            image=self.image[window],
            boxes=self.boxes.cut(window),
            probabilities=self.probabilities[:, window[0], window[1]],
            without_crf=None if self.without_crf is None else self.without_crf[window],
        )

    def finished(self, refined: Tensor) -> Tensor:
        """The probabilities after the CRF, but for pixels that it leaves alone."""
        if self.without_crf is None:
            return refined
        return torch.where(self.without_crf, self.probabilities, refined)

    def labels(self, refined: Tensor) -> tuple[Tensor, Tensor]:
        """The labels and a second opinion, (H, W) uint8 each: Y_crf and Y_ret, or with the CRF and without.

        Takes the probabilities (K + 1, H, W) after the CRF.
        """
        y_crf = finish_crf(refined, self.boxes)
        if self.retrieve is not None:
            return y_crf, self.retrieve(y_crf)
        return y_crf, finish_crf(self.probabilities, self.boxes)


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredInParts:
    """What a method returns for a photo that is too large to be scored whole.

    Attributes:
        image: (H, W, 3) uint8 RGB, on the device of the rest.
        boxes: The boxes.
        part: What `Scored` has for a window of the photo.
        objects: The mask of each box, in the order of the boxes.
    """

    image: Tensor
    boxes: BoxMasks
    part: Callable[[Window], Scored]
    objects: tuple[ObjectMask, ...]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What labels depend on beside photos, boxes and options.

    Attributes:
        files: Files by name; when labelling is resumed, their content must be the same.
        matches: For each class of the data, the classifier's class that stands for it, or None; empty without a
            classifier.
        pair: Whether there are Y_crf and Y_ret.
        source: What masks.json calls masks that are cut out of the labels.
    """

    files: dict[str, Path] = field(default_factory=dict)
    matches: tuple[str | None, ...] = ()
    pair: bool = False
    source: str = "labels"


class Method(Protocol):
    """A label method. It can be pickled: several processes may label photos."""

    @property
    def origin(self) -> Origin:
        """What its labels depend on."""

    @property
    def device(self) -> torch.device:
        """Where it works."""

    def on(self: MethodT, device: torch.device) -> MethodT:
        """The same on another device."""

    def score(self, sample: Sample, photo: NDArray[np.uint8]) -> Scored | ScoredInParts:
        """What it returns for a photo (H, W, 3).

        Raises:
            DataError: The region of a crowd cannot be read.
        """


@dataclass(frozen=True, kw_only=True)
class BoxMethod:
    """A method that makes the mask of each box by itself, without a network.

    Attributes:
        name: As `label.method`.
        mask_of: The object in a box of a photo: takes the photo (H, W, 3), the box (4,) xyxy and its window
            (left, top, right, bottom) in pixels, and gives (h, w) bool as the window. Picklable.
        device: Where the CRF runs.
        origin: What its labels depend on.
    """

    name: str
    mask_of: Callable[[NDArray[np.uint8], NDArray[np.float64], Rectangle], NDArray[np.bool_]]
    device: torch.device
    origin: Origin = field(default_factory=Origin)

    def on(self, device: torch.device) -> BoxMethod:  # noqa: D102
        return replace(self, device=device)

    def score(self, sample: Sample, photo: NDArray[np.uint8]) -> Scored | ScoredInParts:
        """The masks as labels, that of the smallest box on top, and as they are."""
        size, boxes = (sample.height, sample.width), pixel_boxes(sample, self.device)
        windows = object_windows(sample.boxes, *size)
        masks = [self.mask_of(photo, box, window) for box, window in zip(sample.boxes, windows, strict=True)]
        labels = torch.from_numpy(paint_masks(sample.boxes, sample.labels, size, masks)).to(self.device)
        image = torch.from_numpy(photo).to(self.device)
        objects = tuple(ObjectMask(mask=mask, score=1.0, source=self.name) for mask in masks)
        part = partial(_part, image, boxes, labels)
        if sample.width * sample.height > LARGE:
            return ScoredInParts(image=image, boxes=boxes, part=part, objects=objects)
        return replace(part((slice(0, sample.height), slice(0, sample.width))), objects=objects)


def _part(image: Tensor, boxes: BoxMasks, labels: Tensor, window: Window) -> Scored:
    """What hard labels (H, W) say of a window."""
    own = boxes.cut(window)
    return Scored(image=image[window], boxes=own, probabilities=label_scores(labels[window], own))


def pixel_boxes(sample: Sample, device: torch.device) -> BoxMasks:
    """The boxes of a photo in whole pixels, and its crowds.

    Raises:
        DataError: The region of a crowd cannot be read.
    """
    edges, labels = (torch.from_numpy(array).to(device) for array in (sample.boxes, sample.labels))
    crowds = torch.from_numpy(sample.ignored() == IGNORE).to(device) if sample.ignored else None
    return box_masks(edges, labels, (sample.height, sample.width), crowds)
