"""The annotation file of a split, for formats with one file for many photos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from boxseg.config import Data
from boxseg.errors import DataError, did_you_mean
from boxseg.formats.files import is_file, listed
from boxseg.remote.hooks import ahead, readable


def head(path: Path) -> bytes:
    """The beginning of a file, to recognise its format; empty if it cannot be read."""
    if not is_file(path):  # a pipe would wait
        return b""
    try:
        with readable(path, whole=False) as source:
            if not isinstance(source, (str, Path)):
                return source.read(1 << 16)
            with Path(source).open("rb") as file:
                return file.read(1 << 16)
    except OSError:
        return b""


def split_files(root: Path, suffix: str, accepts: Callable[[Path], bool]) -> list[Path]:
    """Files that begin like a format's annotations, in the folder and in those directly below it."""
    paths = [path for pattern in ("*", "*/*") for path in sorted(listed(root, pattern + suffix))]
    return [path for path in ahead(paths, lambda path: [path], small=True) if accepts(path)]


def annotations_option(data: Data) -> Path | None:
    """The file that `data.annotations` names, if it is set."""
    path = None if data.annotations is None else data.root / data.annotations
    if path is not None and not path.is_file():
        raise DataError(f"{path}: no such annotation file (data.annotations, relative to data.root)")
    return path


def images_option(data: Data) -> Path | None:
    """The folder that `data.images` names, if it is set."""
    path = None if data.images is None else data.root / data.images
    if path is not None and not path.is_dir():
        raise DataError(f"{path}: no such image folder (data.images, relative to data.root)")
    return path


def find_split_file(data: Data, suffix: str, accepts: Callable[[Path], bool], kind: str) -> Path:
    """The annotation file of a split: SPLIT.xml, annotations/SPLIT.xml, SPLIT/anything.xml, or the only one.

    If the only file names no split, it is `train`: taking it for another split would score a network on its own
    training photos. `suffix` and `accepts` recognise the format's files; `kind` is its name in errors.
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
