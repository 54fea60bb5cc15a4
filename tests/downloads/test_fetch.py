"""Downloads over connections and from servers that misbehave."""

from __future__ import annotations

import errno
import hashlib
import io
import shutil
import sys
import threading
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from boxseg.downloads.fetch import READ_SIZE, fetch
from boxseg.errors import DownloadError
from faulty_server import FaultyServer

CONTENT = np.random.default_rng(0).bytes(3 * READ_SIZE + 12345)
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
CUT = READ_SIZE + 77


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "a.tar"


def left(path: Path) -> set[str]:
    return {file.name for file in path.parent.iterdir()}


def test_a_file_is_fetched_whole_and_nothing_else_is_left(server: FaultyServer, path: Path) -> None:
    server.files["a.tar"] = CONTENT
    fetch(server.url("a.tar?x=1"), path, size=len(CONTENT), checksum=MD5)
    assert path.read_bytes() == CONTENT
    assert left(path) == {"a.tar"}
    assert server.seen == [(None, None)]


@pytest.mark.parametrize(
    ("etag", "date", "condition"),
    [
        ('"one"', "Mon, 01 Jan 2024 00:00:00 GMT", '"one"'),
        ('W/"one"', "Mon, 01 Jan 2024 00:00:00 GMT", "Mon, 01 Jan 2024 00:00:00 GMT"),
        (None, None, None),
    ],
)
def test_a_cut_connection_is_gone_on_with(server: FaultyServer, path: Path, etag, date, condition) -> None:
    server.files["a.tar"] = CONTENT
    server.etag, server.date = etag, date
    server.cuts = [CUT, 100]
    fetch(server.url("a.tar"), path, checksum=MD5, wait=0)
    assert path.read_bytes() == CONTENT
    asked = [(None, None), (f"bytes={CUT}-", condition), (f"bytes={CUT + 100}-", condition)]
    assert server.seen == asked
    assert left(path) == {"a.tar"}


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(server: FaultyServer, path: Path) -> None:
    server.files["a.tar"] = CONTENT
    server.cuts = [CUT, 0, 0]
    with pytest.raises(DownloadError, match=r"no data in 2 attempts .* 1 MB kept"):
        fetch(server.url("a.tar"), path, wait=0, retries=1)
    assert left(path) == {"a.tar.part", "a.tar.part.version"}
    assert path.with_name("a.tar.part").read_bytes() == CONTENT[:CUT]
    server.seen.clear()
    fetch(server.url("a.tar"), path, checksum=MD5)
    assert path.read_bytes() == CONTENT
    assert server.seen == [(f"bytes={CUT}-", '"one"')]


@pytest.mark.skipif(sys.platform == "win32", reason="no locks of folders")
def test_of_several_that_want_one_file_one_fetches_it(server: FaultyServer, path: Path) -> None:
    server.files["a.tar"] = CONTENT
    server.cuts = [CUT]  # the others come in the middle
    ready = threading.Barrier(4)

    def want(_: int) -> None:
        ready.wait(timeout=60)
        fetch(server.url("a.tar"), path, checksum=MD5, wait=0)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(want, range(4)))
    assert path.read_bytes() == CONTENT
    assert [asked for asked, _ in server.seen] == [None, f"bytes={CUT}-"]
    assert left(path) == {"a.tar"}


def test_attempts_are_counted_anew_when_anything_came(server: FaultyServer, path: Path) -> None:
    server.files["a.tar"] = CONTENT
    server.cuts = [1000] * 10
    fetch(server.url("a.tar"), path, checksum=MD5, wait=0, retries=1)
    assert len(server.seen) == 11


