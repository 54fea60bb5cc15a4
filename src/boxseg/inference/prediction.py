"""What a network predicts for a photo, and the base of all predictors; without torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boxseg import palette
from boxseg.config.data import MOST_PIXELS
from boxseg.errors import ConfigError, NotFiniteError, did_you_mean
from boxseg.formats.coco_results import encode_mask
from boxseg.formats.images import small_png, to_photo
from boxseg.formats.masks import write_grey, write_mask
from boxseg.formats.simplify import mask_polygons
from boxseg.formats.supervision import detections
from boxseg.inference.windows import SMALLEST, Tile, blended, window_side
from boxseg.wording import counted

# Bytes of photos predicted together: the probabilities of more would fill the memory.
_TOGETHER = 3 * 2**22


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LabelledPhoto:
    """The classes of a photo, pixel by pixel. In a notebook it shows as the photo with its labels over it.

    Attributes:
        image: The upright photo, (H, W, 3) uint8 RGB.
        labels: The most probable class, (H, W) uint8: 0 background, 1..L.
        confidence: Probability of the most probable class, (H, W) float32.
        classes: Names of classes 1..L.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    confidence: NDArray[np.float32]
    classes: tuple[str, ...]

    @property
    def shares(self) -> dict[str, float]:
        """Share of the photo that each of its classes covers, the largest first."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.classes) + 1) / self.labels.size
        found = {name: float(n) for name, n in zip(("background", *self.classes), counts, strict=True) if n}
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def __getitem__(self, name: str) -> NDArray[np.bool_]:
        """The mask of a class, (H, W): `prediction["cat"]`; `background` is one, too.

        Raises:
            KeyError: There is no such class.
        """
        names = ("background", *self.classes)
        if name not in names:
            near = did_you_mean(str(name), names)
            raise KeyError(f"no class {name!r}{near} (one of {', '.join(names)})")
        mask: NDArray[np.bool_] = self.labels == names.index(name)
        return mask

    def polygons(self, simplify: float = 1.0) -> dict[str, list[NDArray[np.float64]]]:
        """By class found, the outlines of its regions, (k, 2) x y each, pixels; holes are cut open by a line.

        Args:
            simplify: Corners are left out as long as they stay within this many pixels of the outline.
        """
        found = {}
        for label in self._found():
            rings = mask_polygons(self.labels == label, simplify)
            found[self.classes[label - 1]] = [np.asarray(ring, dtype=np.float64) for ring in rings]
        return found

    def to_supervision(self) -> Any:
        """The labels as `supervision.Detections`: one for all pixels of a class, without the background.

        `class_id` is the place in `classes`, from 0, `confidence` the mean over the mask, and
        `data["class_name"]` the name.

        Raises:
            MissingExtraError: supervision is not installed.
        """
        labels = self._found()
        masks = np.array([self.labels == label for label in labels], bool).reshape(-1, *self.labels.shape)
        return detections(
            boxes=np.array([_bounds(mask) for mask in masks], np.float64),
            masks=masks,
            scores=np.array([self.confidence[mask].mean(dtype=np.float64) for mask in masks], np.float64),
            labels=labels,
            classes=self.classes,
        )

    def _found(self) -> NDArray[np.int64]:
        """The classes that the photo has, without the background."""
        return np.unique(self.labels[self.labels > 0]).astype(np.int64)

    def overlay(self, opacity: float = 0.55) -> Image.Image:
        """The photo with its labels painted over it in the report's colours; the background stays clear."""
        return Image.fromarray(palette.overlay(self.image, self.labels, opacity))

    def save(self, path: Path | str) -> None:
        """Write the labels as a palette PNG: one byte a pixel, VOC colours.

        Raises:
            ConfigError: The name does not end in .png; other formats would blur or drop labels.
        """
        if Path(path).suffix.lower() != ".png":
            raise ConfigError(f"labels are saved as .png, got {path}; for a picture, use overlay().save(…)")
        write_mask(path, self.labels)

    def save_confidence(self, path: Path | str) -> None:
        """Write the confidence as an 8-bit grey PNG: 255 · probability, rounded."""
        write_grey(path, np.rint(self.confidence * 255).astype(np.uint8))

    def __repr__(self) -> str:
        height, width = self.labels.shape
        shares = ", ".join(f"{name} {share:.1%}" for name, share in self.shares.items())
        return f"{type(self).__name__}({width}x{height} pixels: {shares})"

    def _repr_png_(self) -> bytes:
        """The picture a notebook shows."""
        return small_png(self.overlay())


