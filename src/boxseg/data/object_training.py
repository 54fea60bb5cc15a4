"""Training crops of the mask network: one object each, as the teacher and as the student sees it."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from boxseg.config import Adapt
from boxseg.data.colour import draw_jitter, jitter_colours
from boxseg.data.geometry import background_map
from boxseg.data.labels import Source, has_labels, read_labels
from boxseg.data.loading import Tensors, TrainingPhotos
from boxseg.data.object_crops import Window, cells_of, cut_crop, others_map, to_crop, window_around
from boxseg.data.workers import LoadingError
from boxseg.dataset import IGNORE, BoxDataset, Sample
from boxseg.errors import DataError
from boxseg.formats.samples import chosen
from boxseg.nn.mask_network import GRID, SIDE

# What labels by class say of a cell: nothing, that it is not the object, that it is.
UNKNOWN, REST, OBJECT = 0, 1, 2

# Longer side that a small object is shown with, at most; the shortest is an option.
_LARGEST_SMALL = 160


class ObjectBatch(TypedDict):
    """B crops around one box each; SIDE pixels, GRID cells a side."""

    images: Tensor  # (B, 3, SIDE, SIDE) uint8 RGB, what is trained on: other colours, some of few pixels
    clean: Tensor  # (B, 3, SIDE, SIDE) uint8 RGB, the same crops as they are in the photo
    boxes: Tensor  # (B, 4) float32, the box in pixels of the crop
    others: Tensor  # (B, GRID, GRID) uint8, how many other boxes cover a cell
    known: Tensor  # (B, GRID, GRID) uint8, what labels say: UNKNOWN, REST or OBJECT


class ObjectTraining(TrainingPhotos):
    """Training crops, one for each box whose shorter side has at least `adapt.min_side` pixels.

    Indexed by the (index, position) pairs of a `StreamSampler`, as `BoxTraining` is: the object, and what its
    crop is drawn from, together with the seed. An item is one crop of an `ObjectBatch`. Where a photo cannot be
    read, the first object of the next one that has any takes its place.

    Args:
        dataset: Photos with boxes.
        options: How crops are drawn.
        seed: Seed of the draws.
        sources: Labels by class, as for `read_labels`, which tell more of the photos that have them.

    Raises:
        DataError: No box is large enough; when indexed, no photo can be read, or labels cannot be used.
    """

    def __init__(self, dataset: BoxDataset, options: Adapt, seed: int, sources: Sequence[Source] = ()) -> None:
        large = [_large_boxes(sample, options.min_side) for sample in dataset.samples]
        samples = chosen(dataset.samples, large)
        if dataset.samples and not samples:
            raise DataError(
                f"split {dataset.split!r} of {dataset.root} has no box of at least {options.min_side:g} "
                "pixels a side to train on: give adapt.min_side=…"
            )
        super().__init__(replace(dataset, samples=samples), seed)
        self._options = options
        self._sources, self._classes = tuple(sources), len(dataset.classes)
        places = array("q")  # photo and box of each object in turn
        for photo, boxes in enumerate(filter(None, large)):
            for box in boxes:
                places.extend((photo, box))
        self._places = np.frombuffer(places, dtype=np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self._places)

    def _photo(self, index: int) -> Sample:
        return self._samples[int(self._places[index, 0])]

    def __getitem__(self, key: tuple[int, int]) -> Tensors:
        index, position = key
        photo, box = self._places[index].tolist()
        sample, image = self._read(photo)
        if sample != self._samples[photo]:
            box = _large_boxes(sample, self._options.min_side)[0]
        rng = np.random.default_rng([self._seed, position])
        low, high = self._options.margins
        left, top, right, bottom = rng.uniform(low, high, 4).tolist()
        window = window_around(sample.boxes[box], (left, top, right, bottom))
        crop = cut_crop(np.asarray(image), window)
        boxes = to_crop(sample.boxes, window)
        known = self._known(sample, box, window)
        if rng.random() < self._options.flip:
            crop = np.ascontiguousarray(crop[:, ::-1])
            boxes = np.stack([SIDE - boxes[:, 2], boxes[:, 1], SIDE - boxes[:, 0], boxes[:, 3]], 1)
            known = known[:, ::-1].copy()
        return {
            "image": _channels_first(self._seen(crop, rng)),
            "clean": _channels_first(crop),
            "boxes": torch.from_numpy(boxes[box].astype(np.float32)),
            "others": torch.from_numpy(others_map(np.delete(boxes, box, 0))),
            "known": torch.from_numpy(known),
        }

    def _known(self, sample: Sample, box: int, window: Window) -> NDArray[np.uint8]:
        """What the labels of a photo say of the cells of a crop, where they agree: (GRID, GRID)."""
        if not self._sources or not all(has_labels(sample, source) for source in self._sources):
            return np.zeros((GRID, GRID), np.uint8)
        try:
            labels, other = read_labels(sample, self._sources, self._classes)
        except DataError as error:
            raise LoadingError(str(error)) from error
        own = labels == sample.labels[box]
        said = np.where((labels == other) & (labels != IGNORE), np.where(own, OBJECT, REST), UNKNOWN)
        # In another box of the class its pixels may be the other object's.
        rivals = np.flatnonzero(sample.labels == sample.labels[box])
        elsewhere = background_map(sample.boxes[rivals[rivals != box]], *labels.shape)
        return cells_of(np.where(own & ~elsewhere, UNKNOWN, said).astype(np.uint8), window)

    def _seen(self, crop: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """The crop in other colours and, some of the time, of so few pixels as a small object has."""
        picture = Image.fromarray(crop)
        if rng.random() < self._options.small:
            least, most = math.log(self._options.smallest), math.log(_LARGEST_SMALL)
            side = int(math.exp(rng.uniform(least, most)))
            few = picture.resize((side, side), Image.Resampling.BILINEAR)
            picture = few.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        return np.array(jitter_colours(picture, draw_jitter(self._options.jitter, rng)))

    @staticmethod
    def collate(items: list[Tensors]) -> ObjectBatch:
        """Put crops into a batch."""
        return {
            "images": _stack("image", items),
            "clean": _stack("clean", items),
            "boxes": _stack("boxes", items),
            "others": _stack("others", items),
            "known": _stack("known", items),
        }


def _large_boxes(sample: Sample, least: float) -> list[int]:
    """Places of the boxes whose shorter side has at least so many pixels."""
    sides = sample.boxes[:, 2:] - sample.boxes[:, :2]
    found: list[int] = np.flatnonzero(sides.min(axis=1) >= least).tolist()
    return found


def _stack(name: str, items: list[Tensors]) -> Tensor:
    return torch.stack([item[name] for item in items])


def _channels_first(crop: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))
