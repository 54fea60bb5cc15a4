"""What the writers of all formats share."""

from __future__ import annotations

import shutil
from pathlib import Path

from boxseg.dataset import Sample
from boxseg.errors import DataError
from boxseg.formats.atomic import atomic_path


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def place_photo(sample: Sample, folder: Path, suffixes: tuple[str, ...]) -> Path:
    """Copy the photo of a sample to `folder`/ID, unless it is there already; returns the path.

    Raises:
        DataError: The format does not allow photos of this suffix.
    """
    if sample.image.suffix.lower() not in suffixes:
        raise DataError(f"{sample.image}: expected a photo of suffix {', '.join(suffixes)} in this format")
    path = folder / f"{sample.id}{sample.image.suffix}"
    if not path.is_file() or not path.samefile(sample.image):
        with atomic_path(path) as temporary:
            shutil.copyfile(sample.image, temporary)
    return path


def number(value: float) -> str:
    """The shortest decimal that reads back as the same float; whole numbers without a point."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))