class Prediction(LabelledPhoto):
    """What a network predicts for a photo: its labels, and the probability of every class at every pixel.

    Attributes:
        image: The upright photo, (H, W, 3) uint8 RGB.
        labels: The most probable class, (H, W) uint8: 0 background, 1..L.
        confidence: Its probability, (H, W) float32.
        probabilities: Of all classes, (L + 1, H, W) float32, background first; each pixel sums to 1.
        classes: Names of classes 1..L.
    """

    probabilities: NDArray[np.float32]

    def __init__(
        self, *, image: NDArray[np.uint8], probabilities: NDArray[np.float32], classes: tuple[str, ...]
    ) -> None:
        labels, confidence = strongest(probabilities)
        if not np.isfinite(confidence).all():
            raise NotFiniteError("the network's probabilities are no numbers (NaN): the file may be damaged")
        super().__init__(image=image, labels=labels, confidence=confidence, classes=classes)
        object.__setattr__(self, "probabilities", probabilities)

    def to_coco(self, image_id: int | str = 1, category_ids: Sequence[int] = ()) -> list[dict[str, Any]]:
        """The labels as COCO results: one mask for all pixels of a class, without the background.

        Args:
            image_id: The photo's id in the COCO file these results go with.
            category_ids: COCO's ids of classes 1..L; by default 1..L themselves.

        Returns:
            By class: `image_id`, `category_id`, `segmentation` (run-length code), `bbox` (x, y, width, height,
            pixels), `area` (pixels) and `score`, the mean probability of the class over its mask.

        Raises:
            ValueError: There are not as many ids as classes.
        """
        ids = tuple(category_ids) or tuple(range(1, len(self.classes) + 1))
        if len(ids) != len(self.classes):
            raise ValueError(f"{counted(len(ids), 'category id')} for {counted(len(self.classes), 'class')}")
        results = []
        for label in self._found():
            mask = self.labels == label
            left, top, right, bottom = _bounds(mask)
            results.append(
                {
                    "image_id": image_id,
                    "category_id": int(ids[label - 1]),
                    "segmentation": encode_mask(mask),
                    "bbox": [left, top, right - left, bottom - top],
                    "area": int(mask.sum()),
                    "score": float(self.probabilities[label][mask].mean(dtype=np.float64)),
                }
            )
        return results


def _bounds(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The smallest box around a mask: left, top, right, bottom, half-open."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def strongest(probabilities: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The most probable class (H, W) uint8 and its probability (H, W), of probabilities (L + 1, H, W)."""
    labels = np.empty(probabilities.shape[1:], dtype=np.uint8)
    for row, scores in enumerate(probabilities.swapaxes(0, 1)):  # argmax of all takes 8 bytes a pixel
        labels[row] = scores.argmax(0)
    return labels, np.asarray(probabilities.max(0))


class BasePredictor(ABC):
    """A trained segmentation network that is called with a photo.

    A photo is a path, a PIL image, an (H, W, 3) or (H, W) uint8 NumPy array (RGB or grey), or a (3, H, W) uint8
    torch tensor, of any size. Large ones are predicted in windows that overlap and are blended.

    Args:
        classes: Names of classes 1..L.
        tile: Side of the windows for photos that are longer, pixels, at least 64; 0 for none; `auto`: 2048 for
            photos of more than `most` pixels.
        most: Pixels up to which photos are predicted whole.
        max_pixels: Photo files of more pixels are refused: decoded, a small file may be of any size.

    Raises:
        ConfigError: `tile` is not a possible side.
    """

    def __init__(
        self,
        classes: Sequence[str],
        tile: Tile = "auto",
        most: int = 2**25,
        max_pixels: int = MOST_PIXELS,
    ) -> None:
        if tile != "auto" and (not isinstance(tile, int) or 0 != tile < SMALLEST):
            raise ConfigError(
                f"tile={tile!r}: expected at least {SMALLEST} pixels, 0 for no windows, or 'auto'"
            )
        self.classes = tuple(classes)
        self._tile: Tile = tile
        self._most = most
        self._max_pixels = max_pixels

    def __call__(self, image: Any) -> Prediction:
        """Label one photo.

        Raises:
            DataError: It cannot be read, or is not a photo.
        """
        return next(self.predict_many([image]))

    def predict_many(self, images: Iterable[Any], batch: int = 8) -> Iterator[Prediction]:
        """Label photos of any sizes, in their order, reading `batch` of them at a time.

        Raises:
            DataError: One cannot be read, or is not a photo.
            ConfigError: A single image was given, or a batch below 1.
        """
        if isinstance(images, (str, Path, Image.Image)) or batch < 1:
            raise ConfigError(
                f"predict_many takes a list of photos and a batch of at least 1, got {images!r}, {batch}"
            )
        stream = (to_photo(image, self._max_pixels) for image in images)
        while group := list(islice(stream, batch)):
            for photo, probabilities in zip(group, self._any_size(group), strict=True):
                yield Prediction(image=photo, probabilities=probabilities, classes=self.classes)

    def _any_size(self, photos: Sequence[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
        sides = [window_side((photo.shape[0], photo.shape[1]), self._tile, self._most) for photo in photos]
        if not any(sides) and sum(photo.size for photo in photos) <= _TOGETHER:
            yield from self._probabilities(photos)
            return
        for photo, side in zip(photos, sides, strict=True):
            yield self._in_windows(photo, side) if side else self._probabilities([photo])[0]

    def _in_windows(self, photo: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
        whole = np.empty((len(self.classes) + 1, *photo.shape[:2]), dtype=np.float32)
        for rows, part in blended(photo, side, lambda window: self._probabilities([window])[0]):
            whole[:, rows] = part
        return whole

    @abstractmethod
    def _probabilities(self, photos: Sequence[NDArray[np.uint8]]) -> Sequence[NDArray[np.float32]]:
        """Probabilities (L + 1, H, W) of photos (H, W, 3)."""
