"""Photos as Python programs hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from boxseg.errors import DataError
from boxseg.formats.images import read_image, to_photo

PHOTO = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "image",
    [
        PHOTO,
        PHOTO[::-1][::-1],
        np.dstack([PHOTO, np.full((5, 7), 255, dtype=np.uint8)]),
        Image.fromarray(PHOTO),
        torch.from_numpy(PHOTO).permute(2, 0, 1),
        torch.from_numpy(PHOTO).permute(2, 0, 1).contiguous(),
    ],
    ids=["array", "turned array", "opaque RGBA", "PIL", "tensor view", "tensor"],
)
def test_every_kind_of_rgb_photo_is_the_same_photo(image: Any) -> None:
    photo = to_photo(image)
    assert photo.dtype == np.uint8
    assert np.array_equal(photo, PHOTO)
    photo[0, 0] = 0  # ours to change, not a view of what was given
    assert PHOTO[0, 0].any()


@pytest.mark.parametrize(
    "image",
    [
        PHOTO[..., 0],
        Image.fromarray(PHOTO[..., 0]),
        torch.from_numpy(PHOTO[..., 0].copy()),
        torch.from_numpy(PHOTO[..., 0].copy())[None],
    ],
    ids=["array", "PIL", "tensor", "tensor of one channel"],
)
def test_grey_becomes_rgb(image: Any) -> None:
    assert np.array_equal(to_photo(image), np.repeat(PHOTO[..., :1], 3, axis=2))


def test_files_and_open_images_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PHOTO).save(tmp_path / "photo.png", exif=exif)
    upright = read_image(tmp_path / "photo.png")
    assert upright.shape == (7, 5, 3)
    assert np.array_equal(to_photo(tmp_path / "photo.png"), upright)
    assert np.array_equal(to_photo(str(tmp_path / "photo.png")), upright)
    with Image.open(tmp_path / "photo.png") as image:
        assert np.array_equal(to_photo(image), upright)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (PHOTO / 255, r"shape \(5, 7, 3\) and type float64: expected a uint8 array \(H, W, 3\)"),
        (PHOTO.transpose(2, 0, 1), r"shape \(3, 5, 7\)"),
        (PHOTO[None], r"shape \(1, 5, 7, 3\)"),
        (PHOTO[:0], r"shape \(0, 7, 3\)"),
        (torch.from_numpy(PHOTO), r"shape \(5, 7, 3\) and type uint8: expected a uint8 tensor \(3, H, W\)"),
        (torch.rand(3, 5, 7), "expected a uint8 tensor"),
        (None, "got a NoneType"),
        ([1, 2], "got a list"),
        ("nowhere.jpg", "nowhere.jpg: no such image"),
    ],
)
def test_what_is_no_photo_is_an_error_that_says_so(image: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        to_photo(image)


def test_a_damaged_open_image_is_an_error(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:2000])
    with Image.open(tmp_path / "half.png") as image, pytest.raises(DataError, match="unreadable"):
        to_photo(image)
