"""Photos from files: any mode Pillow reads, as 8-bit RGB, upright by their EXIF orientation or as stored.

Boxes and masks are in the frame in which their photo is read, which `formats.frames` chooses. Photos
without boxes are read upright, as every viewer and most annotation tools show them.
"""

from __future__ import annotations

import io
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from boxseg.atomic import atomic_path
from boxseg.config.data import MOST_PIXELS
from boxseg.dataset import Sample
from boxseg.documents import Readable, require_regular
from boxseg.errors import DataError, is_damage
from boxseg.formats.rasters import raster_photo
from boxseg.remote.hooks import readable

# What is taken for a photo, by every reader and verb. Pillow reads all but the last two, which it reads with a
# plug-in; without one they are listed as unreadable.
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".mpo", ".avif"),
    *(".heic", ".heif"),
)

_ORIENTATION = 0x0112
_EXIF = frozenset({"exif", "Raw profile type exif"})  # where Pillow has it from headers
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pixels that are copied from Pillow at once.
_BAND = 2**22


@dataclass(frozen=True)
class Header:
    """What the header of a photo states."""

    stored: tuple[int, int]  # width and height of the pixels as they are stored
    turn: int  # its EXIF orientation, 1..8; 1 for none

    @property
    def turned(self) -> bool:
        """Whether EXIF turns or mirrors the stored pixels."""
        return self.turn != 1

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height of the upright photo."""
        return self.stored[::-1] if self.turn in (5, 6, 7, 8) else self.stored

    def size(self, *, as_stored: bool) -> tuple[int, int]:
        """Width and height of the photo as it is read."""
        return self.stored if as_stored else self.upright


class _NoLimit:
    """Pillow's own limit of pixels, switched off while files are opened: it cannot be set for a single file."""

    def __init__(self) -> None:
        self._lock, self._open, self._limit = threading.Lock(), 0, Image.MAX_IMAGE_PIXELS

    def __enter__(self) -> None:
        with self._lock:
            if not self._open:
                self._limit = Image.MAX_IMAGE_PIXELS
                Image.MAX_IMAGE_PIXELS = None
            self._open += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._open -= 1
            if not self._open:
                Image.MAX_IMAGE_PIXELS = self._limit


_NO_LIMIT = _NoLimit()


@contextmanager
def opened(
    path: Readable | str | IO[bytes], limit: int = MOST_PIXELS, *, whole: bool = True
) -> Iterator[Image.Image]:
    """Open an image file; DataError if it is missing, damaged, or has more pixels than `limit`.

    Of an object in a store only the beginning may be read, if not the `whole` of it is needed. Damage is
    whatever its decoder raises while the block works on it: Pillow's have no common error.
    """
    try:
        with readable(path, whole=whole) as file, _image(file) as image:
            if image.width * image.height > limit:
                raise DataError(
                    f"{path}: {image.width} x {image.height} pixels are more than max_pixels={limit}, "
                    "beyond which a file is taken for a decompression bomb: if it is a photo, raise max_pixels"
                )
            yield image
    except Exception as error:
        if not is_damage(error):
            raise
        raise unreadable(path, error) from error


def _image(file: Readable | str | IO[bytes]) -> Image.Image:
    if isinstance(file, (str, Path)):
        require_regular(Path(file))
    with _NO_LIMIT:
        if isinstance(file, (str, Path)):
            return raster_photo(Path(file)) or Image.open(file)
        content = file if hasattr(file, "read") else io.BytesIO(file.read_bytes())
        return Image.open(cast("IO[bytes]", content))


def read_header(path: Path | str, limit: int = MOST_PIXELS) -> Header:
    """Size and orientation, without decoding the pixels; errors as for `opened`."""
    with opened(path, limit, whole=False) as image:
        return Header(image.size, _turn(image))


def image_size(path: Path | str, limit: int = MOST_PIXELS) -> tuple[int, int]:
    """(width, height) of the upright photo, without decoding it; errors as for `opened`."""
    return read_header(path, limit).upright


