"""Archives unpacked safely: only regular files are written, and none outside the folder.

Names, sizes and kinds of all members are checked before the first file is written. Links, devices, owners and
permissions never reach the disk: this is stricter than tarfile's `filter="data"`, which Python 3.10 may lack.
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
    """A regular file of an archive."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, folder: Path, *, top: str = "", members: str = "*") -> int:
    """Write files of a tar or zip archive below a folder.

    Args:
        archive: The archive, compressed or not.
        folder: Where the files go; made where missing.
        top: Folder in the archive whose content is wanted; the names written are relative to it.
        members: Pattern of the names below `top` that are wanted; `*` matches `/`, too.

    Returns:
        The number of files written.

    Raises:
        ArchiveError: It is no archive, is damaged, holds none of the files wanted, or holds a link or a name
            that leads out of the folder.
        DownloadError: It is too large for the disk, or cannot be written.
    """
    with _damage(archive, folder), _members(archive) as found:
        wanted = {name: member for member in found if (name := _below(member.name, top, members))}
        if not wanted:
            sought = str(PurePosixPath(top) / members)
            raise ArchiveError(f"{archive} holds no file {sought}: not the archive expected")
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
    """Move a folder's content into another, which may have some of it already; files of one name are replaced.

    A folder that the target lacks is moved in one piece.

    Args:
        source: The folder.
        target: Where its content goes.
        last: Files and folders in it that are moved last.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if not (source.is_dir() and target.is_dir()):
        source.replace(target)
        return
    for path in sorted(source.iterdir(), key=lambda path: (path.name in last, path.name)):
        merge(path, target / path.name)
    source.rmdir()


def _below(name: str, top: str, members: str) -> str | None:
    """The name of a wanted member, relative to `top`."""
    path = PurePosixPath(name)
    if top:
        if not path.is_relative_to(top):
            return None
        path = path.relative_to(top)
    return str(path) if fnmatchcase(str(path), members) else None


@contextmanager
def _members(archive: Path) -> Iterator[list[_Member]]:
    # A tar is told by its first bytes, a zip by its last, which may be anything in a tar.
    if tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            yield list(_tar_members(tar, archive))
    elif zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as content:
            yield list(_zip_members(content, archive))
    else:
        with archive.open("rb") as file:
            page = file.read(256).lstrip().startswith(b"<")
        why = "it looks like a web page, not the file behind it" if page else "cut short, or a different file"
        raise ArchiveError(f"{archive} is not a tar or zip archive: {why}")


def _zip_members(content: zipfile.ZipFile, archive: Path) -> Iterator[_Member]:
    for info in content.infolist():
        _check_name(info.filename, archive)
        if stat.S_ISLNK(info.external_attr >> 16):
            raise ArchiveError(f"{archive} holds a link, {info.filename}: not unpacked")
        if not info.is_dir():
            yield _Member(info.filename, info.file_size, partial(content.open, info))


def _tar_members(content: tarfile.TarFile, archive: Path) -> Iterator[_Member]:
    for info in content.getmembers():
        _check_name(info.name, archive)
        if not (info.isreg() or info.isdir()):
            raise ArchiveError(f"{archive} holds a link or device, {info.name}: not unpacked")
        if info.isreg():
            yield _Member(info.name, info.size, partial(_open_tar, content, info))


def _open_tar(content: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    return cast("IO[bytes]", content.extractfile(info))  # None for what is no regular file


def _check_name(name: str, archive: Path) -> None:
    if leads_out(name):
        raise ArchiveError(f"{archive} holds a file that leads out of the folder, {name!r}: not unpacked")


@contextmanager
def _damage(archive: Path, folder: Path) -> Iterator[None]:
    """Turn what goes wrong while reading or writing into an error that names the archive."""
    # RuntimeError is zipfile's word for an encrypted or unknown kind of member.
    damage = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
    try:
        yield
    except damage as error:
        raise ArchiveError(f"{archive} is damaged or cut short ({error})") from error
    except OSError as error:
        if error.errno is None:  # gzip's and bzip2's own
            raise ArchiveError(f"{archive} is damaged or cut short ({error})") from error
        raise full_disk(error, folder) from error
