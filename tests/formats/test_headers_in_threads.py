"""Headers of photos are read in threads where the disk keeps one waiting, with the same result."""

from __future__ import annotations

import importlib
import threading
import time
from pathlib import Path

import pytest

from boxseg import formats
from boxseg.config import Data
from boxseg.data.toy import write_toy
from boxseg.formats.images import Header, read_header

assemble = importlib.import_module("boxseg.formats.assemble")


@pytest.mark.parametrize("wait", [0.0, 0.02])
def test_photos_of_a_slow_disk_are_read_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait: float
) -> None:
    write_toy(tmp_path, train=12, val=0, size=48)
    (tmp_path / "JPEGImages/train_0007.jpg").write_bytes(b"rubbish")
    expected = formats.load(Data(root=tmp_path))
    threads: set[int] = set()

    def slow(path: Path) -> Header:
        time.sleep(wait)
        threads.add(threading.get_ident())
        return read_header(path)

    monkeypatch.setattr(assemble, "read_header", slow)
    monkeypatch.setattr(assemble, "BATCH", 3)
    found = formats.load(Data(root=tmp_path))
    # Other work on the cores looks like a disk that waits: without a wait nothing is claimed.
    assert not wait or len(threads) > 2  # one of them is this
    assert [sample.id for sample in found.samples] == [sample.id for sample in expected.samples]
    assert len(found) == 11
    assert found.problems == expected.problems