def fits_photo(size: tuple[int, int], path: Path, limit: int = MOST_PIXELS) -> bool:
    """Whether a size (width, height) in a file has as many pixels as its photo, however that is turned.

    Before that is known, nothing is to be allocated by it.
    """
    try:
        width, height = read_header(path, limit).stored
    except DataError:
        return False
    return size[0] * size[1] == width * height


def read_picture(path: Path | str, limit: int = MOST_PIXELS) -> Image.Image:
    """The upright photo as a decoded Pillow image of mode RGB.

    Grey becomes RGB, CMYK and palettes are converted, transparent pixels are shown on white. Of an animation,
    the first frame is read. Grey of 16 bits keeps the upper 8 of those that the photo uses: cameras and
    scanners store 8, 10, 12 or 14 bits as 16, and the upper 8 of all would be black.

    Raises:
        DataError: The file is missing, truncated, not an image, has floating-point pixels, or more pixels than
            `limit`.
    """
    with opened(path, limit) as image:
        return _upright(image)


def read_image(path: Path | str, limit: int = MOST_PIXELS) -> NDArray[np.uint8]:
    """The upright photo, (H, W, 3) uint8 RGB; errors as for `read_picture`."""
    return _pixels(read_picture(path, limit))


def sample_picture(sample: Sample) -> Image.Image:
    """The photo of a sample in the frame of its boxes, as `read_picture` reads it.

    Raises:
        DataError: As for `read_picture`, or the photo is of another size than when the data set was read.
    """
    most = sample.width * sample.height
    with opened(sample.image, max(most, MOST_PIXELS)) as image:
        found = Header(image.size, _turn(image)).size(as_stored=sample.as_stored)
        if found != (sample.width, sample.height):
            raise DataError(
                f"{sample.image}: photo of {found[0]} x {found[1]} pixels, expected {sample.width} x "
                f"{sample.height} as when the data set was read"
            )
        return _to_rgb(image) if sample.as_stored else _upright(image)


def sample_image(sample: Sample) -> NDArray[np.uint8]:
    """The photo of a sample in the frame of its boxes, (H, W, 3) uint8 RGB; errors as for `sample_picture`."""
    return _pixels(sample_picture(sample))


def decode(path: Path | str, limit: int = MOST_PIXELS) -> int | None:
    """Decode a photo only to find damage, with the errors of `read_picture`.

    Of a photo of 16 bits, it returns how many its pixels use; None for any other.
    A JPEG is decoded at an eighth of its size: that reads all of its bytes, in half the time.
    """
    with opened(path, limit) as image:
        image.draft(image.mode, (1, 1))
        _refuse_floats(image)
        image.load()
        return _used_bits(_deep(image)) if _is_deep(image) else None


def to_photo(image: Any, limit: int = MOST_PIXELS) -> NDArray[np.uint8]:
    """Convert a picture of any of these kinds to a photo (H, W, 3) uint8 RGB.

    Args:
        image: A path; a PIL image, turned upright by its EXIF orientation; a NumPy array (H, W), (H, W, 3) or
            (H, W, 4) uint8, grey, RGB or RGBA; or a torch tensor (3, H, W) uint8 on any device.
        limit: Most pixels of a file.

    Raises:
        DataError: It is none of these, or cannot be read.
    """
    if isinstance(image, (str, PathLike)):
        return read_image(Path(image), limit)
    if isinstance(image, Image.Image):
        try:
            return _pixels(_upright(image))
        except Exception as error:
            if not is_damage(error):
                raise
            raise unreadable("image", error) from error
    is_tensor = hasattr(image, "detach")  # of torch, without importing it
    array = image.detach().cpu().numpy() if is_tensor else image
    if not isinstance(array, np.ndarray):
        raise DataError(f"a photo is a path, a PIL image, an array or a tensor, got a {type(image).__name__}")
    shape = array.shape
    if is_tensor and array.ndim == 3:
        array = np.moveaxis(array, 0, 2)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.dtype != np.uint8 or array.size == 0 or array.shape[2:] not in ((), (3,), (4,)) or array.ndim < 2:
        expected = "a uint8 tensor (3, H, W)" if is_tensor else "a uint8 array (H, W, 3)"
        raise DataError(f"a photo of shape {shape} and type {array.dtype}: expected {expected}, RGB, 0..255")
    return np.array(_to_rgb(Image.fromarray(np.ascontiguousarray(array))))


