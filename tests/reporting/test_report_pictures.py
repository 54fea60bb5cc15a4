"""Pictures inside the report, decoded again and compared pixel by pixel."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from boxseg.palette import picture_palette
from boxseg.reporting.html.pictures import data_uri, fit, label_png, photo_jpeg, reliable_png, shrink_labels

Labels = NDArray[np.uint8]
LABELS = arrays(np.uint8, (7, 9), elements=st.sampled_from([0, 1, 2, 15, 20, 80, 255]))


def decode(content: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))


@given(LABELS)
def test_labels_have_the_colours_of_pictures_on_a_transparent_ground(labels: Labels) -> None:
    pixels = decode(label_png(labels))
    for y in range(7):
        for x in range(9):
            value = labels[y, x]
            colour = (255, 255, 255) if value == 255 else tuple(picture_palette()[value])
            assert pixels[y, x, 3] == (0 if value == 0 else 255)
            assert value == 0 or tuple(pixels[y, x, :3]) == colour


@given(LABELS, LABELS)
def test_the_reliable_region_is_striped_exactly_where_labels_differ(y_crf: Labels, y_ret: Labels) -> None:
    pixels = decode(reliable_png(y_crf, y_ret))
    agreed = decode(label_png(y_crf))
    for y in range(7):
        for x in range(9):
            if y_crf[y, x] != y_ret[y, x]:
                shade = 0 if (x + y) // 4 % 2 == 0 else 255
                assert tuple(pixels[y, x]) == (shade, shade, shade, 255)
            elif y_crf[y, x] == 0:
                assert pixels[y, x, 3] == 0
            else:
                assert tuple(pixels[y, x]) == tuple(agreed[y, x])


@given(LABELS, st.integers(1, 12), st.integers(1, 12))
def test_a_shrunk_label_is_the_one_at_its_centre(labels: Labels, width: int, height: int) -> None:
    small = shrink_labels(labels, (width, height))
    assert small.shape == (height, width)
    for row in range(height):
        for column in range(width):
            assert small[row, column] == labels[int((row + 0.5) * 7 / height), int((column + 0.5) * 9 / width)]


@pytest.mark.parametrize(
    ("size", "expected"), [((1000, 500), (480, 240)), ((100, 50), (100, 50)), ((5000, 1), (480, 1))]
)
def test_photos_are_made_smaller_and_never_larger(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert fit(*size, 480) == expected


def test_a_photo_stays_the_photo() -> None:
    image = np.zeros((40, 60, 3), dtype=np.uint8)
    image[:, 30:] = (200, 100, 50)
    pixels = decode(photo_jpeg(image, (30, 20))).astype(int)
    assert pixels.shape == (20, 30, 4)
    assert abs(pixels[10, 5, :3]).max() < 12
    assert abs(pixels[10, 25, :3] - (200, 100, 50)).max() < 12


def test_a_data_address_holds_the_bytes() -> None:
    assert (
        base64.b64decode(data_uri("png", b"\x00\xff<>").removeprefix("data:image/png;base64,")) == b"\x00\xff<>"
    )