def test_pauses_double(server: FaultyServer, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("boxseg.downloads.fetch.time.sleep", pauses.append)
    server.statuses = [503] * 9
    with pytest.raises(DownloadError, match=r"9 attempts .*Service Unavailable"):
        fetch(server.url("a.tar"), path, retries=8, wait=1)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_server_without_ranges_sends_all_again(server: FaultyServer, path: Path) -> None:
    server.files["a.tar"] = CONTENT
    server.ranges = False
    server.cuts = [CUT]
    fetch(server.url("a.tar"), path, checksum=MD5, wait=0)
    assert path.read_bytes() == CONTENT
    assert [asked for asked, _ in server.seen] == [None, f"bytes={CUT}-"]


def test_a_server_that_sends_another_range_is_not_believed(server: FaultyServer, path: Path) -> None:
    server.files["a.tar"] = CONTENT
    server.shift, server.cuts = 5, [CUT]
    fetch(server.url("a.tar"), path, wait=0)
    assert path.read_bytes() == CONTENT


def test_halves_of_two_versions_are_not_put_together(server: FaultyServer, path: Path) -> None:
    server.files["a.tar"] = CONTENT
    server.cuts = [CUT, 0]
    with pytest.raises(DownloadError):
        fetch(server.url("a.tar"), path, wait=0, retries=0)
    server.files["a.tar"], server.etag = CONTENT[::-1], '"two"'
    fetch(server.url("a.tar"), path)
    assert path.read_bytes() == CONTENT[::-1]


def test_without_names_of_versions_the_checksum_tells(server: FaultyServer, path: Path) -> None:
    path.parent.mkdir()
    path.with_name("a.tar.part").write_bytes(b"x" * CUT)
    server.files["a.tar"], server.etag = CONTENT, None
    fetch(server.url("a.tar"), path, checksum=MD5)
    assert path.read_bytes() == CONTENT
    assert [asked for asked, _ in server.seen] == [f"bytes={CUT}-", None]


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_a_part_that_is_whole_is_only_checked(server: FaultyServer, path: Path, size: int | None) -> None:
    path.parent.mkdir()
    path.with_name("a.tar.part").write_bytes(CONTENT)
    server.files["a.tar"] = CONTENT
    fetch(server.url("a.tar"), path, checksum=MD5, size=size)
    assert path.read_bytes() == CONTENT
    assert len(server.seen) == (1 if size is None else 0)


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_a_part_that_is_too_long_is_dropped(server: FaultyServer, path: Path, size: int | None) -> None:
    path.parent.mkdir()
    path.with_name("a.tar.part").write_bytes(CONTENT + b"x")
    server.files["a.tar"] = CONTENT
    fetch(server.url("a.tar"), path, size=size, wait=0)
    assert path.read_bytes() == CONTENT


def test_a_server_that_does_not_state_the_length(server: FaultyServer, path: Path) -> None:
    server.files["a.tar"], server.chunked, server.cuts = CONTENT, True, [CUT]
    fetch(server.url("a.tar"), path, size=len(CONTENT), checksum=MD5, wait=0)
    assert path.read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(server: FaultyServer, path: Path) -> None:
    server.files["a.tar"] = CONTENT[::-1]
    with pytest.raises(DownloadError, match=r"a\.tar: md5 \w{32}, expected \w{32}: damaged in transfer"):
        fetch(server.url("a.tar"), path, size=len(CONTENT), checksum=MD5)
    assert left(path) == set()
    assert len(server.seen) == 1


def test_a_wrong_length_is_noticed_before_anything_comes(server: FaultyServer, path: Path) -> None:
    server.files["a.tar"] = CONTENT
    with pytest.raises(DownloadError, match="has 3158073 bytes, expected 5: a different file"):
        fetch(server.url("a.tar"), path, size=5)
    assert left(path) == set()
    server.chunked = True
    with pytest.raises(DownloadError, match="3158073 bytes, expected 5"):
        fetch(server.url("a.tar"), path, size=5)
    assert left(path) == set()


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (403, 1), (410, 1), (500, 3), (429, 3)])
def test_answers_that_are_final_and_those_that_pass(
    server: FaultyServer, path: Path, status: int, tries: int
) -> None:
    server.statuses = [status] * 3
    with pytest.raises(
        DownloadError, match=f"answered {status} .*moved, try b" if tries == 1 else "in 3 attempts"
    ):
        fetch(server.url("a.tar"), path, moved="try b", wait=0, retries=2)
    assert len(server.seen) == tries
    assert left(path) == set()


def test_nobody_there(path: Path) -> None:
    with pytest.raises(DownloadError, match=r"no data in 2 attempts .*refused"):
        fetch("http://127.0.0.1:9/a.tar", path, wait=0, retries=1)


class FullDisk(io.FileIO):
    """A file on a disk with room for so many bytes."""

    room = CUT

    def write(self, block) -> int:
        left = max(0, self.room - self.tell())
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(memoryview(block)[:left])


def test_a_full_disk_keeps_what_has_come(
    server: FaultyServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["a.tar"] = CONTENT
    usual = Path.open

    def limited(self: Path, mode: str = "r", *rest, **options):
        return FullDisk(self, mode) if self.suffix == ".part" and mode in "ab wb" else usual(self, mode)

    monkeypatch.setattr(Path, "open", limited)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(2_500_000))
    with pytest.raises(DownloadError, match=r"no space left \(2 MB free\); make room .* continues"):
        fetch(server.url("a.tar"), path, wait=0)
    assert path.with_name("a.tar.part").stat().st_size == CUT
    monkeypatch.undo()
    fetch(server.url("a.tar"), path, checksum=MD5)
    assert server.seen[-1][0] == f"bytes={CUT}-"


def test_ctrl_c_leaves_a_part_that_is_gone_on_with(
    server: FaultyServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["a.tar"] = CONTENT

    def interrupt(_, done: int, note: str = "") -> None:
        if done:
            raise KeyboardInterrupt

    monkeypatch.setattr("boxseg.progress.Progress.update", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch(server.url("a.tar"), path)
    monkeypatch.undo()
    assert path.with_name("a.tar.part").read_bytes() == CONTENT[:READ_SIZE]
    fetch(server.url("a.tar"), path, checksum=MD5)
    assert path.read_bytes() == CONTENT
    assert server.seen[-1][0] == f"bytes={READ_SIZE}-"