def small_png(picture: Image.Image, longest: int = 1024) -> bytes:
    """A picture as PNG, as notebooks show it, its longer side at most this many pixels; changed in place."""
    picture.thumbnail((longest, longest))
    content = io.BytesIO()
    picture.save(content, format="PNG")
    return content.getvalue()


def write_jpeg(path: Path | str, picture: Image.Image, **options: Any) -> None:
    """Write a picture as JPEG: whole, not synced; `options` are Pillow's.

    Pillow would hand the file to the system itself, and not notice if a full disk took only a part of it.
    """
    content = io.BytesIO()
    picture.save(content, format="JPEG", **options)
    with atomic_path(path, sync=False) as temporary:
        temporary.write_bytes(content.getvalue())


def _upright(image: Image.Image) -> Image.Image:
    turn = _turn(image)
    rgb = _to_rgb(image)
    return rgb.transpose(_UPRIGHT[turn]) if turn in _UPRIGHT else rgb


def _turn(image: Image.Image) -> int:
    try:
        exif = (
            _late_exif(image)
            if image.format == "PNG" and not _EXIF.intersection(image.info)
            else image.getexif()
        )
        turn = exif.get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF may raise anything: keep the photo as stored
        return 1
    return turn if turn in _UPRIGHT else 1


def _late_exif(image: Image.Image) -> Image.Exif:
    """The EXIF data behind the pixels of a PNG; Pillow decodes them to get there, and hides their damage."""
    exif, file = Image.Exif(), cast(ImageFile.ImageFile, image).fp
    assert file is not None
    start = file.tell()
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"eXIf":
            exif.load(b"Exif\0\0" + file.read(length))
            break
        file.seek(length + 4, os.SEEK_CUR)  # and its checksum
    file.seek(start)
    return exif


def _pixels(picture: Image.Image) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) of a picture, a band at a time: Pillow copies twice what it is asked for."""
    width, height = picture.size
    rows = max(1, _BAND // width)
    if rows >= height:
        return np.array(picture)
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        pixels[top:bottom] = np.asarray(picture.crop((0, top, width, bottom)))
    return pixels


def _refuse_floats(image: Image.Image) -> None:
    if image.mode == "F":
        raise ValueError("floating-point pixels, expected 8 or 16 bits")


def _to_rgb(image: Image.Image) -> Image.Image:
    _refuse_floats(image)
    if _is_deep(image):
        grey = _deep(image)
        grey >>= _used_bits(grey) - 8
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    if image.mode == "RGB":
        image.load()
        return image
    return image.convert("RGB")


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I")  # some readers hold 16 bits as "I"


def _deep(image: Image.Image) -> NDArray[np.int64]:
    """Grey (H, W) of 16 bits."""
    return np.clip(np.asarray(image).astype(np.int64), 0, 65535)


def _used_bits(grey: NDArray[np.int64]) -> int:
    """How many bits grey of 16 bits uses, of the numbers of bits that devices have."""
    return next(bits for bits in (8, 10, 12, 14, 16) if int(grey.max()) < 1 << bits)


def unreadable(path: Readable | str | IO[bytes], error: BaseException) -> DataError:
    """The DataError for an image file that Pillow refused with `error`."""
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: no such image")
    if isinstance(error, UnidentifiedImageError):
        return DataError(f"{path}: not an image that Pillow can read")
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return DataError(f"{path}: a picture in it has too many pixels, as in a decompression bomb")
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"{path}: unreadable image ({reason})")


def without_path(error: DataError, path: Path) -> str:
    """The message of a reading error without the path, which is shown beside it."""
    return str(error).removeprefix(f"{path}: ")
