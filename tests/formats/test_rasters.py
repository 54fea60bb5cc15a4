"""TIFFs of the earth: what Pillow reads, what rasterio reads in its place, and what is refused."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boxseg.errors import DataError
from boxseg.formats.images import decode, image_size, read_image
from boxseg.formats.rasters import raster_photo
from earth_photos import copy_raster, earth, rasterio, write_earth


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"interleave": "band"},
        {"compress": "deflate", "tiled": True, "blockxsize": 16, "blockysize": 16},
        {"compress": "lzw", "predictor": 2},
        {"compress": "zstd"},
        {"BIGTIFF": "YES"},
        {"nodata": 0},
        {"photometric": "MINISBLACK"},  # three bands, and no word that they are colours
    ],
)
def test_three_bands_of_8_bits_are_read_as_they_are(tmp_path: Path, options: dict[str, Any]) -> None:
    pixels = earth()
    assert np.array_equal(read_image(write_earth(tmp_path / "a.tif", pixels, **options)), pixels)


@pytest.mark.parametrize("bands", [3, 4, 13])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("photometric", ["MINISBLACK", "RGB"])
def test_16_bits_a_band_are_scaled_by_the_bits_in_use(
    tmp_path: Path, bands: int, bits: int, photometric: str
) -> None:
    pixels = np.random.default_rng(bits).integers(0, 1 << bits, (20, 30, bands), dtype=np.uint16)
    pixels[0, 0, 1] = (1 << bits) - 1
    file = write_earth(tmp_path / "deep.tif", pixels, photometric=photometric)
    expected = (pixels[..., :3] // 2 ** (bits - 8)).astype(np.uint8)
    assert np.array_equal(read_image(file), expected)
    assert image_size(file) == (30, 20)
    assert decode(file) is None


def test_the_bands_that_are_called_colours_are_shown(tmp_path: Path) -> None:
    pixels = earth(bands=5)
    colours = ["undefined", "blue", "green", "red", "undefined"]
    file = write_earth(tmp_path / "a.tif", pixels)
    with rasterio.open(file, "r+") as dataset:
        dataset.colorinterp = [rasterio.enums.ColorInterp[name] for name in colours]
    assert np.array_equal(read_image(file), pixels[..., [3, 2, 1]])


def test_pixels_without_data_do_not_darken_the_rest(tmp_path: Path) -> None:
    pixels = np.full((20, 30, 3), 800, dtype=np.uint16)
    pixels[:5] = 65535
    read = read_image(write_earth(tmp_path / "deep.tif", pixels, nodata=65535))
    assert (read[:5] == 0).all()
    assert (read[5:] == 200).all()


@pytest.mark.parametrize("kind", ["float32", "int16", "uint32"])
def test_other_numbers_are_refused_with_what_to_do(tmp_path: Path, kind: str) -> None:
    file = write_earth(tmp_path / "a.tif", earth().astype(kind))
    with pytest.raises(DataError, match=f"3 bands of {kind}, expected 8 or 16 bits: gdal_translate -ot Byte"):
        read_image(file)


def test_max_pixels_holds_before_pixels_are_read(tmp_path: Path) -> None:
    file = write_earth(tmp_path / "a.tif", earth(bands=7))
    with pytest.raises(DataError, match="more than max_pixels=100,"):
        read_image(file, limit=100)


def test_no_warning_of_a_photo_without_a_place(tmp_path: Path) -> None:
    file = write_earth(tmp_path / "a.tif", earth(bands=7), crs=None, transform=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(read_image(file), earth(bands=7)[..., :3])


def test_without_rasterio_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, deep = (write_earth(tmp_path / f"{bands}.tif", earth(bands=bands)) for bands in (3, 7))
    monkeypatch.setitem(sys.modules, "rasterio", None)
    assert np.array_equal(read_image(plain), earth())
    with pytest.raises(
        DataError, match=r"7.tif: .*needs the package rasterio .*pip install 'boxseg\[rasterio\]'"
    ):
        read_image(deep)


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    file = write_earth(tmp_path / "a.tif", earth(bands=7), compress="deflate")
    content = file.read_bytes()
    for size in range(0, len(content), len(content) // 20):
        file.write_bytes(content[:size])
        with pytest.raises(DataError) as caught:
            read_image(file)
        assert "\n" not in str(caught.value)


def test_a_virtual_raster_is_not_followed(tmp_path: Path) -> None:
    """By its content GDAL would know it, under any name, and open the files that it names."""
    secret = write_earth(tmp_path / "secret.tif", earth())
    with rasterio.open(secret) as dataset:
        copy_raster(dataset, tmp_path / "open.vrt", driver="VRT")
    file = tmp_path / "open.tif"
    file.write_bytes((tmp_path / "open.vrt").read_bytes())
    with rasterio.open(file) as dataset:
        assert dataset.driver == "VRT"
    assert raster_photo(file) is None
    with pytest.raises(DataError, match="not an image"):
        read_image(file)
