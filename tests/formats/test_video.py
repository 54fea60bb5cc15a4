"""Frames of videos that PyAV has written, against PyAV's own plain loop; and videos that are none."""

from __future__ import annotations

import os
import struct
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from boxseg.errors import DataError, MissingExtraError
from boxseg.formats.video import Frame, count_frames, is_video, read_frames
from small_videos import av, decoded, pictures, write_sound, write_video


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.mov"])
@pytest.mark.parametrize("every", [1, 7, 100])
def test_every_kth_frame_from_the_first_on(tmp_path: Path, name: str, every: int) -> None:
    file = write_video(tmp_path / name, pictures())
    expected = decoded(file)
    assert len(expected) == 24
    frames = list(read_frames(file, every))
    assert [frame.number for frame in frames] == list(range(0, 24, every))
    assert count_frames(file, every) == len(frames)
    for frame in frames:
        assert np.array_equal(frame.image, expected[frame.number])
        assert frame.seconds == pytest.approx(frame.number / 10, abs=0.002)
        assert frame.image[2, 40, 2] > 150 > 100 > frame.image[2, 40, 0], "the top is blue, not red"


def test_names_of_frames_sort_by_time() -> None:
    image = np.zeros((1, 1, 3), np.uint8)
    times = [(0, 0.0), (3, 0.12), (1499, 59.9996), (1500, 60.0), (120_000, 4805.2)]
    names = [Frame(number=number, seconds=seconds, image=image).name for number, seconds in times]
    assert names == [
        "000000_00h00m00s000",
        "000003_00h00m00s120",
        "001499_00h01m00s000",
        "001500_00h01m00s000",
        "120000_01h20m05s200",
    ]


def test_a_video_taken_upright_is_read_upright(tmp_path: Path) -> None:
    """As phones write it: a matrix in the header (x' = -y, y' = x) turns frames clockwise by a quarter."""
    file = write_video(tmp_path / "a.mp4", pictures(3))
    lying = decoded(file)
    content = bytearray(file.read_bytes())
    place = content.index(b"tkhd") + 4 + 40  # version 0 of the box: the matrix is behind 40 bytes of others
    one = 1 << 16
    assert struct.unpack_from(">9i", content, place) == (one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", content, place, 0, one, 0, -one, 0, 0, 64 * one, 0, 1 << 30)
    file.write_bytes(content)
    for frame, stored in zip(read_frames(file), lying, strict=True):
        assert frame.image.shape == (96, 64, 3)
        height = stored.shape[0]
        for row, column in ((0, 0), (20, 70), (63, 95)):
            assert np.array_equal(frame.image[column, height - 1 - row], stored[row, column])


def test_one_frame_is_held_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames are converted when they are asked for, and those in between never."""
    file = write_video(tmp_path / "a.mp4", pictures())
    made: list[int] = []
    monkeypatch.setattr("boxseg.formats.video._upright", lambda frame: made.append(frame.pts) or np.zeros(1))
    frames = read_frames(file, 6)
    for count in range(1, 5):
        next(frames)
        assert len(made) == count


def test_what_is_no_video_is_one_line(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", pictures()).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("not a video\n" * 50)
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    names = ("cut", "empty", "text", "folder", "pipe", "missing")
    for name in names:
        for read in (count_frames, lambda path: next(read_frames(path))):
            with pytest.raises(DataError, match=rf"{name}.mp4: not a video that can be read \(.+\)$"):
                read(tmp_path / f"{name}.mp4")
    with pytest.raises(DataError, match=r"sound.mp4: no video in it, only audio$"):
        count_frames(write_sound(tmp_path / "sound.mp4"))


def test_a_playlist_is_not_followed(tmp_path: Path) -> None:
    """FFmpeg knows formats by their content, under any name, and opens the files and addresses in them."""
    write_video(tmp_path / "secret.mp4", pictures(2))
    listing = tmp_path / "list.mp4"
    for text in (
        "ffconcat version 1.0\nfile 'secret.mp4'\n",
        "#EXTM3U\n#EXTINF:3,\nsecret.mp4\n#EXT-X-ENDLIST\n",
    ):
        listing.write_text(text)
        with pytest.raises(DataError, match="not a video that can be read"):
            list(read_frames(listing))
    listing.write_text("ffconcat version 1.0\nfile 'secret.mp4'\n")
    with av.open(str(listing)) as container:
        assert container.format.name == "concat", "by itself it would"


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_video_that_is_cut_off_gives_what_it_has_and_says_so(tmp_path: Path, name: str) -> None:
    file = write_video(tmp_path / name, pictures(60))
    content = file.read_bytes()
    if name == "a.mp4":  # the index stays, the frames it tells of are gone
        start = content.index(b"mdat") + 4
        end = content.index(b"moov") - 4
        half = (start + end) // 2
        content = content[:half] + bytes(end - half) + content[end:]
    else:
        content = content[: len(content) // 2]
    file.write_bytes(content)
    found: list[int] = []
    with pytest.raises(
        DataError, match=r"damaged after \d+ of its frames|ends after \d\.\d of the 6.0 seconds"
    ):
        found.extend(frame.number for frame in read_frames(file))
    assert 0 < len(found) < 60
    assert found == list(range(len(found)))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("rate", [Fraction(1, 2), Fraction(1, 5)])
def test_a_video_of_a_frame_in_seconds_is_whole(tmp_path: Path, name: str, rate: Fraction) -> None:
    """As time lapses and cameras of traffic are."""
    file = write_video(tmp_path / name, pictures(6), rate=rate)
    assert [frame.seconds for frame in read_frames(file)] == [number / rate for number in range(6)]


def test_a_video_without_a_frame(tmp_path: Path) -> None:
    file = write_sound(tmp_path / "none.mkv", video=True)
    with pytest.raises(DataError, match=r"none.mkv: a video without a frame$"):
        list(read_frames(file))


def test_frames_of_too_many_pixels_are_refused(tmp_path: Path) -> None:
    file = write_video(tmp_path / "a.mp4", pictures(2))
    with pytest.raises(
        DataError, match=r"frames of 96 x 64 pixels are more than max_pixels=6143: .*raise max_pixels"
    ):
        count_frames(file, max_pixels=6143)
    assert count_frames(file, max_pixels=6144) == 2


def test_without_av_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_video(tmp_path / "a.mp4", pictures(2))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"a.mp4: a video needs .*pip install 'boxseg\[av\]'"):
        count_frames(file)


def test_what_is_taken_for_a_video() -> None:
    assert is_video(Path("clip.MP4"))
    assert not is_video(Path("mp4"))
    assert not is_video(Path("photo.gif"))
