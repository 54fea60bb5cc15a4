"""Labels for maps: GeoTIFFs at the places of their photos, as QGIS, rasterio and torchgeo read them.

OUT/labelmap.txt                           names and colours of the classes
OUT/images/SPLIT/ID.tif                    photos
OUT/masks/SPLIT/ID.tif                     one band of 8 bits: 0 background, 1..L, 255 no data

Photos that do not say where they lie are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from boxseg.dataset import BoxDataset
from boxseg.formats.files import place_photo
from boxseg.formats.georeference import Georeference, require_georeferences, write_geotiff
from boxseg.formats.label_map import LABELMAP_TXT, write_label_map
from boxseg.formats.samples import chosen
from boxseg.formats.writers.labelled import PhotoLabels, Writing, Written, write_photos


def write(dataset: BoxDataset, root: Path, writing: Writing) -> Written:
    """Write the labels of one split, the names of the classes last."""
    places = require_georeferences(dataset.samples, "format=geotiff")
    placed = replace(
        dataset, samples=chosen(dataset.samples, (sample.id in places for sample in dataset.samples))
    )
    split, classes, photos = dataset.split, dataset.classes, writing.photos
    work = partial(_write, root=root, split=split, classes=classes, photos=photos, places=places)
    _, written = write_photos(work, placed, writing)
    write_label_map(root / LABELMAP_TXT, dataset.classes, ignored=True)
    return written + Written(unplaced=len(dataset) - len(placed))


def _write(
    photo: PhotoLabels,
    root: Path,
    split: str,
    classes: tuple[str, ...],
    photos: Literal["copy", "link", "none"],
    places: Mapping[str, Georeference],
) -> None:
    sample = photo.sample
    place_photo(sample, root / "images" / split, photos)
    file = root / "masks" / split / f"{sample.id}.tif"
    write_geotiff(file, photo.labels, sample, places[sample.id], classes)
