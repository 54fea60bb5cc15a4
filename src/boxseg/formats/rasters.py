"""Photos of the earth, read by rasterio: TIFFs of many bands or of 16 bits, and where any photo lies.

Pillow reads most GeoTIFFs, of 8 bits and up to 4 bands. Those of 16 bits a band, of more bands, or of bands
without a colour are read here: the bands that the file calls red, green and blue, or else the first three. 16
bits are scaled as those of grey photos are, by the number of bits that the pixels use.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from boxseg.errors import DataError, MissingExtraError, is_damage
from boxseg.extras import import_extra
from boxseg.remote.hooks import local_copy
from boxseg.wording import counted

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# GDAL's names of formats by how files begin. It would also open descriptions of virtual rasters, which name
# files and addresses to read.
_DRIVERS = {**dict.fromkeys(_TIFF, "GTiff"), b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG"}
_BITS, _PHOTOMETRIC, _SAMPLES = 258, 262, 277  # tags of TIFF
_WITHOUT_COLOUR = (0, 1)  # photometric interpretations of grey
_PURPOSE = "a TIFF of 16 bits a band, or of bands without a colour"


def rasterio(purpose: str) -> Any:
    """The library; a MissingExtraError that `purpose` begins if it is not installed."""
    return import_extra("rasterio", extra="rasterio", purpose=purpose)


@contextmanager
def opened_raster(path: Path, purpose: str) -> Iterator[Any]:
    """A TIFF, JPEG or PNG as a dataset of rasterio; GDAL's errors, and a ValueError for another file."""
    library = rasterio(purpose)
    with local_copy(path) as own:
        with own.open("rb") as file:
            head = file.read(4)
        driver = next((name for start, name in _DRIVERS.items() if head.startswith(start)), None)
        if driver is None:
            raise ValueError("neither TIFF nor JPEG nor PNG")
        with no_word_of_places(library):
            dataset = library.open(own.absolute(), driver=driver)
        with dataset:
            yield dataset


@contextmanager
def no_word_of_places(library: Any) -> Iterator[None]:
    """Without the warnings of rasterio that a file has no place on the ground, as most photos have none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", library.errors.NotGeoreferencedWarning)
        yield


def raster_photo(path: Path) -> Image.Image | None:
    """The photo of a TIFF that Pillow cannot read, or not rightly; None for any other file.

    Raises:
        DataError: It is such a TIFF, and rasterio is not installed.
    """
    layout = _layout(path)
    if layout is None:
        return None
    samples, bits, photometric = layout
    coloured = photometric not in _WITHOUT_COLOUR and samples <= 4
    if samples < 3 or (coloured and bits <= 8):
        return None
    try:
        return _RasterPhoto(path)
    except MissingExtraError as error:
        raise DataError(f"{path}: {error}") from error


def _layout(path: Path) -> tuple[int, int, int] | None:
    """Samples a pixel, bits of the largest and photometric interpretation of a TIFF; None of another file."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
            if head[:4] not in _TIFF:
                return None
            head += file.read(8) if b"+" in head[:4] else b""  # BigTIFF
            tags = ImageFileDirectory_v2(head)
            file.seek(tags.next)
            tags.load(file)
            bits = tags.get(_BITS, 1)
            most = max(bits) if isinstance(bits, tuple) else int(bits)
            return int(tags.get(_SAMPLES, 1)), most, int(tags.get(_PHOTOMETRIC, 1))
    except Exception as error:  # a damaged file may be of anything, and Pillow says what is wrong
        if not is_damage(error):
            raise
        return None


class _RasterPhoto(ImageFile.ImageFile):
    """A TIFF that rasterio decodes, when its pixels are asked for."""

    format, format_description = "TIFF", "TIFF read by rasterio"
    _decoded = False

    def _open(self) -> None:
        with opened_raster(Path(str(self.filename)), _PURPOSE) as dataset:
            kinds = sorted(set(dataset.dtypes))
            if not set(kinds) <= {"uint8", "uint16"}:
                raise ValueError(
                    f"{counted(dataset.count, 'band')} of {' and '.join(kinds)}, expected 8 or 16 bits: "
                    "gdal_translate -ot Byte -scale writes such a file"
                )
            self._mode, self._size = "RGB", (dataset.width, dataset.height)

    def load(self) -> Any:
        if not self._decoded:
            with opened_raster(Path(str(self.filename)), _PURPOSE) as dataset:
                self.im, self._decoded = Image.fromarray(_eight_bits(dataset)).im, True
        return self.im.pixel_access(self.readonly)


def _eight_bits(dataset: Any) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) of the bands that show; black where the photo has no data."""
    bands = dataset.read(_shown(dataset), masked=True).filled(0)
    used = next(bits for bits in (8, 10, 12, 14, 16) if int(bands.max()) < 1 << bits)
    bands >>= used - 8
    return np.ascontiguousarray(np.moveaxis(bands.astype(np.uint8), 0, 2))


def _shown(dataset: Any) -> list[int]:
    """Numbers of the bands that are red, green and blue, from 1."""
    names = [kind.name for kind in dataset.colorinterp]
    colours = ("red", "green", "blue")
    return [names.index(name) + 1 for name in colours] if set(colours) <= set(names) else [1, 2, 3]
