"""Names, places and photos: helpers that all formats share."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from boxseg.atomic import atomic_path
from boxseg.dataset import Sample
from boxseg.documents import Readable
from boxseg.remote.address import normpath
from boxseg.remote.hooks import is_remote, local_copy

_SEPARATOR = re.compile(r"[/\\]")
_ROOTED = re.compile(r"[/\\]|[A-Za-z]:")  # absolute path, network share or Windows drive


def content_digest(path: Readable) -> str:
    """BLAKE2b of a file's content, 128 bits, hexadecimal."""
    digest = hashlib.blake2b(digest_size=16)
    if not isinstance(path, Path):
        digest.update(path.read_bytes())
        return digest.hexdigest()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def is_file(path: Readable) -> bool:
    """Whether it is a file; False for a name that the file system does not allow."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def listed(folder: Path, pattern: str) -> Iterator[Path]:
    """What a pattern matches below a folder, but for hidden files and folders, such as macOS's `._a.jpg`."""
    above = len(folder.parts)
    return (path for path in folder.glob(pattern) if not any(part[0] == "." for part in path.parts[above:]))


def leads_out(name: str) -> bool:
    """Whether an untrusted name may lead out of its folder, by the rules of every operating system."""
    return _ROOTED.match(name) is not None or ".." in _SEPARATOR.split(name)


def normal(path: Path) -> Path:
    """A path from the top, without `..`; links are not followed."""
    return normpath(path.absolute())


def is_below(path: Path, folder: Path) -> bool:
    """Whether a path is in a folder, by its name."""
    return normal(path).is_relative_to(normal(folder))


def place_photo(sample: Sample, folder: Path, how: Literal["copy", "link", "none"]) -> Path:
    """Put the photo of a sample at `folder`/ID, unless it is there already; return the path.

    Where the system refuses a symbolic link, the photo is copied.
    """
    path = folder / f"{sample.id}{sample.image.suffix}"
    in_place = path.is_file() and path.samefile(sample.image) and not (how == "copy" and path.is_symlink())
    if how == "none" or in_place:
        return path
    with atomic_path(path, sync=False) as temporary:
        if how == "link" and is_remote(sample.image):
            how = "copy"
        if how == "link":
            try:
                temporary.symlink_to(sample.image.resolve())
            except OSError:
                how = "copy"
        if how == "copy":
            with local_copy(sample.image) as photo:
                shutil.copyfile(photo, temporary)
    return path
