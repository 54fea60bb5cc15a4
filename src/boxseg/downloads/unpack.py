"""Unpack archives safely: only regular files are written, and none outside the folder.

All members are checked before the first file is written. Links, devices, owners and permissions never reach the
disk: this is stricter than tarfile's `filter="data"`, which Python 3.10 may lack.
"""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, cast

from boxseg.downloads.fetch import MEGABYTE, READ_SIZE, free_space, full_disk
from boxseg.errors import ArchiveError, DownloadError
from boxseg.formats.files import leads_out
from boxseg.progress import Progress


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, folder: Path, *, top: str = "", members: str = "*") -> int:
    """Write files of a tar or zip archive, compressed or not, below a folder; return how many.

    Only files below the archive's folder `top` whose names there match `members` (`*` matches `/`, too) are
    written, by those names.

    Raises:
        ArchiveError: It is not an archive, is damaged, or contains none of the files wanted, a link, or a file
            outside the folder.
        DownloadError: The disk is full, or cannot be written to.
    """
    with _damage(archive, folder), _members(archive) as found:
        wanted = {name: member for member in found if (name := _below(member.name, top, members))}
        if not wanted:
            sought = str(PurePosixPath(top) / members)
            raise ArchiveError(f"{archive} contains no file {sought}: it is not the archive expected")
        needed, free = sum(member.size for member in wanted.values()), free_space(folder)
        if needed > free:
            raise DownloadError(
                f"{folder}: {archive.name} unpacks to {needed // MEGABYTE} MB, {free // MEGABYTE} MB are free"
            )
        with Progress("unpack, files", len(wanted)) as bar:
            for done, (name, member) in enumerate(wanted.items(), start=1):
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with member.open() as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file, READ_SIZE)
                bar.update(done)
    return len(wanted)


def merge(source: Path, target: Path, *, last: Collection[str] = ()) -> None:
    """Move a folder's content into another, replacing files of the same name.

    A folder that the target lacks is moved in one piece; the files and folders in `last` are moved last.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if not (source.is_dir() and target.is_dir()):
        source.replace(target)
        return
    for path in sorted(source.iterdir(), key=lambda path: (path.name in last, path.name)):
        merge(path, target / path.name)
    source.rmdir()


def _below(name: str, top: str, members: str) -> str | None:
    """The name of a member relative to `top`, or None if it is not wanted."""
    path = PurePosixPath(name)
    if not path.is_relative_to(top):
        return None
    below = str(path.relative_to(top))
    return below if fnmatchcase(below, members) else None


@contextmanager
def _members(archive: Path) -> Iterator[list[_Member]]:
    # Tar first: it is known by its first bytes, a zip by its last, which may be anything in a tar.
    if tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            yield list(_tar_members(tar, archive))
    elif zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as content:
            yield list(_zip_members(content, archive))
    else:
        with archive.open("rb") as file:
            page = file.read(256).lstrip().startswith(b"<")
        why = "it looks like a web page" if page else "cut short, or a different file"
        raise ArchiveError(f"{archive} is not a tar or zip archive: {why}")


def _zip_members(content: zipfile.ZipFile, archive: Path) -> Iterator[_Member]:
    for info in content.infolist():
        _check_name(info.filename, archive)
        if stat.S_ISLNK(info.external_attr >> 16):
            raise ArchiveError(f"{archive} contains a link, {info.filename}: it was not unpacked")
        if not info.is_dir():
            yield _Member(info.filename, info.file_size, partial(content.open, info))


def _tar_members(content: tarfile.TarFile, archive: Path) -> Iterator[_Member]:
    for info in content.getmembers():
        _check_name(info.name, archive)
        if not (info.isreg() or info.isdir()):
            raise ArchiveError(f"{archive} contains a link or device, {info.name}: it was not unpacked")
        if info.isreg():
            opened = partial(content.extractfile, info)  # None only for other than regular files
            yield _Member(info.name, info.size, cast("Callable[[], IO[bytes]]", opened))


def _check_name(name: str, archive: Path) -> None:
    if leads_out(name):
        raise ArchiveError(f"{archive} contains a file outside the folder, {name!r}: it was not unpacked")


@contextmanager
def _damage(archive: Path, folder: Path) -> Iterator[None]:
    """Turn errors of reading or writing into one that names the archive."""
    # zipfile raises RuntimeError for an encrypted or unknown kind of member.
    damage = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
    try:
        yield
    except (*damage, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # None: gzip's and bzip2's own
            raise full_disk(error, folder) from error
        raise ArchiveError(f"{archive} is damaged or cut short ({error})") from error
