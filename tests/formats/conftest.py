from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

MakePhoto = Callable[..., Path]


@pytest.fixture
def make_photo(tmp_path: Path) -> MakePhoto:
    """Writes a small photo below tmp_path and returns its path."""

    def make(name: str, width: int = 40, height: int = 30, turn: int | None = None) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        if turn is not None:
            exif[0x0112] = turn
        Image.new("RGB", (width, height), (90, 120, 150)).save(path, exif=exif)
        return path

    return make
