from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from boxseg.errors import DataError
from boxseg.formats.masks import MaskFolder, read_mask, write_grey, write_mask
from boxseg.palette import voc_palette

MASKS = npst.arrays(
    np.uint8, npst.array_shapes(min_dims=2, max_dims=2, max_side=24), elements=st.integers(0, 255)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MASKS)
def test_written_and_read_back(tmp_path: Path, labels: np.ndarray) -> None:
    path = tmp_path / "mask.png"
    write_mask(path, labels)
    assert np.array_equal(read_mask(path), labels)
    first = path.read_bytes()
    write_mask(path, labels[:, ::-1][:, ::-1])  # the same labels, laid out otherwise in memory
    assert path.read_bytes() == first


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MASKS)
def test_painted_in_voc_colours(tmp_path: Path, labels: np.ndarray) -> None:
    Image.fromarray(voc_palette()[labels]).save(tmp_path / "painted.png")
    assert np.array_equal(read_mask(tmp_path / "painted.png"), labels)


def test_colours_seen_by_others_are_voc_s(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 15, 20, 255]], dtype=np.uint8)
    write_mask(tmp_path / "mask.png", labels)
    with Image.open(tmp_path / "mask.png") as image:
        assert image.mode == "P"
        painted = np.asarray(image.convert("RGB"))[0].tolist()
    # Background, aeroplane, person, tvmonitor, void: as the devkit's pictures show them.
    assert painted == [[0, 0, 0], [128, 0, 0], [192, 128, 128], [0, 64, 128], [224, 224, 192]]


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_values_are_the_classes_whatever_the_colours(tmp_path: Path, mode: str) -> None:
    labels = np.array([[0, 1], [2, 255]], dtype=np.uint8)
    if mode == "I;16":
        Image.fromarray(labels.astype(np.uint16)).save(tmp_path / "mask.png")
    elif mode == "L":
        Image.fromarray(labels).save(tmp_path / "mask.png")
    else:
        image = Image.frombytes("P", (2, 2), labels.tobytes())
        image.putpalette([9, 9, 9] * 256)
        image.save(tmp_path / "mask.png")
    read = read_mask(tmp_path / "mask.png", classes=2)
    assert read.dtype == np.uint8
    assert np.array_equal(read, labels)


def test_value_out_of_range_is_named(tmp_path: Path) -> None:
    write_mask(tmp_path / "mask.png", np.array([[0, 3, 21, 255]], dtype=np.uint8))
    assert read_mask(tmp_path / "mask.png", classes=21).max() == 255
    with pytest.raises(
        DataError, match=r"mask\.png: value 21 in 1 pixels of the mask, expected 0\.\.20 or 255"
    ):
        read_mask(tmp_path / "mask.png", classes=20)


def test_16_bit_value_out_of_range_is_no_wraparound(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 257]], dtype=np.uint16)).save(tmp_path / "mask.png")
    with pytest.raises(DataError, match="value 257"):
        read_mask(tmp_path / "mask.png", classes=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MASKS, st.integers(0, 254), st.booleans())
def test_every_value_out_of_range_is_counted(
    tmp_path: Path, labels: np.ndarray, classes: int, wide: bool
) -> None:
    Image.fromarray(labels.astype(np.uint16 if wide else np.uint8)).save(tmp_path / "mask.png")
    wrong = [value for value in labels.ravel().tolist() if classes < value < 255]
    if not wrong:
        assert np.array_equal(read_mask(tmp_path / "mask.png", classes), labels)
        return
    with pytest.raises(DataError, match=rf"value {wrong[0]} in {len(wrong)} pixels"):
        read_mask(tmp_path / "mask.png", classes)


def test_negative_values_are_out_of_range(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, -1]], dtype=np.int32)).save(tmp_path / "mask.tif")
    with pytest.raises(DataError, match="value -1"):
        read_mask(tmp_path / "mask.tif")


def test_other_colours_are_named(tmp_path: Path) -> None:
    Image.new("RGB", (3, 3), (10, 20, 30)).save(tmp_path / "mask.png")
    with pytest.raises(DataError, match=r"mask\.png: colour \(10, 20, 30\) is not a VOC class colour"):
        read_mask(tmp_path / "mask.png")


def test_jpeg_and_rubbish_are_refused(tmp_path: Path) -> None:
    Image.new("L", (3, 3)).save(tmp_path / "mask.jpg")
    with pytest.raises(DataError, match="a JPEG cannot be a mask"):
        read_mask(tmp_path / "mask.jpg")
    (tmp_path / "mask.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"mask\.png"):
        read_mask(tmp_path / "mask.png")
    with pytest.raises(DataError, match="no such image"):
        read_mask(tmp_path / "none.png")


@pytest.mark.parametrize(
    "labels", [np.zeros((2, 2)), np.zeros((2, 2, 3), dtype=np.uint8), np.zeros((0, 4), dtype=np.uint8)]
)
def test_only_uint8_maps_are_written(tmp_path: Path, labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected \(H, W\) uint8"):
        write_mask(tmp_path / "mask.png", labels)
    assert list(tmp_path.iterdir()) == []


def test_real_masks(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "voc2012" / "VOCdevkit" / "VOC2012" / "SegmentationClassAug"
    for path in sorted(folder.iterdir())[::80]:
        labels = read_mask(path, classes=20)
        with Image.open(path) as image:
            assert np.array_equal(labels, np.asarray(image))
        write_mask(tmp_path / path.name, labels)
        assert np.array_equal(read_mask(tmp_path / path.name, classes=20), labels)


def test_a_folder_of_masks_may_say_which_labels_are_reliable(tmp_path: Path) -> None:
    """Where the map is not 255 there is no label; without its map a photo has no labels at all."""
    rng = np.random.default_rng(0)
    labels = rng.choice(np.array([0, 1, 3, 255], np.uint8), (7, 9))
    levels = rng.choice(np.array([0, 254, 255], np.uint8), (7, 9))
    write_mask(tmp_path / "labels" / "deep" / "a.png", labels)
    plain, sure = (MaskFolder(tmp_path / "labels", more) for more in (None, tmp_path / "reliable"))
    assert plain.has("deep/a")
    assert not plain.has("a")
    assert not sure.has("deep/a")
    write_grey(tmp_path / "reliable" / "deep" / "a.png", levels)
    assert sure.has("deep/a")
    assert plain.file("deep/a") == sure.file("deep/a") == tmp_path / "labels" / "deep" / "a.png"
    expected = [
        [label if level == 255 else 255 for label, level in zip(*rows, strict=True)]
        for rows in zip(labels.tolist(), levels.tolist(), strict=True)
    ]
    np.testing.assert_array_equal(plain.read("deep/a"), labels)
    np.testing.assert_array_equal(sure.read("deep/a", 3), np.array(expected))
    with pytest.raises(DataError, match=r"value 3 .*expected 0\.\.2"):
        sure.read("deep/a", 2)
    write_grey(tmp_path / "reliable" / "deep" / "a.png", levels.T)
    with pytest.raises(DataError, match="of different sizes"):
        sure.read("deep/a")
