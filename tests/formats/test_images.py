from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boxseg.cli import execute
from boxseg.errors import DataError
from boxseg.formats import images
from boxseg.formats.images import decode, image_size, opened, read_header, read_image, to_photo
from turned_photos import STORED

# Four corners of different colours on 30 x 20: upright, top left is red, top right green.
RED, GREEN, BLUE, WHITE = (250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 250)


def corners() -> np.ndarray:
    image = np.zeros((20, 30, 3), dtype=np.uint8)
    image[:10, :15], image[:10, 15:], image[10:, :15], image[10:, 15:] = RED, GREEN, BLUE, WHITE
    return image


@pytest.mark.parametrize("turn", STORED)
def test_photos_are_turned_upright(tmp_path: Path, turn: int) -> None:
    path = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(np.ascontiguousarray(STORED[turn](corners()))).save(path, exif=exif)
    assert np.array_equal(read_image(path), corners())
    assert image_size(path) == (30, 20)
    assert read_header(path).turned == (turn != 1)


@pytest.mark.parametrize("turn", [0, 9, 77])
def test_unknown_orientation_is_none(tmp_path: Path, turn: int) -> None:
    path = tmp_path / "odd.jpg"
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(corners()).save(path, exif=exif)
    assert read_image(path).shape == (20, 30, 3)
    assert not read_header(path).turned


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # Pillow says so too
def test_damaged_exif_is_none(tmp_path: Path) -> None:
    path = tmp_path / "exif.jpg"
    Image.fromarray(corners()).save(path, exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff broken")
    assert image_size(path) == (30, 20)
    assert read_image(path).shape == (20, 30, 3)


def ramp() -> np.ndarray:
    return np.arange(256, dtype=np.uint8).reshape(16, 16)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "jpg"])
def test_greyscale(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"grey.{suffix}"
    Image.fromarray(ramp()).save(path, **({"quality": 100} if suffix == "jpg" else {}))
    read = read_image(path)
    assert read.shape == (16, 16, 3)
    assert (read == read[..., :1]).all()
    assert np.abs(read[..., 0].astype(int) - ramp()).max() <= (1 if suffix == "jpg" else 0)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_keep_the_upper_8(tmp_path: Path, suffix: str) -> None:
    deep = (ramp().astype(np.uint16) << 8) + 77
    Image.fromarray(deep).save(tmp_path / f"deep.{suffix}")
    assert np.array_equal(read_image(tmp_path / f"deep.{suffix}")[..., 0], ramp())


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_16_bits_that_use_fewer_keep_the_upper_8_of_these(tmp_path: Path, suffix: str, bits: int) -> None:
    path = tmp_path / f"deep.{suffix}"
    Image.fromarray(ramp().astype(np.uint16) << (bits - 8)).save(path)
    assert np.array_equal(read_image(path)[..., 0], ramp())
    assert decode(path) == bits
    # A dark photo is read as the next number of bits that devices have.
    Image.fromarray(np.full((2, 2), (1 << bits) - (1 << bits - 2), np.uint16)).save(path)
    assert (read_image(path) == 192).all()


def test_photos_of_8_bits_use_them(tmp_path: Path) -> None:
    Image.fromarray(ramp()).save(tmp_path / "grey.png")
    assert decode(tmp_path / "grey.png") is None


def test_32_bit_integers_that_hold_16(tmp_path: Path) -> None:
    Image.fromarray((ramp().astype(np.int32) << 8) + 255).save(tmp_path / "deep.tif")
    assert np.array_equal(read_image(tmp_path / "deep.tif")[..., 1], ramp())


def test_cmyk(tmp_path: Path) -> None:
    path = tmp_path / "cmyk.jpg"
    Image.fromarray(corners()).convert("CMYK").save(path, quality=100, subsampling=0)
    assert Image.open(path).mode == "CMYK"
    assert np.abs(read_image(path).astype(int) - corners()).max() <= 6


def test_bilevel(tmp_path: Path) -> None:
    Image.fromarray(ramp() > 127).save(tmp_path / "bits.png")
    assert np.array_equal(read_image(tmp_path / "bits.png")[..., 2], np.where(ramp() > 127, 255, 0))


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    image = Image.fromarray(corners()).quantize(8)
    image.save(tmp_path / "plain.png")
    assert np.array_equal(read_image(tmp_path / "plain.png"), corners())
    red = image.getpixel((0, 0))
    image.save(tmp_path / "clear.png", transparency=red)
    image.save(tmp_path / "bytes.png", transparency=bytes(0 if i == red else 255 for i in range(8)))
    expected = np.where((corners() == RED).all(axis=2, keepdims=True), 255, corners())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(read_image(tmp_path / "clear.png"), expected)
        assert np.array_equal(read_image(tmp_path / "bytes.png"), expected)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_pixels_are_shown_on_white(tmp_path: Path, mode: str) -> None:
    image = Image.new(mode, (3, 1))
    dark = (0, 0, 0) if mode == "RGBA" else (0,)
    for x, alpha in enumerate((255, 128, 0)):
        image.putpixel((x, 0), (*dark, alpha))
    image.save(tmp_path / "alpha.png")
    assert np.abs(read_image(tmp_path / "alpha.png")[0, :, 0].astype(int) - [0, 127, 255]).max() <= 1


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN)]
    frames[0].save(tmp_path / "moves.gif", save_all=True, append_images=frames[1:])
    assert (read_image(tmp_path / "moves.gif") == RED).all()


