"""The interface of a label method, and what it returns for a photo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from boxseg.dataset import IGNORE, Sample
from boxseg.nn.mask_scores import label_scores
from boxseg.nn.pseudo import BoxMasks, box_masks, finish_crf

MethodT = TypeVar("MethodT", bound="Method")


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """What a method returns for a photo.

    Attributes:
        image: (H, W, 3) uint8 RGB, on the device of the rest.
        boxes: The boxes.
        probabilities: (K + 1, H, W), background first, then `boxes.classes`: what the CRF starts from.
        retrieve: Gives Y_ret (H, W) from Y_crf (H, W); None if Y_ret is the method's answer without a CRF.
    """

    image: Tensor
    boxes: BoxMasks
    probabilities: Tensor
    retrieve: Callable[[Tensor], Tensor] | None = None

    def labels(self, refined: Tensor) -> tuple[Tensor, Tensor]:
        """Y_crf and Y_ret, (H, W) uint8 each, from the probabilities (K + 1, H, W) after the CRF."""
        y_crf = finish_crf(refined, self.boxes)
        if self.retrieve is not None:
            return y_crf, self.retrieve(y_crf)
        return y_crf, finish_crf(self.probabilities, self.boxes)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What labels depend on beside photos, boxes and options.

    Attributes:
        files: Files by name; when labelling is resumed, their content must be the same.
        matches: For each class of the data, the classifier's class that stands for it, or None; empty without a
            classifier.
    """

    files: dict[str, Path] = field(default_factory=dict)
    matches: tuple[str | None, ...] = ()


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

    def score(self, sample: Sample, photo: NDArray[np.uint8]) -> Scored:
        """What it returns for a photo (H, W, 3).

        Raises:
            DataError: The region of a crowd cannot be read.
        """


@dataclass(frozen=True, kw_only=True)
class HardLabels:
    """A method that gives each pixel of a photo one class, from its boxes and without a network.

    Attributes:
        paint: Labels (H, W) uint8 of a sample and its photo (H, W, 3). Picklable.
        device: Where the CRF runs.
    """

    paint: Callable[[Sample, NDArray[np.uint8]], NDArray[np.uint8]]
    device: torch.device
    origin: Origin = field(default_factory=Origin)

    def on(self, device: torch.device) -> HardLabels:  # noqa: D102
        return replace(self, device=device)

    def score(self, sample: Sample, photo: NDArray[np.uint8]) -> Scored:  # noqa: D102
        boxes, labels = pixel_boxes(sample, self.device), self.paint(sample, photo)
        return Scored(
            image=torch.from_numpy(photo).to(self.device),
            boxes=boxes,
            probabilities=label_scores(torch.from_numpy(labels).to(self.device), boxes),
        )


def pixel_boxes(sample: Sample, device: torch.device) -> BoxMasks:
    """The boxes of a photo in whole pixels, and its crowds.

    Raises:
        DataError: The region of a crowd cannot be read.
    """
    edges, labels = (torch.from_numpy(array).to(device) for array in (sample.boxes, sample.labels))
    crowds = torch.from_numpy(sample.ignored() == IGNORE).to(device) if sample.ignored else None
    return box_masks(edges, labels, (sample.height, sample.width), crowds)
