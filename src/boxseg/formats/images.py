"""Photos from files: any mode Pillow reads, as upright 8-bit RGB.

Photos are always turned upright by their EXIF orientation. Boxes and masks are in the upright frame, as every
viewer and most annotation tools show it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from boxseg.atomic import atomic_path
from boxseg.errors import DataError

# What is taken for a photo, by every reader and verb. Pillow reads all but the last two, which it reads with a
# plug-in; without one they are listed as unreadable.
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".mpo", ".avif"),
    *(".heic", ".heif"),
)

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow raises for damaged files, and for decompression bombs, beyond its pixel limit.
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    OverflowError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


@dataclass(frozen=True)
class Header:
    """What the header of a photo states."""

    width: int  # of the upright photo, pixels
    height: int
    turned: bool  # whether EXIF turns or mirrors the stored rows


@contextmanager
def opened(path: Path | str) -> Iterator[Image.Image]:
    """Open an image file; DataError if it is missing or damaged."""
    try:
        with Image.open(path) as image:
            yield image
    except DAMAGE as error:
        raise unreadable(path, error) from error


def read_header(path: Path | str) -> Header:
    """Size and orientation, without decoding the pixels; errors as for `opened`."""
    with opened(path) as image:
        turn = _turn(image)
        width, height = image.size
    if turn in (5, 6, 7, 8):
        width, height = height, width
    return Header(width, height, turn != 1)


def image_size(path: Path | str) -> tuple[int, int]:
    """(width, height) of the upright photo, without decoding it; errors as for `opened`."""
    header = read_header(path)
    return header.width, header.height


def read_picture(path: Path | str) -> Image.Image:
    """The upright photo as a decoded Pillow image of mode RGB.

    Grey becomes RGB, CMYK and palettes are converted, transparent pixels are shown on white. Of an animation,
    the first frame is read. Grey of 16 bits keeps the upper 8 of those that the photo uses: cameras and
    scanners store 8, 10, 12 or 14 bits as 16, and the upper 8 of all would be black.

    Raises:
        DataError: The file is missing, truncated, not an image, or has floating-point pixels.
    """
    with opened(path) as image:
        return _upright(image)


def decode(path: Path | str) -> int | None:
    """Decode a photo only to find damage, with the errors of `read_picture`.

    Of a photo of 16 bits, it returns how many its pixels use; None for any other.
    A JPEG is decoded at an eighth of its size: that reads all of its bytes, in half the time.
    """
    with opened(path) as image:
        image.draft(image.mode, (1, 1))
        _upright(image)
        return _used_bits(_deep(image)) if _is_deep(image) else None


def read_image(path: Path | str) -> NDArray[np.uint8]:
    """The upright photo, (H, W, 3) uint8 RGB; errors as for `read_picture`."""
    return np.array(read_picture(path))


def to_photo(image: Any) -> NDArray[np.uint8]:
    """Convert a picture of any of these kinds to a photo (H, W, 3) uint8 RGB.

    Args:
        image: A path; a PIL image, turned upright by its EXIF orientation; a NumPy array (H, W), (H, W, 3) or
            (H, W, 4) uint8, grey, RGB or RGBA; or a torch tensor (3, H, W) uint8 on any device.

    Raises:
        DataError: It is none of these, or cannot be read.
    """
    if isinstance(image, (str, PathLike)):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        try:
            return np.array(_upright(image))
        except DAMAGE as error:
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
        turn = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF may raise anything: keep the photo as stored
        return 1
    return turn if turn in _UPRIGHT else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels, expected 8 or 16 bits")
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


def unreadable(path: Path | str, error: BaseException) -> DataError:
    """The DataError for an image file that Pillow refused with `error`."""
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: no such image")
    if isinstance(error, UnidentifiedImageError):
        return DataError(f"{path}: not an image that Pillow can read")
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"{path}: unreadable image ({reason})")


def without_path(error: DataError, path: Path) -> str:
    """The message of a reading error without the path, which is shown beside it."""
    return str(error).removeprefix(f"{path}: ")
