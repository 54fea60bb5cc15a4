"""Crops of photos around single boxes, and masks from crops back in the photo."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from boxseg.nn.mask_network import GRID, MOST_OTHERS, SIDE

# Margin on each side of the box, as a share of its width or height; what the network was trained around.
MARGIN = 0.2
# A window is at most this many times as long as it is wide: narrower ones are widened, not stretched.
LONGEST = 2.0
# What a crop shows beyond the photo's edge.
_BEYOND = 127
# A photo this many times larger than the crop is halved, or more, before it is resized.
_REDUCED = 3


class Window(NamedTuple):
    """Edges of a part of a photo, pixels; it may stick out of the photo."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the crop a pixel of the photo, across and down."""
        return SIDE / (self.right - self.left), SIDE / (self.bottom - self.top)


def window_around(
    box: NDArray[np.float64], margins: tuple[float, float, float, float] = (MARGIN,) * 4
) -> Window:
    """The window of a box (4,) xyxy, with margins at its left, top, right and bottom."""
    left, top, right, bottom = (float(edge) for edge in box)
    width, height = max(right - left, 1.0), max(bottom - top, 1.0)
    left, right = left - margins[0] * width, right + margins[2] * width
    top, bottom = top - margins[1] * height, bottom + margins[3] * height
    wider = max(0.0, (bottom - top) / LONGEST - (right - left)) / 2
    higher = max(0.0, (right - left) / LONGEST - (bottom - top)) / 2
    return Window(left - wider, top - higher, right + wider, bottom + higher)


def cut_crop(photo: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    """The window of a photo (H, W, 3), resized to (SIDE, SIDE, 3)."""
    height, width = photo.shape[:2]
    left, top = max(math.floor(window.left) - 1, 0), max(math.floor(window.top) - 1, 0)
    right, bottom = min(math.ceil(window.right) + 1, width), min(math.ceil(window.bottom) + 1, height)
    part = Image.fromarray(photo[top:bottom, left:right])
    # In the part's own pixels, of which a large one has fewer.
    factors = [max(1, int(1 / (_REDUCED * scale))) for scale in window.scale]
    part = part.reduce((factors[0], factors[1])) if max(factors) > 1 else part
    x = [(edge - left) / factors[0] for edge in (window.left, window.right)]
    y = [(edge - top) / factors[1] for edge in (window.top, window.bottom)]
    before = max(0, -math.floor(x[0])), max(0, -math.floor(y[0]))
    after = max(0, math.ceil(x[1]) - part.width), max(0, math.ceil(y[1]) - part.height)
    if any((*before, *after)):
        size = before[0] + part.width + after[0], before[1] + part.height + after[1]
        canvas = Image.new("RGB", size, (_BEYOND,) * 3)
        canvas.paste(part, before)
        part = canvas
    edges = x[0] + before[0], y[0] + before[1], x[1] + before[0], y[1] + before[1]
    return np.asarray(part.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=edges))


def to_crop(boxes: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
    """Boxes (n, 4) xyxy of the photo in pixels of the crop."""
    corner, scale = np.array([window.left, window.top] * 2), np.array(window.scale * 2)
    return np.asarray((boxes - corner) * scale)


def others_map(boxes: NDArray[np.float64]) -> NDArray[np.uint8]:
    """How many boxes (n, 4), in pixels of the crop, cover each cell: (GRID, GRID), MOST_OTHERS at most."""
    cells = np.arange(GRID) * 2 + 0.5
    columns = (boxes[:, 0:1] < cells) & (cells < boxes[:, 2:3])
    rows = (boxes[:, 1:2] < cells) & (cells < boxes[:, 3:4])
    count = rows.astype(np.float32).T @ columns.astype(np.float32)
    return np.asarray(np.minimum(count, MOST_OTHERS), dtype=np.uint8)


def cells_of(labels: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    """The labels (H, W) of the pixels under the cells of a crop's grid, (GRID, GRID); 0 beyond the photo."""
    cells = np.arange(GRID) * 2 + 0.5
    across, down = window.scale
    columns = np.floor(window.left + cells / across).astype(np.int64)
    rows = np.floor(window.top + cells / down).astype(np.int64)
    height, width = labels.shape
    there = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    found = labels[rows.clip(0, height - 1)[:, None], columns.clip(0, width - 1)]
    return np.where(there, found, 0).astype(np.uint8)


def paste_back(answer: Tensor, window: Window, rectangle: tuple[int, int, int, int]) -> Tensor:
    """What a crop's grid says on the pixels of the photo, by linear interpolation.

    Args:
        answer: (GRID, GRID).
        window: Of the crop.
        rectangle: (left, top, right, bottom), the pixels that are asked for, half-open.

    Returns:
        (bottom - top, right - left).
    """
    left, top, right, bottom = rectangle
    across, down = window.scale
    x = (torch.arange(left, right, dtype=torch.float64) + 0.5 - window.left) * across - 0.5
    y = (torch.arange(top, bottom, dtype=torch.float64) + 0.5 - window.top) * down - 0.5
    # A cell lies over every other pixel, the first over the first; grid_sample calls that range -1 to 1.
    x, y = x / (GRID - 1) - 1, y / (GRID - 1) - 1
    places = torch.stack([x.expand(len(y), -1), y[:, None].expand(-1, len(x))], -1)
    return F.grid_sample(
        answer[None, None], places[None].to(answer), align_corners=True, padding_mode="border"
    )[0, 0]
