"""Photos given as files, folders and patterns, and samples without boxes made from them."""

from __future__ import annotations

from glob import has_magic
from itertools import takewhile
from pathlib import Path

import numpy as np

from boxseg.config.data import MOST_PIXELS
from boxseg.dataset import Sample
from boxseg.errors import DataError
from boxseg.formats.files import listed
from boxseg.formats.images import SUFFIXES, image_size
from boxseg.remote.address import as_path
from boxseg.remote.hooks import is_remote


def find_photos(given: list[str]) -> list[Path]:
    """The photos among files, folders (searched to any depth) and patterns, in order.

    Patterns are as in shells: `*`, `?`, `[ab]`, and `**` for folders of any depth; they may name folders.

    Raises:
        DataError: Something given does not exist, or contains no photo.
    """
    files: list[Path] = []
    for path in (path for text in given for path in _expand(text)):
        if path.is_dir():
            found = sorted(file for file in listed(path, "**/*") if file.suffix.lower() in SUFFIXES)
            if not found:
                raise DataError(f"images={path}: no photo in this folder ({', '.join(SUFFIXES)})")
            files += found
        elif path.is_file():
            files.append(path)
        else:
            raise DataError(f"images={path}: no such file or folder")
    return files


def _expand(text: str) -> list[Path]:
    """The paths that a pattern matches; other text, and the exact name of a file, stands for itself."""
    path = as_path(text).expanduser()
    if path.exists() or not has_magic(text):
        return [path]
    if is_remote(path):
        plain = list(takewhile(lambda part: not has_magic(part), path.parts))
        top = type(path)(*plain)
        found = sorted(top.glob("/".join(path.parts[len(plain) :])))
        if not found:
            raise DataError(f"images={text}: no object or folder has such a name")
        return found
    found = sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor))))
    if not found:
        raise DataError(f"images={text}: no file or folder has such a name")
    return found


def names_of(files: list[Path]) -> dict[str, Path]:
    """A name for the results of each photo: its own, with its folder or suffix if two are the same."""
    names: dict[str, Path] = {}
    for file in dict.fromkeys(files):
        for name in (file.stem, f"{file.parent.name}_{file.stem}", f"{file.stem}_{file.suffix[1:]}"):
            if name not in names:
                names[name] = file
                break
        else:
            number = next(n for n in range(2, len(files) + 2) if f"{file.stem}_{n}" not in names)
            names[f"{file.stem}_{number}"] = file
    return names


def photo_sample(name: str, photo: Path, max_pixels: int = MOST_PIXELS) -> Sample:
    """A sample with this ID for a photo without boxes; DataError if it cannot be read, or has more pixels."""
    return unboxed_sample(name, photo, image_size(photo, max_pixels))


def unboxed_sample(name: str, photo: Path, size: tuple[int, int]) -> Sample:
    """A sample without boxes, of this width and height."""
    width, height = size
    return Sample(
        id=name,
        image=photo,
        width=width,
        height=height,
        boxes=np.zeros((0, 4)),
        labels=np.zeros(0, dtype=np.int64),
        difficult=np.zeros(0, dtype=np.bool_),
    )
