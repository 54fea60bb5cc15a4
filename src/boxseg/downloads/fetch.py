"""Large files over HTTP: interrupted downloads are continued, and files appear only when whole and checked.

Until then the file is NAME.part. Beside it, NAME.part.version holds what the server calls this version of the
file (its ETag or date), so that parts of two versions are never joined.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import logging
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

from boxseg import __version__
from boxseg.atomic import write_text
from boxseg.errors import ArchiveError, DownloadError
from boxseg.progress import Progress
from boxseg.wording import counted

log = logging.getLogger("boxseg")

READ_SIZE = 1 << 20
MEGABYTE = 1_000_000
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # a later attempt may succeed
_LONGEST_WAIT = 60.0  # seconds


def fetch(
    url: str,
    path: Path,
    *,
    size: int | None = None,
    checksum: str | None = None,
    moved: str = "",
    retries: int = 5,
    wait: float = 1.0,
    timeout: float = 30.0,
) -> None:
    """Download a file, unless it is there; an earlier, interrupted download of it is continued.

    Args:
        url: Address.
        path: File to write; missing folders are made.
        size: Its length, bytes, if known.
        checksum: `md5:HEX`, `sha256:HEX` …, if known; the first digits are enough.
        moved: What the user can do if the server has no such file.
        retries: Attempts in a row that may bring no data.
        wait: Seconds before the second attempt; each further one waits twice as long.
        timeout: Seconds without data after which a connection counts as broken.

    Raises:
        DownloadError: The server has no such file, has a different one, or cannot be reached; or the disk is
            full. What has arrived is kept, unless it is wrong.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    receive = _Receiver(url, part, size, timeout, moved)
    with _alone(path.parent):
        if path.is_file():  # another process has fetched it meanwhile
            return
        for last in (False, True):
            went_on = _length(part) > 0
            _persist(receive, retries, wait)
            try:
                check(part, size=size, checksum=checksum, called=url)
                break
            except ArchiveError:
                _drop(part)
                if last or not (went_on or receive.joined):
                    raise
                log.info(f"{path.name}: its parts do not fit together; starting again from the beginning")
        part.replace(path)
        _version_of(part).unlink(missing_ok=True)


def part_of(path: Path) -> Path:
    """The name of a file while it is being downloaded."""
    return path.with_name(f"{path.name}.part")


