"""Labels on the map: at the places of their photos, by rasterio itself, pixel by pixel."""

from __future__ import annotations

import json
import pickle
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from boxseg.dataset import Sample
from boxseg.errors import DataError, MissingExtraError
from boxseg.formats.georeference import read_georeference, require_georeferences, write_geotiff
from boxseg.formats.photo_files import photo_sample
from boxseg.formats.writers import WRITERS, Writing
from boxseg.palette import voc_palette
from drawn_labels import CLASSES, Labels, dataset_of
from earth_photos import CRS, PLACE, earth, rasterio, write_earth


def labels_of(height: int, width: int) -> np.ndarray:
    labels = np.zeros((height, width), dtype=np.uint8)
    labels[height // 4 : height // 2, width // 3 :] = 2
    labels[-5:, :7] = 255
    labels[0, 0] = 3
    return labels


def written(folder: Path, photo: Path, labels: np.ndarray) -> Any:
    """The GeoTIFF of labels of a photo, opened by rasterio."""
    sample = photo_sample(photo.stem, photo)
    place = pickle.loads(pickle.dumps(read_georeference(sample)))  # as it is sent to other processes
    assert place is not None
    write_geotiff(folder / "out" / "labels.tif", labels, sample, place, CLASSES)
    return rasterio.open(folder / "out" / "labels.tif")


@pytest.mark.parametrize("size", [(64, 96), (300, 520)])
def test_labels_lie_where_their_photo_lies(tmp_path: Path, size: tuple[int, int]) -> None:
    photo = write_earth(tmp_path / "a.tif", earth(*size))
    labels = labels_of(*size)
    with rasterio.open(photo) as of, written(tmp_path, photo, labels) as dataset:
        assert (dataset.crs, dataset.transform, dataset.bounds) == (of.crs, of.transform, of.bounds)
        assert (dataset.crs, dataset.transform) == (rasterio.crs.CRS.from_string(CRS), PLACE)
        assert (dataset.count, dataset.dtypes, dataset.nodata) == (1, ("uint8",), 255)
        assert np.array_equal(dataset.read(1), labels)
        assert json.loads(dataset.tags()["classes"]) == ["background", *CLASSES]
        colours = dataset.colormap(1)
        assert [colours[value][:3] for value in range(256)] == [
            tuple(colour) for colour in voc_palette().tolist()
        ]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["labels.tif"]


def test_a_window_of_labels_lies_where_that_of_the_photo_lies(tmp_path: Path) -> None:
    photo = write_earth(tmp_path / "a.tif", earth(300, 520))
    labels = labels_of(300, 520)
    window = rasterio.windows.Window(130, 60, 200, 90)
    with rasterio.open(photo) as of, written(tmp_path, photo, labels) as dataset:
        assert dataset.block_shapes == [(256, 256)]
        assert dataset.window_transform(window) == of.window_transform(window)
        assert np.array_equal(dataset.read(1, window=window), labels[60:150, 130:330])
        for x, y in ((500_040.2, 5_199_950.1), (500_129.9, 5_199_850.1)):  # metres
            row, column = dataset.index(x, y)
            assert (row, column) == of.index(x, y)
            assert next(dataset.sample([(x, y)]))[0] == labels[row, column]


@pytest.mark.parametrize("how", ["nodata", "alpha"])
def test_where_a_photo_has_no_data_its_labels_have_none(tmp_path: Path, how: str) -> None:
    pixels = earth(bands=4 if how == "alpha" else 3)
    pixels[:20, :30] = 0
    pixels[30, 40, :3] = 0, 0, 7  # dark, but there
    if how == "alpha":
        pixels[..., 3] = 255
        pixels[:20, :30, 3] = 0
    photo = write_earth(tmp_path / "a.tif", pixels, **({"nodata": 0} if how == "nodata" else {}))
    labels = labels_of(64, 96)
    with written(tmp_path, photo, labels) as dataset:
        found = dataset.read(1)
    missing = np.zeros((64, 96), dtype=bool)
    missing[:20, :30] = True
    assert (found[missing] == 255).all()
    assert np.array_equal(found[~missing], labels[~missing])
    assert labels[0, 0] == 3, "what was given stays"


def test_ground_control_points_are_kept(tmp_path: Path) -> None:
    point = rasterio.control.GroundControlPoint
    points = [point(0, 0, 10.0, 50.0), point(0, 96, 10.1, 50.0), point(64, 0, 10.0, 49.9)]
    photo = write_earth(tmp_path / "a.tif", earth(), crs=None, transform=None)
    with rasterio.open(photo, "r+") as dataset:
        dataset.gcps = (points, rasterio.crs.CRS.from_epsg(4326))
    with written(tmp_path, photo, labels_of(64, 96)) as dataset:
        found, crs = dataset.gcps
    assert crs.to_epsg() == 4326
    assert [(p.row, p.col, p.x, p.y) for p in found] == [(p.row, p.col, p.x, p.y) for p in points]


def test_a_photo_with_a_world_file_has_a_place_without_a_crs(tmp_path: Path) -> None:
    Image.fromarray(earth()).save(tmp_path / "a.jpg")
    (tmp_path / "a.jgw").write_text("0.5\n0\n0\n-0.5\n1000.25\n1999.75\n")  # of the middle of the first pixel
    with written(tmp_path, tmp_path / "a.jpg", labels_of(64, 96)) as dataset:
        assert dataset.crs is None
        assert dataset.transform == rasterio.transform.from_origin(1000.0, 2000.0, 0.5, 0.5)


def unplaced(folder: Path) -> list[Sample]:
    """Photos that do not say where they lie; one is turned by EXIF, which GDAL does not see."""
    files = [write_earth(folder / "plain.tif", earth(), crs=None, transform=None), folder / "photo.jpg"]
    Image.fromarray(earth()).save(files[1])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(earth()).save(folder / "turned.jpg", exif=exif)
    (folder / "turned.jgw").write_text("0.5\n0\n0\n-0.5\n1000.25\n1999.75\n")
    Image.fromarray(earth()).save(folder / "photo.bmp")
    files += [folder / "turned.jpg", folder / "photo.bmp"]
    return [photo_sample(file.name, file) for file in files]


def test_photos_without_a_place_are_left_out_or_refused(tmp_path: Path) -> None:
    samples = unplaced(tmp_path)
    assert [read_georeference(sample) for sample in samples] == [None] * 4
    as_stored = replace(samples[2], as_stored=True, width=96, height=64)
    assert read_georeference(as_stored) is not None
    with pytest.raises(DataError, match=r"geotiff=true: none of 4 photos says where it lies .*plain.tif"):
        require_georeferences(samples, "geotiff=true")
    placed = photo_sample("placed", write_earth(tmp_path / "placed.tif", earth()))
    assert list(require_georeferences([*samples, placed], "geotiff=true")) == ["placed"]


def test_convert_writes_photos_and_masks_that_lie_on_one_another(tmp_path: Path) -> None:
    placed = photo_sample("sub/placed", write_earth(tmp_path / "placed.tif", earth()))
    labels = labels_of(64, 96)
    samples = [
        replace(one, ground_truth=Labels(labels)) for one in (placed, photo_sample("jpg", _jpg(tmp_path)))
    ]
    root = tmp_path / "out"
    done = WRITERS["geotiff"](dataset_of(samples, root), root, Writing())
    assert (done.photos, done.unplaced) == (1, 1)
    masks, photos = (sorted((root / name).rglob("*.*")) for name in ("masks", "images"))
    assert [file.relative_to(root).as_posix() for file in (*masks, *photos)] == [
        "masks/train/sub/placed.tif",
        "images/train/sub/placed.tif",
    ]
    with rasterio.open(masks[0]) as mask, rasterio.open(photos[0]) as photo:
        assert (mask.crs, mask.transform, mask.shape) == (photo.crs, photo.transform, photo.shape)
        assert np.array_equal(mask.read(1), labels)


def _jpg(folder: Path) -> Path:
    Image.fromarray(earth()).save(folder / "photo.jpg")
    return folder / "photo.jpg"


def test_without_rasterio_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = photo_sample("a", write_earth(tmp_path / "a.tif", earth()))
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(MissingExtraError, match=r"writing GeoTIFFs needs .*pip install 'boxseg\[rasterio\]'"):
        require_georeferences([sample], "geotiff=true")


def test_the_same_labels_are_the_same_bytes(tmp_path: Path) -> None:
    photo = write_earth(tmp_path / "a.tif", earth(300, 520))
    files = []
    for number in range(2):
        written(tmp_path / str(number), photo, labels_of(300, 520)).close()
        files.append((tmp_path / str(number) / "out" / "labels.tif").read_bytes())
    assert files[0] == files[1]
