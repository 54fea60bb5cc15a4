"""The built-in demo set: photos of five kinds of objects, painted by NumPy, written as a VOC folder.

Textured objects of several sizes lie on textured grounds and on each other. Boxes bound the visible part of
each, and masks are exact. The set can be learnt in minutes, but boxes alone are poor labels: a star fills
little of its box.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from boxseg.atomic import write_text
from boxseg.data.toy_objects import OBJECTS
from boxseg.data.toy_textures import FloatArray, Rng, ground
from boxseg.dataset import Sample
from boxseg.formats.boxes import mask_bounds
from boxseg.formats.images import write_jpeg
from boxseg.formats.masks import write_mask
from boxseg.formats.voc_xml import annotation_xml

CLASSES = tuple(OBJECTS)
_UPRIGHT_CLASS = CLASSES.index("furball") + 1

_SMALLEST, _LARGEST = 0.20, 0.66  # diameter of an object, shares of the photo's side
_VISIBLE = 0.5  # share of each object, at least
_LEAST_SIDE = 0.15  # of a box, share of the photo's side: 24 pixels of 160
_CONTRAST = 75.0  # least distance of the mean colours of object and ground, if a class has such colours


@dataclass(frozen=True)
class Scene:
    """A painted photo."""

    image: NDArray[np.uint8]  # (H, W, 3) RGB
    mask: NDArray[np.uint8]  # (H, W), class of each pixel
    boxes: NDArray[np.float64]  # (n, 4) xyxy of the visible part of each object
    labels: NDArray[np.int64]  # (n,) class 1..5 of each object


def write_toy(
    root: Path,
    *,
    train: int = 200,
    val: int = 50,
    size: int = 160,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the demo set to a VOC folder: `train` and `val` photos, with boxes, masks and the two splits.

    The same arguments give the same bytes. `size` is about the longer side of the photos in pixels; `progress`
    is called with (done, total) after each photo.
    """
    done = 0
    for split, (split_name, count) in enumerate((("train", train), ("val", val))):
        names = [f"{split_name}_{index:04d}" for index in range(count)]
        for index, name in enumerate(names):
            scene = paint_scene(np.random.default_rng([seed, split, index]), size)
            _write_scene(root, name, scene)
            done += 1
            if progress is not None:
                progress(done, train + val)
        # The list comes last, so a listed split is complete.
        lines = "".join(f"{name}\n" for name in names)
        write_text(root / "ImageSets" / "Segmentation" / f"{split_name}.txt", lines)


def _write_scene(root: Path, name: str, scene: Scene) -> None:
    path = root / "JPEGImages" / f"{name}.jpg"
    write_jpeg(path, Image.fromarray(scene.image), quality=92, subsampling=0)
    height, width = scene.mask.shape
    sample = Sample(
        id=name,
        image=path,
        width=width,
        height=height,
        boxes=scene.boxes,
        labels=scene.labels,
        difficult=np.zeros(len(scene.labels), dtype=bool),
        ground_truth=scene.mask.copy,
    )
    write_text(root / "Annotations" / f"{name}.xml", annotation_xml(sample, path, CLASSES), sync=False)
    write_mask(root / "SegmentationClass" / f"{name}.png", scene.mask)


def paint_scene(rng: Rng, size: int = 160) -> Scene:
    """One photo of one to four objects; its sides are 0.72 to 1.06 of `size`, in portrait or landscape."""
    long, short = round(size * rng.uniform(0.94, 1.06)), round(size * rng.uniform(0.72, 0.92))
    width, height = (long, short) if rng.random() < 0.6 else (short, long)
    image, base = ground(rng, height, width)
    owner = np.zeros((height, width), dtype=np.int64)  # number of the object visible at a pixel, 0 for none
    labels: list[int] = []
    areas: list[int] = []
    wanted = int(rng.choice([1, 2, 3, 4], p=[0.15, 0.35, 0.32, 0.18]))
    for _ in range(12 * wanted):
        label = int(rng.integers(1, len(CLASSES) + 1))
        radius = size * float(np.exp(rng.uniform(*np.log([_SMALLEST, _LARGEST])))) / 2
        patch = _paint(rng, label, radius, base)
        x, y = rng.uniform(0.4 * radius, [width - 0.4 * radius, height - 0.4 * radius])
        alpha, colour = _place(patch, round(x), round(y), (height, width))
        candidate = np.where(alpha > 0.5, len(labels) + 1, owner)
        if _all_visible(candidate, [*areas, patch.area], _LEAST_SIDE * size):
            image, owner = _compose(image, alpha, colour, radius), candidate
            labels.append(label)
            areas.append(patch.area)
        if len(labels) == wanted:
            break
    noisy = image + rng.normal(0, 2.5, image.shape)
    boxes = [mask_bounds(owner == number) for number in range(1, len(labels) + 1)]
    return Scene(
        image=noisy.clip(0, 255).round().astype(np.uint8),
        mask=np.array([0, *labels], dtype=np.uint8)[owner],
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        labels=np.array(labels, dtype=np.int64),
    )


