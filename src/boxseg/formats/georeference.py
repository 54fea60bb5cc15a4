"""Labels on the map: where a photo lies on the ground, and its labels as a GeoTIFF that lies there, too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxseg.atomic import atomic_path
from boxseg.dataset import BACKGROUND_NAME, IGNORE, Sample
from boxseg.errors import DataError, is_damage
from boxseg.formats.images import read_header
from boxseg.formats.rasters import no_word_of_places, opened_raster, rasterio
from boxseg.palette import voc_palette
from boxseg.wording import counted

_PURPOSE = "writing GeoTIFFs"
_BLOCK = 256  # pixels, so that a program may read a part
_ROWS = 1024  # of a photo whose pixels without data are looked for


@dataclass(frozen=True, kw_only=True, eq=False)
class Georeference:
    """Where a photo lies on the ground.

    Attributes:
        crs: Its coordinate reference system, as rasterio has it; None if it states none.
        transform: From pixels to that system, affine; None where ground control points say it.
        gcps: Ground control points; empty where a transform says it.
    """

    crs: Any
    transform: Any
    gcps: tuple[Any, ...] = ()


def read_georeference(sample: Sample) -> Georeference | None:
    """Where a photo lies; None if it does not say, or if its labels are in another frame than its pixels.

    Raises:
        MissingExtraError: rasterio is not installed.
    """
    rasterio(_PURPOSE)
    try:
        if not sample.as_stored and read_header(sample.image, limit=sample.width * sample.height).turned:
            return None  # GDAL does not turn photos
        with opened_raster(sample.image, _PURPOSE) as dataset:
            if (dataset.width, dataset.height) != (sample.width, sample.height):
                return None
            points, crs = dataset.gcps
            if points:
                return Georeference(crs=crs, transform=None, gcps=tuple(points))
            placed = not dataset.transform.is_identity
            return Georeference(crs=dataset.crs, transform=dataset.transform) if placed else None
    except Exception as error:  # of a damaged photo, or of one that GDAL does not know
        if not is_damage(error) and not isinstance(error, DataError):
            raise
        return None


def require_georeferences(samples: Sequence[Sample], option: str) -> dict[str, Georeference]:
    """Where photos lie, by ID; those that do not say are left out.

    Raises:
        DataError: None of them says.
        MissingExtraError: rasterio is not installed.
    """
    places = {sample.id: place for sample in samples if (place := read_georeference(sample)) is not None}
    if not places:
        raise DataError(
            f"{option}: none of {counted(len(samples), 'photo')} says where it lies on the ground (the first "
            f"is {samples[0].image}): give photos that do, such as GeoTIFFs, or leave it out"
        )
    return places


def unplaced_line(unplaced: int) -> str:
    """A line on photos without a GeoTIFF."""
    return f"  no GeoTIFF of {counted(unplaced, 'photo')}: without a place on the ground"


def write_geotiff(
    path: Path, labels: NDArray[np.uint8], sample: Sample, place: Georeference, classes: Sequence[str]
) -> None:
    """Write labels of a photo as a GeoTIFF at the same place: whole, not synced.

    It has one band of 8 bits, deflated, in VOC's colours; 255, which is its nodata value, also stands where the
    photo has no data. The names of the classes are in its tag `classes`, as a JSON list from 0.

    Args:
        path: The file.
        labels: (H, W) uint8: 0 background, 1..L, 255 no label.
        sample: The photo.
        place: Where it lies.
        classes: Names of classes 1..L.
    """
    library = rasterio(_PURPOSE)
    height, width = labels.shape
    blocks = {"tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK} if min(height, width) > _BLOCK else {}
    where = {"crs": place.crs, "transform": place.transform} if not place.gcps else {}
    colours = {value: (*colour, 255) for value, colour in enumerate(voc_palette().tolist())}
    with library.io.MemoryFile() as memory, no_word_of_places(library):
        with memory.open(
            driver="GTiff", width=width, height=height, count=1, dtype="uint8", nodata=IGNORE,
            compress="deflate", **blocks, **where,
        ) as dataset:  # fmt: skip
            if place.gcps:
                dataset.gcps = (list(place.gcps), place.crs)
            dataset.write_colormap(1, colours)
            dataset.update_tags(classes=json.dumps([BACKGROUND_NAME, *classes], ensure_ascii=False))
            dataset.write(_with_nodata(labels, sample), 1)
        # GDAL would write to the file itself, and not say if a full disk took only a part of it.
        with atomic_path(path, sync=False) as temporary:
            temporary.write_bytes(memory.getbuffer())


def _with_nodata(labels: NDArray[np.uint8], sample: Sample) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = labels.copy()
    for rows, valid in _validity(sample):
        found[rows][~valid] = IGNORE
    return found


def _validity(sample: Sample) -> Iterator[tuple[slice, NDArray[np.bool_]]]:
    """Where a photo has data, some rows at a time; nothing if it has them everywhere."""
    with opened_raster(sample.image, _PURPOSE) as dataset:
        if all("all_valid" in {flag.name for flag in flags} for flags in dataset.mask_flag_enums):
            return
        for top in range(0, dataset.height, _ROWS):
            rows = slice(top, min(top + _ROWS, dataset.height))
            window = ((rows.start, rows.stop), (0, dataset.width))
            yield rows, dataset.dataset_mask(window=window) > 0
