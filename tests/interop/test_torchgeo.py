"""What torchgeo's data sets make of format=geotiff: photos and masks, joined by their places.

It needs torchvision; where that does not load, torchgeo does not, and this is skipped.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from boxseg.formats.photo_files import photo_sample
from boxseg.formats.writers import WRITERS, Writing
from drawn_labels import Labels, dataset_of
from earth_photos import earth, rasterio, write_earth

try:
    from torchgeo.datasets import RasterDataset
except Exception as error:  # torchvision for another torch fails in many ways
    pytest.skip(f"torchgeo does not load: {error}", allow_module_level=True)


class Masks(RasterDataset):
    filename_glob = "*.tif"
    is_image = False


def test_masks_lie_on_their_photos(tmp_path: Path) -> None:
    from dataclasses import replace

    east = rasterio.transform.from_origin(500_100.0, 5_200_000.0, 0.5, 0.5)
    west = rasterio.transform.from_origin(500_000.0, 5_200_000.0, 0.5, 0.5)
    samples, truth = [], {}
    for seed, (name, place) in enumerate({"east": east, "west": west}.items()):
        photo = write_earth(tmp_path / f"{name}.tif", earth(64, 96, seed=seed), transform=place)
        labels = np.random.default_rng(seed).integers(0, 4, (64, 96), dtype=np.uint8)
        truth[name] = labels
        samples.append(replace(photo_sample(name, photo), ground_truth=Labels(labels)))
    root = tmp_path / "out"
    WRITERS["geotiff"](dataset_of(samples, root), root, Writing())
    both = RasterDataset(str(root / "images" / "train")) & Masks(str(root / "masks" / "train"))
    assert len(both) == 2
    left, top = 500_100.0 + 10 * 0.5, 5_200_000.0 - 20 * 0.5  # 10 columns and 20 rows into the eastern photo
    item = both[left : left + 24 * 0.5, top - 16 * 0.5 : top]
    assert np.array_equal(item["mask"].numpy().squeeze(), truth["east"][20:36, 10:34])
    assert np.array_equal(item["image"].numpy(), np.moveaxis(earth(64, 96, seed=0), 2, 0)[:, 20:36, 10:34])
