"""Small photos of the earth, as GIS programs write them, and what is true of them by rasterio itself."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")

copy_raster = pytest.importorskip("rasterio.shutil").copy

CRS = "EPSG:32633"
PLACE = rasterio.transform.from_origin(500_000.0, 5_200_000.0, 0.25, 0.5)


def write_earth(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    """A GeoTIFF of pixels (H, W, bands); with `crs=None` and `transform=None` one without a place."""
    height, width, bands = pixels.shape
    where = {"crs": CRS, "transform": PLACE} | options
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver="GTiff", width=width, height=height, count=bands, dtype=pixels.dtype, **where
        ) as dataset:
            dataset.write(np.moveaxis(pixels, 2, 0))
    return path


def earth(height: int = 64, width: int = 96, bands: int = 3, seed: int = 0) -> np.ndarray:
    """A photo with dark fields on light ground, (H, W, bands) uint8."""
    random = np.random.default_rng(seed)
    pixels = random.integers(150, 200, (height, width, bands), dtype=np.uint8)
    field = pixels[10:40, 15:50]
    field[:] = random.integers(20, 60, field.shape, dtype=np.uint8)
    return pixels