def painted_photos(batch: int, height: int, width: int) -> NDArray[np.uint8]:
    """Photos (batch, height, width, 3) like the demo set's, the same at every call."""
    scenes = [paint_scene(np.random.default_rng([height, width, number]), 160).image for number in range(batch)]
    return np.stack([np.asarray(Image.fromarray(scene).resize((width, height))) for scene in scenes])


@dataclass(frozen=True)
class _Patch:
    alpha: FloatArray  # (n, n), n odd: the object's middle is the middle pixel
    colour: FloatArray  # (n, n, 3)

    @property
    def area(self) -> int:
        return int((self.alpha > 0.5).sum())


def _paint(rng: Rng, label: int, radius: float, base: FloatArray) -> _Patch:
    painter, palettes = OBJECTS[CLASSES[label - 1]]
    contrast = [float(np.linalg.norm(np.mean(colours, axis=0) - base)) for colours in palettes]
    good = [index for index, value in enumerate(contrast) if value >= _CONTRAST] or [int(np.argmax(contrast))]
    reach = int(np.ceil(1.15 * radius)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1] / radius
    turn = rng.uniform(0, 2 * np.pi) if label != _UPRIGHT_CLASS else rng.uniform(-0.5, 0.5)
    u, v = np.cos(turn) * x + np.sin(turn) * y, -np.sin(turn) * x + np.cos(turn) * y
    depth, colour = painter(rng, u, v, palettes[good[rng.integers(len(good))]])
    tone = 1 + 0.05 * rng.normal(0, 1, 3)  # no two alike
    grain = 1 + 0.03 * rng.normal(0, 1, depth.shape)
    shaded = (colour * tone * grain[..., None]).clip(0, 255)
    return _Patch((depth * radius + 0.5).clip(0, 1), shaded.astype(np.float32))


def _place(patch: _Patch, x: int, y: int, shape: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """The patch on an empty canvas (H, W), its middle at pixel (x, y), cut at the edges."""
    reach, (height, width) = len(patch.alpha) // 2, shape
    x1, y1, x2, y2 = max(x - reach, 0), max(y - reach, 0), min(x + reach + 1, width), min(y + reach + 1, height)
    there = (slice(y1, y2), slice(x1, x2))
    part = (slice(y1 - y + reach, y2 - y + reach), slice(x1 - x + reach, x2 - x + reach))
    alpha, colour = np.zeros(shape, dtype=np.float32), np.zeros((*shape, 3), dtype=np.float32)
    alpha[there], colour[there] = patch.alpha[part], patch.colour[part]
    return alpha, colour


def _all_visible(owner: NDArray[np.int64], areas: list[int], least_side: float) -> bool:
    """Whether enough of every object is visible, also of those below the newest."""
    for number, area in enumerate(areas, start=1):
        visible = owner == number
        if visible.sum() < _VISIBLE * area:
            return False
        x1, y1, x2, y2 = mask_bounds(visible)
        if min(x2 - x1, y2 - y1) < least_side:
            return False
    return True


def _compose(image: FloatArray, alpha: FloatArray, colour: FloatArray, radius: float) -> FloatArray:
    """Put an object on the photo, with a soft shadow to the lower right."""
    shift = max(1, round(0.07 * radius))
    cast = Image.fromarray((255 * alpha).astype(np.uint8)).filter(ImageFilter.GaussianBlur(shift))
    shadow = np.zeros_like(alpha)
    shadow[shift:, shift:] = np.asarray(cast, dtype=np.float32)[:-shift, :-shift] / 255
    shaded = image * (1 - 0.45 * shadow[..., None])
    return np.asarray(shaded + alpha[..., None] * (colour - shaded), dtype=np.float32)
