"""A picture sheet: one photo a row, its boxes and labels beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from boxseg.atomic import atomic_path
from boxseg.config import Evaluate
from boxseg.data.box_masks import object_windows
from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import DataError
from boxseg.formats.images import sample_image
from boxseg.formats.samples import chosen
from boxseg.inference.multiscale import label_group
from boxseg.inference.networks import Loaded
from boxseg.nn.deeplab import Segmenter
from boxseg.palette import overlay, picture_palette
from boxseg.runs.label_source import label_sources
from boxseg.runs.layout import AGREED, FINAL
from boxseg.scoring.doubtful_masks import TINY
from boxseg.scoring.label_scores import LABEL_TITLES, Labels, read_truth
from boxseg.shards.find import home_of

Picture = NDArray[np.uint8]

_CELL = 220  # pixels: the longer side of a picture
_GAP = 6
_HEAD = 24
_ROWS = 6  # photos on the sheet of a run
_HEADS = {AGREED: "reliable labels"}


def draw_boxes(image: Picture, boxes: NDArray[np.float64], labels: NDArray[np.int64]) -> Picture:
    """The photo (H, W, 3) with its boxes (n, 4) xyxy, pixels, in the colours of their classes 1..L (n,)."""
    canvas = Image.fromarray(image)
    pen = ImageDraw.Draw(canvas)
    colours = picture_palette()
    width = max(2, round(max(canvas.size) / 110))
    for box, label in zip(boxes, labels, strict=True):
        x1, y1, x2, y2 = (float(edge) for edge in box)
        pen.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=tuple(colours[label]), width=width)
    return np.asarray(canvas)


def label_picture(image: Picture, labels: NDArray[np.uint8] | None) -> Picture | None:
    """Labels (H, W) painted over the photo, 255 in white; None without labels."""
    if labels is None:
        return None
    painted = overlay(image, labels, opacity=0.75)
    return np.where((labels == 255)[..., None], np.uint8(255), painted)


def write_sheet(
    path: Path, heads: Sequence[str], rows: Sequence[Sequence[Picture | None]], *, cell: int = _CELL
) -> None:
    """Write pictures (H, W, 3) uint8 of any sizes as one PNG: a head above each column, a row for each photo.

    None stands for an empty place. `cell` is the longer side of a picture on the sheet, in pixels; smaller
    pictures are not enlarged, which would show their pixels.
    """
    tiles = [[_shrink(picture, cell) for picture in row] for row in rows]
    heights = [max((tile.height for tile in row if tile), default=0) for row in tiles]
    size = (len(heads) * (cell + _GAP) + _GAP, _HEAD + sum(heights) + _GAP * (len(rows) + 1))
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=14)
    for column, head in enumerate(heads):
        pen.text((_GAP + column * (cell + _GAP) + cell / 2, _HEAD / 2), head, "black", font=font, anchor="mm")
    top = _HEAD
    for row, height in zip(tiles, heights, strict=True):
        for column, tile in enumerate(row):
            if tile:
                left = _GAP + column * (cell + _GAP) + (cell - tile.width) // 2
                sheet.paste(tile, (left, top + (height - tile.height) // 2))
        top += height + _GAP
    with atomic_path(path) as temporary:
        sheet.save(temporary, optimize=True)


def _shrink(picture: Picture | None, cell: int) -> Image.Image | None:
    if picture is None:
        return None
    image = Image.fromarray(picture)
    scale = min(1.0, cell / max(image.size))
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def make_sheet(
    path: Path, dataset: BoxDataset, labels: Path, loaded: Loaded[Segmenter], options: Evaluate
) -> None:
    """Draw photos of a split with boxes, prediction, ground truth and the labels of a folder made by `label`.

    The box of an object that labels or prediction lost is drawn there, too.

    Raises:
        DataError: No photo has labels, or none of those chosen can be read.
    """
    rows, sources = [], label_sources(labels)
    for sample in _evenly(dataset, labels):
        try:
            image = sample_image(sample)
        except DataError:  # damaged since it was labelled; the report names it
            continue
        masks = [source.read(sample.id, len(dataset.classes)) for source in sources.values()]
        predicted = label_group(loaded, [image], options)[0].labels.cpu().numpy()
        truth = _truth(sample)
        pictures = [_with_lost(label_picture(image, mask), sample, mask) for mask in (*masks, predicted, truth)]
        rows.append([draw_boxes(image, sample.boxes, sample.labels), *pictures])
    if not rows:
        raise DataError(f"none of the photos that were chosen for {path.name} can be read")
    heads = [_HEADS.get(name, LABEL_TITLES.get(name, name)) for name in sources]
    write_sheet(path, ("boxes", *heads, "prediction", "ground truth"), rows)


def _with_lost(picture: Picture | None, sample: Sample, labels: Labels | None) -> Picture | None:
    """The picture with the boxes of the objects that its labels (H, W) lost."""
    if picture is None or labels is None:
        return picture
    lost = lost_objects(sample.boxes, sample.labels, labels)
    return draw_boxes(picture, sample.boxes[lost], sample.labels[lost])


def lost_objects(
    boxes: NDArray[np.float64], classes: NDArray[np.int64], labels: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    """Which boxes have less than a tenth of their pixels in their class, (n,) bool.

    The boxes are (n, 4) xyxy, their classes (n,), the labels (H, W).
    """
    windows = object_windows(boxes, *labels.shape)
    filled = [
        (labels[top:bottom, left:right] == own).mean() < TINY
        for (left, top, right, bottom), own in zip(windows, classes.tolist(), strict=True)
    ]
    return np.array(filled, dtype=bool)


def _truth(sample: Sample) -> Labels | None:
    """The ground truth of a photo, if it has one that can be read."""
    try:
        return read_truth(sample) if sample.ground_truth else None
    except DataError:
        return None  # scoring and `doctor` say so


def _evenly(dataset: BoxDataset, labels: Path) -> list[Sample]:
    """A few labelled images with boxes, evenly spread over the split."""
    every, home = dataset.samples, home_of(labels)
    done = chosen(every, (len(s.labels) and home.item(FINAL, s.id).is_file() for s in every))
    if not done:
        raise DataError(f"no labels in {labels}")
    places = np.linspace(0, len(done) - 1, min(_ROWS, len(done))).round().astype(int)
    return [done[place] for place in places]
