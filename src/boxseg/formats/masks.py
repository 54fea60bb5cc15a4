"""Label masks: palette PNG in VOC colours, one byte per pixel, 0 background, 1..L, 255 ignored."""

from __future__ import annotations

import hashlib
import pickle
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boxseg.atomic import atomic_path
from boxseg.config.data import MOST_PIXELS
from boxseg.dataset import IGNORE
from boxseg.documents import Readable
from boxseg.errors import DataError
from boxseg.formats.files import content_digest
from boxseg.formats.images import opened
from boxseg.palette import voc_palette
from boxseg.shards.home import Home

_PALETTE = voc_palette().tobytes()
# A mask takes a byte a pixel, a photo four: masks of photos of any size that is allowed are read.
_MOST_PIXELS = 4 * MOST_PIXELS
_SINGLE = ("P", "L", "1", "I", "I;16", "I;16B", "I;16L", "I;16N")  # modes of one channel


@dataclass(frozen=True)
class MaskFolder:
    """Label masks ID.png of photos, in a folder, or in the shards of a run.

    Attributes:
        path: The folder; of shards, what it would be if its files lay alone.
        reliable: Folder of grey maps of the same names: where they are not 255, the labels are read as 255.
        left_out: IDs of photos whose masks do not count.
        home: The shards; None for files.
    """

    path: Path
    reliable: Path | None = None
    left_out: frozenset[str] = frozenset()
    home: Home | None = None

    @classmethod
    def of(cls, home: Home, kind: str, reliable: str | None = None) -> MaskFolder:
        """Masks of one kind among the results of a run."""
        sure = home.folder / reliable if reliable else None
        return cls(home.folder / kind, sure, home=None if home.gathers else home)

    @property
    def exists(self) -> bool:
        """Whether there is such a folder."""
        return self.path.is_dir() if self.home is None else self.home.has_kind(self.path.name)

    @property
    def places(self) -> Sequence[Path]:
        """The files and folders in which the masks are."""
        return [self.path] if self.home is None else self.home.files

    def file(self, name: str) -> Readable:
        """The mask of the photo with this ID."""
        return self._file(self.path, name)

    def stored_in(self, name: str) -> Path:
        """The file on the disk that has the mask of this photo."""
        path = self.path / f"{name}.png"
        return path if self.home is None else self.home.stored_in(self.path.name, name)

    def _file(self, folder: Path, name: str) -> Readable:
        return folder / f"{name}.png" if self.home is None else self.home.item(folder.name, name)

    def has(self, name: str) -> bool:
        """Whether this photo has a mask that counts."""
        if name in self.left_out:
            return False
        folders = (self.path, self.reliable) if self.reliable else (self.path,)
        return all(self._file(folder, name).is_file() for folder in folders)

    def digest(self, name: str) -> str:
        """Digest of this photo's mask, and of its map if that counts."""
        maps = [self._file(self.reliable, name)] if self.reliable else []
        return "".join(content_digest(path) for path in (self.file(name), *maps))

    def read(self, name: str, classes: int | None = None) -> NDArray[np.uint8]:
        """Labels (H, W) uint8 of the photo with this ID, as `read_mask` reads them.

        Raises:
            DataError: A mask or map cannot be read, or they are of different sizes.
        """
        labels = read_mask(self.file(name), classes)
        if self.reliable is None:
            return labels
        path = self._file(self.reliable, name)
        sure = read_mask(path) == 255
        if sure.shape != labels.shape:
            raise DataError(f"{path} and {self.file(name)} are of different sizes")
        return np.where(sure, labels, np.uint8(IGNORE))


class _ByContent(pickle.Pickler):
    """Takes files for their names and content, so that moved data stay the same."""

    def reducer_override(self, given: Any) -> Any:
        if isinstance(given, type) or not (isinstance(given, PurePath) or hasattr(given, "read_bytes")):
            return NotImplemented
        file: Readable = given if isinstance(given, Path) or not isinstance(given, PurePath) else Path(given)
        return str, (f"{given.name} {content_digest(file) if file.is_file() else ''}",)


