"""Fetch, check and unpack one archive of a data set, and move its content to its place."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from boxseg.downloads.archives import Archive
from boxseg.downloads.fetch import check, fetch
from boxseg.downloads.unpack import merge, unpack
from boxseg.errors import ArchiveError, DownloadError

# Folder of the archives inside the data set's folder.
DOWNLOADS = "downloads"


def install(archive: Archive, root: Path, downloads: Path, *, keep: bool) -> None:
    """Fetch and unpack one archive, whose `url` may be a file, and move its content into the data set `root`.

    The folder `downloads` holds archives, which stay there with `keep`; it is removed when empty.

    Raises:
        DownloadError: It cannot be fetched, or is damaged or another archive.
    """
    unpacked = downloads / "unpacked" / archive.name
    shutil.rmtree(unpacked, ignore_errors=True)  # left by a killed call
    own = Path(archive.url)
    source = own if own.is_file() else downloads / archive.file
    try:
        with _another_copy(source, fetchable=source != own):
            _obtain(archive, source)
            unpack(source, unpacked, top=archive.top, members=archive.members)
            if found := archive.shortfall(unpacked):
                raise ArchiveError(f"{source} contains {found}: it was cut short, or is another archive")
        # Lists last: a list promises its photos. After an interruption, the next call then continues.
        merge(unpacked, root, last={PurePosixPath(name).parts[0] for name in archive.lists})
        if source.parent == downloads and not keep:
            source.unlink()
    finally:
        shutil.rmtree(downloads / "unpacked", ignore_errors=True)
        if downloads.is_dir() and not any(downloads.iterdir()):
            downloads.rmdir()


@contextmanager
def _another_copy(source: Path, *, fetchable: bool) -> Iterator[None]:
    """Remove an unusable archive that was fetched within the block, so that the next call fetches it again.

    An archive that was there before may be the user's: the error says to remove it.
    """
    found = source.is_file()
    try:
        yield
    except ArchiveError as error:
        if not (fetchable and source.is_file()):
            raise
        if found:
            raise ArchiveError(f"{error}; remove it, and the same command fetches it again") from error
        source.unlink()
        raise ArchiveError(f"{error}; it was removed, and the same command fetches it again") from error


def _obtain(archive: Archive, source: Path) -> None:
    if source.is_file():
        check(source, size=archive.size, checksum=archive.checksum, called=str(source))
    elif archive.url.startswith(("http://", "https://")):
        moved = "name a folder or address that has it by mirror="
        fetch(archive.url, source, size=archive.size, checksum=archive.checksum, moved=moved)
    else:
        raise DownloadError(f"{archive.url} is neither a file nor a web address (http:// or https://)")