def test_result_is_writable_and_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(corners()).save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        read_image(path)[0, 0] = 3
    assert (read_image(path)[0, 0] == RED).all()


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_truncated_photo_is_an_error_that_names_it(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(whole)
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(DataError, match=f"cut.{suffix}"):
        read_image(path)


def refuses(read: Callable[[Path], object], path: Path) -> bool:
    try:
        read(path)
    except DataError:
        return True
    return False


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize(
    ("mode", "suffix", "options"),
    [
        ("RGB", "jpg", {}),
        ("RGB", "jpg", {"progressive": True, "quality": 95}),
        ("L", "jpg", {}),
        ("CMYK", "jpg", {}),
        ("RGB", "png", {}),
        ("P", "gif", {}),
        ("F", "tif", {}),
    ],
)
def test_decode_refuses_what_reading_refuses(tmp_path: Path, mode: str, suffix: str, options) -> None:
    random = np.random.default_rng(0)
    picture = Image.fromarray(random.integers(0, 256, (61, 83, 3), dtype=np.uint8)).convert(mode)
    path = tmp_path / f"photo.{suffix}"
    picture.save(path, **options)
    whole = path.read_bytes()
    seen = set()
    for damage in range(120):
        content = bytearray(whole)
        if damage % 2:
            content = content[: random.integers(len(whole))]
        elif damage:
            for place in random.integers(len(whole), size=3):
                content[place : place + 4] = random.bytes(4)
        path.write_bytes(content)
        refused = refuses(read_image, path)
        assert refuses(decode, path) == refused, damage
        seen.add(refused)
    assert seen == ({True} if mode == "F" else {True, False})


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_rubbish_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rubbish.jpg"
    path.write_bytes(content)
    for read in (image_size, read_image):
        with pytest.raises(DataError, match=r"rubbish\.jpg"):
            read(path)


def test_every_cut_of_a_header_is_read_or_refused(tmp_path: Path) -> None:
    Image.fromarray(corners()).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    path = tmp_path / "cut.png"
    refused = 0
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        try:
            read_image(path)
        except DataError:
            refused += 1
    assert refused > len(whole) / 2


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such image"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(DataError, match="unreadable image"):
        read_image(tmp_path)


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), dtype=np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(DataError, match="floating-point pixels, expected 8 or 16 bits"):
        read_image(tmp_path / "float.tif")


def bomb(path: Path, width: int, height: int) -> Path:
    """A PNG that states a size, and no more pixels than fit into a few bytes."""
    header = struct.pack(">II", width, height) + bytes([1, 0, 0, 0, 0])  # one bit, grey
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
    return path


def test_a_decompression_bomb_is_refused_with_its_size_and_the_option(tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.png", 30_000, 30_000)
    expected = r"bomb\.png: 30000 x 30000 pixels are more than max_pixels=400000000, .* raise max_pixels$"
    for read in (image_size, read_image, to_photo, decode):
        with pytest.raises(DataError, match=expected):
            read(path)
    with pytest.raises(DataError, match="max_pixels=599"):
        image_size(bomb(path, 30, 20), 599)
    assert image_size(path, 600) == (30, 20)


@pytest.mark.parametrize("limit", [100, None])
def test_pillows_limit_is_neither_used_nor_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int | None
) -> None:
    Image.fromarray(corners()).save(tmp_path / "photo.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert image_size(tmp_path / "photo.png") == (30, 20)
        with opened(tmp_path / "photo.png"), opened(tmp_path / "photo.png"), pytest.raises(DataError):
            image_size(tmp_path / "none.png")
    assert limit == Image.MAX_IMAGE_PIXELS


def test_15000_by_15000_pixels_are_a_photo(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert image_size(bomb(tmp_path / "photo.png", 15_000, 15_000)) == (15_000, 15_000)


def test_exif_behind_the_pixels_of_a_png_is_found_without_decoding(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(corners()).save(tmp_path / "photo.png", exif=exif)
    content = (tmp_path / "photo.png").read_bytes()
    start = content.index(b"eXIf") - 4
    stop = start + 12 + int.from_bytes(content[start : start + 4], "big")
    end = content.index(b"IEND") - 4
    moved = content[:start] + content[stop:end] + content[start:stop] + content[end:]
    (tmp_path / "late.png").write_bytes(moved)
    assert read_header(tmp_path / "late.png").turn == 6
    assert np.array_equal(read_image(tmp_path / "late.png"), read_image(tmp_path / "photo.png"))


def test_a_picture_of_several_bands_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(corners()).save(tmp_path / "photo.png")
    monkeypatch.setattr(images, "_BAND", 100)
    assert np.array_equal(read_image(tmp_path / "photo.png"), corners())


def test_real_photos(shared_data: Path) -> None:
    folder = shared_data / "voc2012" / "VOCdevkit" / "VOC2012" / "JPEGImages"
    for path in sorted(folder.iterdir())[::80]:
        image = read_image(path)
        assert image.shape[:2][::-1] == image_size(path)
        with Image.open(path) as opened:
            assert np.array_equal(image, np.asarray(opened.convert("RGB")))


def test_verbs_take_another_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(corners()).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "data.yaml").write_text("names: [dog]\ntrain: .\n")
    words = ["label", f"data={tmp_path}", f"out={tmp_path}/out", "method=box", "crf=false"]
    assert execute([*words, "max_pixels=599"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "a.png: unreadable photo: 30 x 20 pixels are more than max_pixels=599" in said
    assert execute([*words, "data.max_pixels=600"]) == 0
    with pytest.raises(DataError, match="more than max_pixels=599"):
        to_photo(tmp_path / "a.png", 599)
    assert to_photo(Image.open(tmp_path / "a.png"), 599).shape == (20, 30, 3)  # it was opened by others
