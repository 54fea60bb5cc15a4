"""Draw the figures of the documentation, from photos of the demo set and a classifier trained on them.

    boxseg demo
    python docs/figures.py runs/demo

No figure shows a photo of anyone else's data set. The classifier of any run on the demo set will do.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from boxseg.atomic import atomic_path
from boxseg.config import Crf
from boxseg.data.toy import Scene, paint_scene
from boxseg.errors import BoxsegError
from boxseg.inference.networks import load_classifier
from boxseg.inference.refine import refine
from boxseg.nn.deeplab import BoxClassifier
from boxseg.nn.field import UpsampledFeatures
from boxseg.nn.pseudo import (
    BoxMasks,
    background_attention,
    box_masks,
    class_scores,
    confident_background,
    finish_crf,
    lowest_peak,
    retrieve,
)
from boxseg.palette import overlay
from boxseg.reporting.sheet import Picture, draw_boxes

FIGURES = Path(__file__).parent / "figures"

SCENES = ((0, 1, 33), (0, 1, 29))  # seeds of photos: val_0033 and val_0029 of the demo set
GRID = 4  # N of stage 1, whose cells the first figure shows
COLOURS = 64  # of a figure's palette, which keeps it small
CELL, GAP, HEAD = 200, 6, 22  # pixels: longer side of a picture, between them, above them

# Dark to bright, and as legible in grey.
RAMP = np.array(
    [(25, 20, 60), (70, 40, 120), (170, 55, 100), (240, 120, 50), (255, 240, 160)], dtype=np.float64
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Labelled:
    """A demo photo and everything stage 2 computes on its way to labels.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        edges: (n, 4) float64 xyxy, pixels.
        labels: (n,) int64, class of each box.
        truth: (H, W) uint8.
        boxes: The boxes in whole pixels.
        attention: (H, W) in 0..1, A.
        u_0: (H, W) in 0..1.
        cam: (H, W) in 0..1, the largest u_c.
        y_crf: (H, W) uint8.
        y_ret: (H, W) uint8.
    """

    image: Picture
    edges: NDArray[np.float64]
    labels: NDArray[np.int64]
    truth: NDArray[np.uint8]
    boxes: BoxMasks
    attention: NDArray[np.float32]
    u_0: NDArray[np.float32]
    cam: NDArray[np.float32]
    y_crf: NDArray[np.uint8]
    y_ret: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """A demo photo before the CRF.

    Attributes:
        scene: The photo, its boxes and its true mask.
        field: Its features.
        boxes: The boxes in whole pixels.
        scores: (K + 1, H, W), what the CRF starts from.
    """

    scene: Scene
    field: UpsampledFeatures
    boxes: BoxMasks
    scores: Tensor


@torch.inference_mode()
def score_scene(network: BoxClassifier, seed: Sequence[int]) -> Scored:
    """Paint photo number `seed` of the demo set, (0, 0, i) for train_i, and score its classes."""
    scene = paint_scene(np.random.default_rng(list(seed)))
    image = torch.from_numpy(scene.image)
    size = (image.shape[0], image.shape[1])
    field = UpsampledFeatures(network.features(image.permute(2, 0, 1)[None])[0], size, network.stride)
    boxes = box_masks(torch.from_numpy(scene.boxes), torch.from_numpy(scene.labels), size)
    scores = class_scores(field, network.weight, boxes, background="attention", grid=1)
    return Scored(scene=scene, field=field, boxes=boxes, scores=scores)


@torch.inference_mode()
def crf_labels(photo: Scored, crf: Crf) -> Tensor:
    """Y_crf, (H, W) uint8."""
    return finish_crf(refine(crf, [torch.from_numpy(photo.scene.image)], [photo.scores])[0], photo.boxes)


@torch.inference_mode()
def label_scene(network: BoxClassifier, seed: Sequence[int], crf: Crf) -> Labelled:
    """Paint a photo of the demo set and label it."""
    scored = score_scene(network, seed)
    field, boxes, scene = scored.field, scored.boxes, scored.scene
    y_crf = crf_labels(scored, crf)
    maps = field.dot(network.weight[boxes.classes]).relu()
    cams = [cam / lowest_peak(cam, boxes, owner) for owner, cam in enumerate(maps)]
    return Labelled(
        image=scene.image,
        edges=scene.boxes,
        labels=scene.labels,
        truth=scene.mask,
        boxes=boxes,
        attention=background_attention(field, boxes.background, GRID).numpy(),
        u_0=confident_background(field, boxes, 1).numpy(),
        cam=torch.stack(cams).amax(0).numpy(),
        y_crf=y_crf.numpy(),
        y_ret=retrieve(field, y_crf, network.weight, boxes).numpy(),
    )


def background_cells(photo: Labelled) -> Picture:
    """The photo with its boxes; inside them dark, and the lines of the grid whose cells give the queries."""
    outside = photo.boxes.background.numpy()[..., None]
    picture = np.where(outside, photo.image, (photo.image * 0.35).astype(np.uint8))
    height, width = picture.shape[:2]
    for line in range(1, GRID):
        picture[height * line // GRID] = picture[:, width * line // GRID] = 255
    return draw_boxes(picture, photo.edges, photo.labels)


def heat(values: NDArray[np.float32]) -> Picture:
    """A map (H, W) of 0..1 in colours, dark to bright."""
    place = np.clip(values.astype(np.float64), 0, 1) * (len(RAMP) - 1)
    bands = [np.interp(place, np.arange(len(RAMP)), RAMP[:, channel]) for channel in range(3)]
    return np.stack(bands, axis=-1).round().astype(np.uint8)


def painted(image: Picture, labels: NDArray[np.uint8]) -> Picture:
    """Labels (H, W) over the photo, with a white line between them."""
    line = np.zeros(labels.shape, dtype=bool)
    line[1:] |= labels[1:] != labels[:-1]
    line[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    return np.where(line[..., None], np.uint8(255), overlay(image, labels, opacity=0.6))


def reliable(photo: Labelled) -> Picture:
    """Y_crf over the photo, and white where Y_ret says something else."""
    doubtful = (photo.y_crf != photo.y_ret)[..., None]
    return np.where(doubtful, np.uint8(255), painted(photo.image, photo.y_crf))


def method_figure(photos: Sequence[Labelled]) -> Image.Image:
    """Stages 1 and 2, a row for each photo."""
    rows = [
        [
            background_cells(photo),
            heat(photo.attention),
            heat(photo.u_0),
            heat(photo.cam),
            painted(photo.image, photo.y_crf),
            painted(photo.image, photo.y_ret),
            reliable(photo),
        ]
        for photo in photos
    ]
    return draw_rows(("boxes and cells", "A", "u_0", "max u_c", "Y_crf", "Y_ret", "reliable"), rows, cell=150)


def first_figure(photos: Sequence[Labelled]) -> Image.Image:
    """What the first page promises."""
    rows = [
        [
            draw_boxes(photo.image, photo.edges, photo.labels),
            painted(photo.image, photo.y_crf),
            reliable(photo),
            painted(photo.image, photo.truth),
        ]
        for photo in photos
    ]
    return draw_rows(("boxes", "Y_crf", "reliable region", "truth"), rows)


def crf_figure(network: BoxClassifier, seeds: Sequence[Sequence[int]], options: dict[str, Crf]) -> Image.Image:
    """Y_crf of photos under several settings of the CRF, a row for each photo."""
    rows = []
    for seed in seeds:
        photos = [label_scene(network, seed, crf) for crf in options.values()]
        labels = [painted(photo.image, photo.y_crf) for photo in photos]
        rows.append([draw_boxes(photos[0].image, photos[0].edges, photos[0].labels), *labels])
    return draw_rows(("boxes", *options), rows)


def draw_rows(heads: Sequence[str], rows: Sequence[Sequence[Picture]], cell: int = CELL) -> Image.Image:
    """Pictures (H, W, 3) in rows, a head above each column, in few colours."""
    tiles = [[_fit(picture, cell) for picture in row] for row in rows]
    heights = [max(tile.height for tile in row) for row in tiles]
    size = (len(heads) * (cell + GAP) - GAP, HEAD + sum(heights) + GAP * (len(rows) - 1))
    figure = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(figure), ImageFont.load_default(size=13)
    for column, head in enumerate(heads):
        pen.text((column * (cell + GAP) + cell / 2, HEAD / 2), head, "black", font=font, anchor="mm")
    top = HEAD
    for row, height in zip(tiles, heights, strict=True):
        for column, tile in enumerate(row):
            figure.paste(
                tile, (column * (cell + GAP) + (cell - tile.width) // 2, top + (height - tile.height) // 2)
            )
        top += height + GAP
    return figure.quantize(COLOURS, dither=Image.Dither.NONE)


def _fit(picture: Picture, cell: int) -> Image.Image:
    image = Image.fromarray(picture)
    scale = cell / max(image.size)
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)


def draw_all(run: Path, folder: Path) -> list[Path]:
    """Write every figure.

    Args:
        run: Folder of `boxseg demo`, or of a classifier trained on the demo set.
        folder: Where the figures go.
    """
    network = load_classifier(run, torch.device("cpu")).network
    usual = Crf()
    settings = {
        "no CRF": replace(usual, iterations=0),
        "sigma_rgb=3": usual,
        "sigma_rgb=13": replace(usual, sigma_rgb=13.0),
        "sigma_xy=10": replace(usual, sigma_xy=10.0),
    }
    photos = [label_scene(network, seed, usual) for seed in SCENES]
    figures = {
        "method": method_figure(photos),
        "first": first_figure(photos),
        "crf": crf_figure(network, SCENES, settings),
    }
    paths = []
    for name, figure in figures.items():
        path = folder / f"{name}.png"
        with atomic_path(path) as temporary:
            figure.save(temporary, format="PNG", optimize=True)
        paths.append(path)
    return paths


if __name__ == "__main__":
    try:
        draw_all(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo"), FIGURES)
    except BoxsegError as error:
        sys.exit(str(error))