def truth_digest(reader: Callable[[], NDArray[np.uint8]] | None) -> str:
    """Digest of ground truth: of the outlines that its reader holds, or of the file that it reads."""
    if reader is None:
        return ""
    content = BytesIO()
    _ByContent(content).dump(reader)
    return hashlib.blake2b(content.getvalue(), digest_size=16).hexdigest()


def write_mask(path: Path | str, labels: NDArray[np.uint8]) -> None:
    """Write labels (H, W) uint8 of at least one pixel as a palette PNG in VOC colours: whole, not synced."""
    content = mask_png(labels)
    with atomic_path(path, sync=False) as temporary:
        temporary.write_bytes(content)


def mask_png(labels: NDArray[np.uint8]) -> bytes:
    """Labels (H, W) uint8 of at least one pixel as a palette PNG in VOC colours."""
    if labels.dtype != np.uint8 or labels.ndim != 2 or labels.size == 0:
        raise ValueError(f"Invalid mask, expected (H, W) uint8, got {labels.shape} {labels.dtype}")
    height, width = labels.shape
    image = Image.frombytes("P", (width, height), labels.tobytes())
    image.putpalette(_PALETTE)
    content = BytesIO()
    # Z_RLE compresses only runs of one value: two fifths of the time, files a fifth larger.
    image.save(content, format="PNG", compress_type=zlib.Z_RLE)
    return content.getvalue()


def write_grey(path: Path | str, levels: NDArray[np.uint8]) -> None:
    """Write levels (H, W) uint8 as an 8-bit grey PNG, atomically, not synced."""
    content = grey_png(levels)
    with atomic_path(path, sync=False) as temporary:
        temporary.write_bytes(content)


def grey_png(levels: NDArray[np.uint8]) -> bytes:
    """Levels (H, W) uint8 as an 8-bit grey PNG."""
    content = BytesIO()
    Image.fromarray(levels).save(content, format="PNG")
    return content.getvalue()


def read_mask(path: Readable | str, classes: int | None = None) -> NDArray[np.uint8]:
    """Read labels (H, W) uint8 from a palette or greyscale image, whose pixel values are the classes.

    RGB images are read through the VOC colour table. JPEG is refused: it is not lossless. With `classes` (L),
    values must be 0..L or 255.

    Raises:
        DataError: The file is unreadable, a value out of range, or a colour not in the VOC table.
    """
    with opened(path, _MOST_PIXELS) as image:
        if image.format == "JPEG":
            raise DataError(f"{path}: a JPEG cannot be a mask, it blurs the labels; expected PNG")
        image.load()
        values = np.asarray(image if image.mode in _SINGLE else image.convert("RGB"))
    if values.ndim == 3:
        values = _from_colours(values, path)
    wrong = values[(values > (255 if classes is None else classes)) & (values != IGNORE) | (values < 0)]
    if wrong.size:
        limit = "0..255" if classes is None else f"0..{classes} or {IGNORE}"
        raise DataError(f"{path}: value {wrong[0]} in {wrong.size} pixels of the mask, expected {limit}")
    return np.array(values, dtype=np.uint8)


def _from_colours(colours: NDArray[np.uint8], path: Readable | str) -> NDArray[np.uint8]:
    table = _code(voc_palette())
    order = np.argsort(table)
    code = _code(colours)
    place = np.searchsorted(table, code, sorter=order).clip(max=255)
    labels: NDArray[np.uint8] = order[place].astype(np.uint8)
    wrong = table[labels] != code
    if wrong.any():
        red, green, blue = colours[wrong][0]
        raise DataError(
            f"{path}: colour ({red}, {green}, {blue}) is not a VOC class colour; "
            "expected a palette or greyscale mask, or one painted in VOC colours"
        )
    return labels


def _code(colours: NDArray[np.uint8]) -> NDArray[np.int64]:
    wide = colours.astype(np.int64)
    code: NDArray[np.int64] = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    return code
