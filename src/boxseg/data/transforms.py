"""Random changes of a training image, its boxes and its label maps together.

Only `augment` draws random numbers. `view` scales, pads and crops in one step, so that nothing is computed for
pixels that are cut off. The photo stays a Pillow image until it is cropped: arrays would be copies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boxseg.config import Augment
from boxseg.data.colour import draw_jitter, jitter_colours
from boxseg.dataset import IGNORE
from boxseg.formats.boxes import box_areas, clip_boxes

T = TypeVar("T", bound=np.generic)

MEAN_COLOUR = (124, 117, 104)  # of ImageNet: padding is about zero after normalisation

# A box that shows less than this in the crop does not show its class: see `is_sliver`.
SLIVER_SIDE = 4.0  # pixels of the crop: half a cell of a feature map of stride 8
SLIVER_SHARE = 0.1  # of the box's area


@dataclass(frozen=True, kw_only=True, eq=False)
class Item:
    """A photo with its boxes and label maps, which are transformed together."""

    image: Image.Image  # of mode RGB, W x H pixels
    boxes: NDArray[np.float64]  # (n, 4) x1 y1 x2 y2 in pixels, half-open edges, inside the image
    labels: NDArray[np.int64]  # (n,) class 1..L of each box
    visible: NDArray[np.float64]  # (n,) share of each annotated box's area that is still in the image
    maps: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)  # label maps by name, (H, W) each
    valid: NDArray[np.bool_]  # (H, W), False on padding

    @classmethod
    def of(
        cls,
        image: Image.Image,
        boxes: NDArray[np.float64],
        labels: NDArray[np.int64],
        maps: Mapping[str, NDArray[np.uint8]] | None = None,
    ) -> Item:
        """A whole RGB photo with boxes (n, 4), their labels (n,) and label maps (H, W)."""
        return cls(
            image=image,
            boxes=boxes,
            labels=labels,
            visible=np.ones(len(boxes)),
            maps=maps or {},
            valid=np.ones((image.height, image.width), dtype=np.bool_),
        )


@dataclass(frozen=True, kw_only=True)
class CropWindow:
    """A window of a resized image, in pixels; beyond the right or lower edge it is padded."""

    scaled: tuple[int, int]  # (width, height) the image is resized to
    left: int  # first column of the window in the resized image
    top: int  # first row, likewise
    size: tuple[int, int]  # (width, height) of the window


def view(item: Item, window: CropWindow) -> Item:
    """The part of an item in a window: scale, crop and pad in one step.

    The photo is resized bilinearly (antialiased when it shrinks), label maps by the nearest pixel centre.
    Padding has the mean colour, label 255 and valid False. Boxes are clipped to the window, dropped if outside.
    """
    height, width = item.valid.shape
    columns = _sources(width, window.scaled[0], window.left, window.size[0])
    rows = _sources(height, window.scaled[1], window.top, window.size[1])
    boxes, share = _window_boxes(item.boxes, (width, height), window)
    inside = share > 0
    return Item(
        image=_window_image(item.image, window, len(columns), len(rows)),
        boxes=boxes[inside],
        labels=item.labels[inside],
        visible=(item.visible * share)[inside],
        maps={name: _pick(values, rows, columns, window.size, IGNORE) for name, values in item.maps.items()},
        valid=_pick(item.valid, rows, columns, window.size, False),
    )


def flip(item: Item) -> Item:
    """An item mirrored left to right, its maps views of the old ones; half-open edges x become W - x."""
    width = item.image.width
    boxes = item.boxes.copy()
    boxes[:, [0, 2]] = width - item.boxes[:, [2, 0]]
    return replace(
        item,
        image=item.image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        boxes=boxes,
        maps={name: values[:, ::-1] for name, values in item.maps.items()},
        valid=item.valid[:, ::-1],
    )


def is_sliver(item: Item) -> NDArray[np.bool_]:
    """Which boxes (n,) show too little of their object to tell its class.

    A sliver is neither an example of its class nor background: draw the background map from all boxes.
    """
    sides = item.boxes[:, 2:] - item.boxes[:, :2]
    return np.asarray((sides.min(axis=1, initial=np.inf) < SLIVER_SIDE) | (item.visible < SLIVER_SHARE))


def augment(item: Item, options: Augment, rng: np.random.Generator) -> Item:
    """A random square crop of a randomly scaled, mirrored and coloured photo.

    An image smaller than the crop is put in its upper left corner. The same random numbers are drawn for all
    options, so switching off one change does not alter the others.
    """
    height, width = item.valid.shape
    scale = rng.uniform(*options.scale)
    scaled = (max(1, round(width * scale)), max(1, round(height * scale)))
    left, top = (int(rng.random() * (max(0, side - options.crop) + 1)) for side in scaled)
    mirrored = rng.random() < options.flip
    jitter = draw_jitter(options.jitter, rng)
    item = view(item, CropWindow(scaled=scaled, left=left, top=top, size=(options.crop, options.crop)))
    if mirrored:
        item = flip(item)
    if options.jitter:
        item = replace(item, image=jitter_colours(item.image, jitter))
    return item


def _sources(side: int, scaled: int, first: int, size: int) -> NDArray[np.int64]:
    """The source pixel of each pixel of the window along one axis, as far as the image reaches.

    Pixel i of the resized image has its centre at (i + 1/2) · side / scaled of the source. Integer arithmetic
    keeps a mask equal to the box it was drawn from.
    """
    pixels = np.arange(first, min(first + size, scaled), dtype=np.int64)
    return np.asarray((2 * pixels + 1) * side // (2 * scaled))


def _pick(
    values: NDArray[T],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    size: tuple[int, int],
    padding: int | bool,
) -> NDArray[T]:
    picked = np.full((size[1], size[0]), padding, dtype=values.dtype)
    picked[: len(rows), : len(columns)] = values.take(rows, axis=0).take(columns, axis=1)
    return picked


def _window_image(image: Image.Image, window: CropWindow, columns: int, rows: int) -> Image.Image:
    if not (columns and rows):
        return Image.new("RGB", window.size, MEAN_COLOUR)
    (width, height), (across, down) = image.size, window.scaled
    source = (
        window.left * width / across,
        window.top * height / down,
        (window.left + columns) * width / across,
        (window.top + rows) * height / down,
    )
    resized = image.resize((columns, rows), Image.Resampling.BILINEAR, box=source)
    if resized.size == window.size:
        return resized
    padded = Image.new("RGB", window.size, MEAN_COLOUR)
    padded.paste(resized)
    return padded


def _window_boxes(
    boxes: NDArray[np.float64], size: tuple[int, int], window: CropWindow
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Boxes (n, 4) in the window, clipped, and the share (n,) of each one's area that is left."""
    scaled = boxes * np.tile(window.scaled, 2) / np.tile(size, 2) - np.tile((window.left, window.top), 2)
    clipped = clip_boxes(scaled, *window.size)
    before, after = box_areas(scaled), box_areas(clipped)
    return clipped, np.divide(after, before, out=np.zeros_like(after), where=before > 0)
