"""Which annotation file holds a split, in formats that keep the annotations of many photos in one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from boxseg.config import Data
from boxseg.errors import DataError, did_you_mean

_HEAD_BYTES = 1 << 16


def head(path: Path) -> bytes:
    """The beginning of a file, to tell formats apart by; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError:
        return b""


def split_files(root: Path, suffix: str, accepts: Callable[[Path], bool]) -> list[Path]:
    """Files that hold annotations of a format, by their beginning, in the folder and in those below it."""
    return [path for pattern in ("*", "*/*") for path in sorted(root.glob(pattern + suffix)) if accepts(path)]


def annotations_option(data: Data) -> Path | None:
    """The file that `data.annotations` names, where it is set.

    Raises:
        DataError: There is none.
    """
    if data.annotations is None:
        return None
    path = data.root / data.annotations
    if not path.is_file():
        raise DataError(f"{path}: no such annotation file (data.annotations, relative to data.root)")
    return path


def find_split_file(data: Data, suffix: str, accepts: Callable[[Path], bool], kind: str) -> Path:
    """The annotation file of a split: SPLIT.xml, annotations/SPLIT.xml, SPLIT/anything.xml, or the only one.

    The only file, where it names no split, is that of `train`: taking it for another split would score a
    network on its own training photos.

    Args:
        data: What was asked for.
        suffix: Ending of the format's files.
        accepts: Whether a file is of the format.
        kind: What the format is called.

    Raises:
        DataError: There is none, or no telling which.
    """
    if (path := annotations_option(data)) is not None:
        return path
    found = split_files(data.root, suffix, accepts)
    named = [path for path in found if path.stem == data.split]
    named = named or [path for path in found if path.parent.name == data.split]
    if len(named) == 1:
        return named[0]
    if not named and len(found) == 1 and data.split == "train":
        return found[0]
    names = [str(path.relative_to(data.root)) for path in found]
    raise DataError(
        f"{data.root} has {'several files' if named else 'no file'} of split {data.split!r} ({kind})"
        f"{did_you_mean(data.split, [path.stem for path in found])} (there are: {', '.join(names) or 'none'}): "
        f"name it {data.split}{suffix}, or name the file by data.annotations"
    )
