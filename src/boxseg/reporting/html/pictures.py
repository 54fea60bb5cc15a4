"""Pictures small enough to embed in a page: photos as JPEG, labels as palette PNG."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boxseg.dataset import BACKGROUND, IGNORE
from boxseg.palette import picture_palette

# 255 is shown white, as borders are in VOC's own pictures.
WHITE = (255, 255, 255)
_STRIPE = 4  # pixels


def fit(width: int, height: int, longest: int) -> tuple[int, int]:
    """(width, height) of a picture whose longer side is at most `longest` pixels; never enlarged."""
    scale = min(1.0, longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def photo_jpeg(image: NDArray[np.uint8], size: tuple[int, int], quality: int = 82) -> bytes:
    """A photo (H, W, 3) as JPEG of `size` (width, height) pixels."""
    picture = Image.fromarray(image)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=quality, optimize=True)
    return file.getvalue()


def shrink_labels(labels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Labels (H, W) at `size` (width, height) pixels: each takes the label at its centre."""
    height, width = labels.shape
    columns = ((np.arange(size[0]) + 0.5) * width / size[0]).astype(np.int64)
    rows = ((np.arange(size[1]) + 0.5) * height / size[1]).astype(np.int64)
    return np.asarray(labels[rows[:, None], columns])


def label_png(labels: NDArray[np.uint8]) -> bytes:
    """Labels (H, W) as PNG in the colours of pictures, the background transparent, 255 white."""
    colours = picture_palette().copy()
    colours[IGNORE] = WHITE
    return _palette_png(labels, colours, transparent=BACKGROUND)


def reliable_png(y_crf: NDArray[np.uint8], y_ret: NDArray[np.uint8]) -> bytes:
    """Labels on which both (H, W) agree; elsewhere stripes, unlike any class colour."""
    rows, columns = np.indices(y_crf.shape)
    black, white = 254, IGNORE  # no class, so free for stripes
    stripes = np.where((rows + columns) // _STRIPE % 2 == 0, black, white).astype(np.uint8)
    colours = picture_palette().copy()
    colours[white], colours[black] = WHITE, (0, 0, 0)
    return _palette_png(np.where(y_crf == y_ret, y_crf, stripes), colours, transparent=BACKGROUND)


def _palette_png(values: NDArray[np.uint8], colours: NDArray[np.uint8], transparent: int) -> bytes:
    """A PNG with the smallest colour table and bit depth that the values allow."""
    used, places = np.unique(values, return_inverse=True)
    picture = Image.frombytes(
        "P", (values.shape[1], values.shape[0]), places.reshape(values.shape).astype(np.uint8).tobytes()
    )
    picture.putpalette(colours[used].tobytes())
    alpha = bytes(0 if value == transparent else 255 for value in used)
    file = io.BytesIO()
    picture.save(file, format="PNG", transparency=alpha, compress_level=9)
    return file.getvalue()


def data_uri(kind: str, content: bytes) -> str:
    """The content of an image file as a data address: `data:image/KIND;base64,…`."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