def check(path: Path, *, size: int | None, checksum: str | None, called: str) -> None:
    """Raise an ArchiveError if a file does not have its published length and checksum, if there are any."""
    length = _length(path)
    if size is not None and length != size:
        raise ArchiveError(f"{called}: {length} bytes, expected {size}: cut short, or a different file")
    if checksum is None:
        return
    algorithm, _, expected = checksum.partition(":")
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with Progress("check, MB", length // MEGABYTE) as bar, path.open("rb") as file:
        while block := file.read(READ_SIZE):
            digest.update(block)
            bar.update(file.tell() // MEGABYTE)
    if not digest.hexdigest().startswith(expected):
        found = digest.hexdigest()
        raise ArchiveError(
            f"{called}: {algorithm} {found}, expected {expected}: damaged in transfer, or a different file"
        )


def full_disk(error: OSError, folder: Path) -> DownloadError:
    """The error for a file that could not be written."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return DownloadError(f"{folder}: cannot write there ({error.strerror or error})")
    free = free_space(folder) // MEGABYTE
    return DownloadError(
        f"{folder}: no space left ({free} MB free); make room and give the same command again: "
        "it continues where it stopped"
    )


def free_space(folder: Path) -> int:
    """Free bytes on the disk of a folder, which need not exist yet."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from downloading into this folder, if the system has locks.

    Many jobs of a cluster may want the same file at once; two would write into one part.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # on file systems without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _persist(receive: _Receiver, retries: int, wait: float) -> None:
    """Call `receive` until the file is whole, or too many attempts in a row brought no data."""
    failures = 0
    while True:
        before = _length(receive.part)
        try:
            if receive():
                return
            reason = "connection cut"
        except (OSError, http.client.HTTPException) as error:
            cause = getattr(error, "reason", None) or error
            reason = f"{cause}" or type(cause).__name__
        after = _length(receive.part)
        failures = 0 if after > before else failures + 1
        kept = f"{after // MEGABYTE} MB kept"
        if failures > retries:
            raise DownloadError(
                f"{receive.url}: no data in {counted(failures, 'attempt')} ({reason}); {kept}, "
                "the same command continues from there"
            )
        pause = min(wait * 2 ** max(failures - 1, 0), _LONGEST_WAIT)
        log.info(f"{receive.part.stem}: {reason}, {kept}; next attempt in {pause:g} s")
        time.sleep(pause)


@dataclass
class _Receiver:
    """Receives the rest of a part file, one attempt per call."""

    url: str
    part: Path
    size: int | None
    timeout: float
    moved: str
    joined: bool = False  # whether the part comes from several responses

    def __call__(self) -> bool:
        """Receive what is missing, and return whether the file is whole now.

        After an OSError or HTTPException another attempt may help, after a DownloadError not.
        """
        start = _length(self.part)
        if self.size is not None and start >= self.size:
            if start == self.size:
                return True
            _drop(self.part)
            start = 0
        try:
            with urllib.request.urlopen(self._request(start), timeout=self.timeout) as response:
                return self._store(response, start)
        except urllib.error.HTTPError as error:
            return self._refused(error, start)

    def _request(self, start: int) -> urllib.request.Request:
        headers = {"User-Agent": f"boxseg/{__version__}", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            version = _version_of(self.part)
            if version.is_file():
                headers["If-Range"] = version.read_text(encoding="utf-8", errors="replace")
        return urllib.request.Request(self.url, headers=headers)

    def _store(self, response: http.client.HTTPResponse, start: int) -> bool:
        total = self._total(response, start)
        if response.status != 206:  # the whole file: no ranges, or another version than ours
            start = 0
        if self.size is not None and total is not None and total != self.size:
            raise DownloadError(
                f"{self.url}: the server's file has {total} bytes, expected {self.size}: a different file"
            )
        total = self.size if total is None else total
        self.joined = start > 0
        if not start:
            _drop(self.part)
            _remember(self.part, response)
        whole = None if total is None else total // MEGABYTE
        with (
            Progress(f"{self.part.stem}, MB", whole) as bar,
            self.part.open("ab" if start else "wb", buffering=0) as file,
        ):
            bar.update(start // MEGABYTE)
            while block := response.read(READ_SIZE):
                _write(file, block, self.part.parent)
                start += len(block)
                bar.update(start // MEGABYTE)
        return total is None or start >= total

    def _total(self, response: http.client.HTTPResponse, start: int) -> int | None:
        if response.status != 206:
            length = response.headers.get("Content-Length")
            return int(length) if length and length.isdigit() else None
        stated = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range") or "")
        if stated is None or int(stated[1]) != start:
            _drop(self.part)
            raise http.client.HTTPException("the server sent another range than asked for")
        return None if stated[2] == "*" else int(stated[2])

    def _refused(self, error: urllib.error.HTTPError, start: int) -> bool:
        if error.code == 416 and start:
            # Nothing to send from `start` on: we have the whole file, or a wrong one.
            if (error.headers.get("Content-Range") or "").endswith(f"/{start}"):
                return True
            _drop(self.part)
            return False
        if error.code in _PASSING:
            raise error
        instead = f"; if the file has moved, {self.moved}" if self.moved else ""
        raise DownloadError(f"{self.url}: the server answered {error.code} {error.reason}{instead}") from error


def _write(file: IO[bytes], block: bytes, folder: Path) -> None:
    # Unbuffered: whenever the program ends, all data that has arrived is on disk.
    rest = memoryview(block)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise full_disk(error, folder) from error


def _remember(part: Path, response: http.client.HTTPResponse) -> None:
    tag, date = response.headers.get("ETag"), response.headers.get("Last-Modified")
    # A weak ETag does not promise the same bytes, so a range cannot depend on it (RFC 9110, 13.1.5).
    version = tag if tag and not tag.startswith("W/") else date
    if version:
        write_text(_version_of(part), version)


def _version_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _length(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _drop(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_of(part).unlink(missing_ok=True)
