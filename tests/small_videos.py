"""Small videos, made by PyAV."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")


def pictures(count: int = 24, height: int = 64, width: int = 96) -> list[np.ndarray]:
    """A dark bar moves to the right over light ground; the top is blue. (H, W, 3) uint8."""
    found = []
    for number in range(count):
        picture = np.full((height, width, 3), 180, dtype=np.uint8)
        picture[:8] = 20, 20, 230
        picture[16:48, 2 * number : 2 * number + 24] = 40, 60, 40
        found.append(picture)
    return found


def write_video(path: Path, frames: list[np.ndarray], rate: int | Fraction = 10, codec: str = "mpeg4") -> Path:
    """A video of one stream."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def write_sound(path: Path, *, video: bool = False) -> Path:
    """A file with sound; it may have a video, too, but this has no frame."""
    with av.open(str(path), "w") as container:
        if video:
            silent = container.add_stream("mpeg4", rate=10)
            silent.width, silent.height, silent.pix_fmt = 96, 64, "yuv420p"
        stream = container.add_stream("aac", rate=16000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decoded(path: Path) -> list[np.ndarray]:
    """All frames, as PyAV has them."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
