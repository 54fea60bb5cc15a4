"""Frames of videos, decoded one after the other by PyAV; only one is held at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxseg.config.data import MOST_PIXELS
from boxseg.documents import require_regular
from boxseg.errors import DataError, is_damage, one_line
from boxseg.extras import import_extra
from boxseg.remote.hooks import is_remote

# What is taken for a video, if it is given by its name or by a pattern.
SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv", ".3gp", ".mts", ".m2ts"),
    *(".ogv", ".flv"),
)
# Formats whose files hold their frames. Playlists name other files and addresses, which are not opened.
_FORMATS = "mov,mp4,matroska,webm,avi,mpeg,mpegvideo,mpegts,asf,ogg,flv"
_CLOSED = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
# A video that ends earlier than its header states, by more seconds and a larger share of them, was cut off.
_SHORT_SECONDS, _SHORT = 1.0, 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One frame of a video.

    Attributes:
        number: Its place in the video, from 0.
        seconds: When it is shown, from the start of the video.
        image: (H, W, 3) uint8 RGB, upright.
    """

    number: int
    seconds: float
    image: NDArray[np.uint8]

    @property
    def name(self) -> str:
        """Number and time, for the names of files: `000120_00h00m04s800`."""
        seconds, thousandths = divmod(round(self.seconds * 1000), 1000)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{self.number:06d}_{hours:02d}h{minutes:02d}m{seconds:02d}s{thousandths:03d}"


def is_video(path: Path) -> bool:
    """Whether a file is taken for a video, by its name."""
    return path.suffix.lower() in SUFFIXES


def count_frames(path: Path, every: int = 1, max_pixels: int = MOST_PIXELS) -> int | None:
    """How many frames `read_frames` will give, by what the header states; None if it does not.

    Raises:
        DataError: The file is missing, is no video, or its frames have more than `max_pixels`.
        MissingExtraError: PyAV is not installed.
    """
    with _opened(path) as container:
        stream = _stream(container, path, max_pixels)
        stated = stream.frames or round(_length(container, stream) * float(stream.average_rate or 0))
    return ceil(stated / every) if stated else None


def read_frames(path: Path, every: int = 1, max_pixels: int = MOST_PIXELS) -> Iterator[Frame]:
    """Every k-th frame of a video, from the first on, as they are shown.

    Raises:
        DataError: As for `count_frames`; or the video is damaged, which ends the frames, or has none.
        MissingExtraError: PyAV is not installed.
    """
    seen, shown, end = 0, 0.0, 0.0
    with _opened(path) as container:
        stream = _stream(container, path, max_pixels)
        stream.thread_type = "AUTO"
        length, rate = _length(container, stream), float(stream.average_rate or 0) or 1.0
        start = float(stream.start_time * stream.time_base) if stream.start_time else 0.0
        try:
            for frame in container.decode(stream):
                before, shown = shown, max(0.0, seen / rate if frame.time is None else frame.time - start)
                end = shown + max(1 / rate, shown - before)  # it is shown until the next one would come
                if seen % every == 0:
                    yield Frame(number=seen, seconds=shown, image=_upright(frame))
                seen += 1
        except Exception as error:
            if not is_damage(error):
                raise
            raise DataError(f"{path}: damaged after {seen} of its frames ({_reason(error)})") from error
    if not seen:
        raise DataError(f"{path}: a video without a frame")
    if end < length - max(_SHORT_SECONDS, _SHORT * length):
        raise DataError(f"{path}: ends after {end:.1f} of the {length:.1f} seconds that its header states")


def _opened(path: Path) -> Any:
    library = import_extra("av", extra="av", purpose=f"{path}: a video")
    try:
        require_regular(path)
        source = path.open("rb") if is_remote(path) else str(path.absolute())
        return library.open(source, metadata_errors="replace", options=_CLOSED)
    except Exception as error:
        if not is_damage(error):
            raise
        raise DataError(f"{path}: not a video that can be read ({_reason(error)})") from error


def _stream(container: Any, path: Path, max_pixels: int) -> Any:
    stream = next(iter(container.streams.video), None)
    if stream is None:
        raise DataError(
            f"{path}: no video in it, only {', '.join(s.type for s in container.streams) or 'nothing'}"
        )
    width, height = stream.width or 0, stream.height or 0
    if width * height > max_pixels:
        raise DataError(
            f"{path}: frames of {width} x {height} pixels are more than max_pixels={max_pixels}: if that is "
            "right, raise max_pixels"
        )
    return stream


def _length(container: Any, stream: Any) -> float:
    """Seconds that a video takes, by its header; 0 if it does not say."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return float(container.duration or 0) / 1e6


def _upright(frame: Any) -> NDArray[np.uint8]:
    """Pixels of a frame, turned as players turn it: cameras and phones state how they were held."""
    pixels = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))


def _reason(error: Exception) -> str:
    return one_line(getattr(error, "strerror", None) or error, 200)
