"""Copies on this machine: whole or not there, of bounded size, those used longest ago removed first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from boxseg.errors import ConfigError
from boxseg.remote import cache as module
from boxseg.remote.cache import Cache, cache_folder, cache_limit
from boxseg.remote.listing import Entry

KB = 1000


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """Room for ten files of a kilobyte."""
    monkeypatch.setenv("BOXSEG_CACHE_GB", str(10 * KB / 1e9))
    monkeypatch.setattr(module, "_FRESH", -1)  # every use counts, not only the first in a minute
    return Cache(tmp_path)


def put(cache: Cache, name: str, size: int = KB) -> Path:
    file = cache.file(f"s3://b/{name}", Entry(size, 1, ""))
    cache.put(file, lambda temporary: temporary.write_bytes(b"x" * size))
    time.sleep(0.002)  # so that the times of use differ
    return file


def held(cache: Cache) -> int:
    return sum(file.stat().st_size for file in cache.folder.rglob("*") if file.is_file())


def test_it_stays_within_its_size_and_keeps_what_was_used_last(cache: Cache) -> None:
    first = put(cache, "used")
    files = []
    for number in range(40):
        files.append(put(cache, f"{number}"))
        assert cache.has(first), "used after every other"
        time.sleep(0.002)
        assert held(cache) <= 10 * KB
    assert files[-1].is_file()
    assert not files[0].is_file()
    kept = [file.is_file() for file in files]
    assert kept == sorted(kept), "the newest ones"


def test_what_is_larger_than_all_of_it_can_be_read(cache: Cache) -> None:
    file = put(cache, "large", 50 * KB)
    with cache.open(file) as content:  # type: ignore[union-attr]
        put(cache, "next")
        assert not file.is_file()
        assert len(content.read()) == 50 * KB, "an open file is read to its end"


def test_a_name_lasts_as_long_as_its_block(cache: Cache) -> None:
    with cache.kept(put(cache, "a.tif")) as own:
        for number in range(30):
            put(cache, f"{number}")
        assert own.read_bytes() == b"x" * KB
        assert own.suffix == ".tif"
    assert not own.exists()


def test_a_changed_object_is_another_file(cache: Cache) -> None:
    names = {
        cache.file(address, entry)
        for address in ("s3://b/a.jpg", "s3://b/b.jpg")
        for entry in (Entry(1, 1, ""), Entry(2, 1, ""), Entry(1, 2, ""), Entry(1, 1, "t"))
    }
    assert len(names) == 8
    assert {name.suffix for name in names} == {".jpg"}
    # Where the store has a tag, the content is what counts.
    assert cache.file("s3://b/a", Entry(1, 1, "t")) == cache.file("s3://b/a", Entry(1, 9, "t"))


def test_a_failed_fetch_leaves_nothing(cache: Cache) -> None:
    file = cache.file("s3://b/a", Entry(2, 1, ""))

    def fail(temporary: Path) -> None:
        temporary.write_bytes(b"x")
        raise OSError("cut off")

    with pytest.raises(OSError, match="cut off"):
        cache.put(file, fail)
    assert held(cache) == 0
    assert cache.open(file) is None
    assert not cache.has(file)


def test_many_threads_may_use_it(cache: Cache) -> None:
    def work(number: int) -> None:
        file = put(cache, f"{number % 17}", 600)
        found = cache.open(file)
        if found is not None:
            with found:
                assert len(found.read()) == 600

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(200)))
    assert held(cache) <= 11 * KB


def test_it_survives_a_process_that_is_killed(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"""
        from pathlib import Path
        from boxseg.remote.cache import Cache
        from boxseg.remote.listing import Entry
        cache = Cache(Path({str(cache.folder.parent)!r}))
        def hang(temporary):
            temporary.write_bytes(b"half")
            print("written", flush=True)
            input()
        cache.put(cache.file("s3://b/half", Entry(9, 1, "")), hang)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    left = [file for file in cache.folder.rglob(".*") if file.is_file() and file.name != ".lock"]
    assert len(left) == 1
    assert not cache.has(cache.file("s3://b/half", Entry(9, 1, "")))
    put(cache, "other")
    assert left[0].exists(), "it may be of a process that runs"
    os.utime(left[0], (1, 1))
    monkeypatch.setattr(module, "_COUNTED_AFTER", 0)
    put(cache, "another")
    assert not left[0].exists()


@pytest.mark.parametrize("text", ["0", "-1", "nan", "much"])
def test_a_size_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BOXSEG_CACHE_GB", text)
    with pytest.raises(ConfigError, match=rf"BOXSEG_CACHE_GB={text}: expected gigabytes"):
        cache_limit(tmp_path)


def test_its_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BOXSEG_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("BOXSEG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_folder() == tmp_path / "xdg" / "boxseg"
    monkeypatch.delenv("BOXSEG_CACHE_GB", raising=False)
    assert 0 < cache_limit(tmp_path) <= 20e9
