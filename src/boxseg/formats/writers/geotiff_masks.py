"""Labels for maps: GeoTIFFs at the places of their photos, as QGIS, rasterio and torchgeo read them.

OUT/labelmap.txt                           names and colours of the classes
OUT/images/SPLIT/ID.tif                    photos
OUT/masks/SPLIT/ID.tif                     one band of 8 bits: 0 background, 1..L, 255 no data

Photos that do not say where they lie are left out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from boxseg.dataset import BoxDataset
from boxseg.formats.files import place_photo
from boxseg.formats.georeference import require_georeferences, write_geotiff
from boxseg.formats.label_map import LABELMAP_TXT, write_label_map
from boxseg.formats.writers.labelled import Writing, Written, labelled_photos


def write(dataset: BoxDataset, root: Path, writing: Writing) -> Written:
    """Write the labels of one split, the names of the classes last."""
    places = require_georeferences(dataset.samples, "format=geotiff")
    placed = replace(dataset, samples=tuple(sample for sample in dataset.samples if sample.id in places))
    written = Written(unplaced=len(dataset) - len(placed))
    for photo in labelled_photos(placed, writing):
        sample = photo.sample
        place_photo(sample, root / "images" / dataset.split, writing.photos)
        file = root / "masks" / dataset.split / f"{sample.id}.tif"
        write_geotiff(file, photo.labels, sample, places[sample.id], dataset.classes)
        written += photo.counts
    write_label_map(root / LABELMAP_TXT, dataset.classes, ignored=True)
    return written
