"""Photos of the earth from boxes to labels on the map, by the commands as users type them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.end_to_end.conftest import Command

from boxseg.formats.masks import read_mask
from earth_photos import earth, rasterio, write_earth
from small_networks import write_uneven_segmenter

CLASSES = ("field", "lake")
ONCE = ("tta=false", "crf=false", "trainer.workers=0")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_uneven_segmenter(tmp_path_factory.mktemp("network") / "model.safetensors", CLASSES)


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """Three tiles with COCO boxes around their fields: of 8 bits, of 16 bits and 5 bands, without a place."""
    root = tmp_path / "tiles"
    files = [
        write_earth(root / "images" / "east.tif", earth(seed=1)),
        write_earth(root / "images" / "west.tif", earth(bands=5, seed=2).astype(np.uint16) << 3),
        write_earth(root / "images" / "lost.tif", earth(seed=3), crs=None, transform=None),
    ]
    images = [
        {"id": number, "file_name": file.name, "width": 96, "height": 64}
        for number, file in enumerate(files, start=1)
    ]
    boxes = [
        {
            "id": number,
            "image_id": number,
            "category_id": 1,
            "bbox": [15, 10, 35, 30],
            "area": 1050,
            "iscrowd": 0,
        }
        for number in (1, 2, 3)
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)]
    content = {"images": images, "annotations": boxes, "categories": categories}
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_train.json").write_text(json.dumps(content))
    return root


def same_place(label: Path, photo: Path) -> np.ndarray:
    """The labels of a GeoTIFF, which lies where the photo lies."""
    with rasterio.open(label) as one, rasterio.open(photo) as other:
        assert (one.crs, one.transform, one.shape) == (other.crs, other.transform, other.shape)
        assert one.crs is not None
        return one.read(1)


def test_label_and_convert(boxseg: Command, tiles: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("label", f"data={tiles}", f"out={out}", "method=ellipse", "trainer.workers=0")
    done = boxseg(*words, "label.formats=[geotiff]")
    assert "no GeoTIFF of 1 photo: without a place on the ground" in done.stdout
    boxseg("convert", out, tmp_path / "again", "format=geotiff")
    for name in ("east", "west"):
        photo, expected = tiles / "images" / f"{name}.tif", read_mask(out / "labels" / f"{name}.png")
        assert expected[25, 32] == 1
        for root in (out / "geotiff", tmp_path / "again"):
            assert np.array_equal(same_place(root / "masks" / "train" / f"{name}.tif", photo), expected)
    assert not (out / "geotiff" / "masks" / "train" / "lost.tif").exists()
    assert (out / "labels" / "lost.png").is_file(), "labels it has all the same"
    assert "there already" in boxseg(*words, "label.formats=[geotiff]").stdout


def test_the_mask_network_labels_tiles(boxseg: Command, tiles: Path, tmp_path: Path) -> None:
    """The field is dark on light ground: its mask is found in 8 and in 16 bits."""
    boxseg("label", f"data={tiles}", f"out={tmp_path / 'out'}", "trainer.workers=0")
    truth = np.zeros((64, 96), dtype=bool)
    truth[10:40, 15:50] = True
    for name in ("east", "west"):
        mask = read_mask(tmp_path / "out" / "labels" / f"{name}.png") == 1
        assert (mask & truth).sum() > 0.6 * (mask | truth).sum()


@pytest.mark.parametrize("tile", [0, 64])
def test_predict(boxseg: Command, tiles: Path, network: Path, tmp_path: Path, tile: int) -> None:
    out = tmp_path / "out"
    words = ("predict", f"checkpoint={network}", f"images={tiles / 'images'}", *ONCE, f"evaluate.tile={tile}")
    done = boxseg(*words, f"out={out}", "geotiff=true")
    assert "no GeoTIFF of 1 photo: without a place on the ground" in done.stdout
    assert sorted(path.name for path in (out / "geotiff").iterdir()) == ["east.tif", "west.tif"]
    for name in ("east", "west"):
        labels = same_place(out / "geotiff" / f"{name}.tif", tiles / "images" / f"{name}.tif")
        assert np.array_equal(labels, read_mask(out / "labels" / f"{name}.png"))
    assert len(list((out / "labels").iterdir())) == 3
    boxseg("convert", out, tmp_path / "map", "format=geotiff")
    for name in ("east", "west"):
        file = tmp_path / "map" / "masks" / "train" / f"{name}.tif"
        assert np.array_equal(
            same_place(file, tiles / "images" / f"{name}.tif"), read_mask(out / "labels" / f"{name}.png")
        )


def test_photos_without_a_place_are_refused_before_anything_is_written(
    boxseg: Command, tiles: Path, network: Path, tmp_path: Path
) -> None:
    words = (
        "predict",
        f"checkpoint={network}",
        f"images={tiles / 'images' / 'lost.tif'}",
        f"out={tmp_path / 'o'}",
    )
    done = boxseg(*words, *ONCE, "geotiff=true", check=False)
    assert done.returncode == 2
    assert "geotiff=true: none of 1 photo says where it lies on the ground" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "o" / "labels").exists()
    boxseg(*words, *ONCE)
    done = boxseg("convert", tmp_path / "o", tmp_path / "map", "format=geotiff", check=False)
    assert "format=geotiff: none of 1 photo says where it lies" in done.stderr.splitlines()[-1]


def test_doctor_names_tiles_that_cannot_be_read(boxseg: Command, tiles: Path) -> None:
    write_earth(tiles / "images" / "east.tif", earth().astype(np.float32))
    done = boxseg("doctor", tiles, check=False)
    assert "images/east.tif" in done.stdout
    assert "3 bands of float32, expected 8 or 16 bits:" in done.stdout


def test_a_jpeg_beside_tiles_changes_nothing(
    boxseg: Command, tiles: Path, network: Path, tmp_path: Path
) -> None:
    Image.fromarray(earth()).save(tiles / "images" / "photo.jpg")
    words = ("predict", f"checkpoint={network}", f"images={tiles / 'images'}", *ONCE, f"out={tmp_path / 'out'}")
    assert "no GeoTIFF of 2 photos" in boxseg(*words, "geotiff=true").stdout
