"""Thirty commands killed at random moments lose nothing; `kill_commands.py` can do hundreds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from boxseg.atomic import atomic_path
from boxseg.jobs import DemoJob
from boxseg.stages import demo
from written_verbs import differences, leftovers

HARNESS = Path(__file__).with_name("kill_commands.py")


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_thirty_kills_lose_nothing() -> None:
    done = subprocess.run(
        [sys.executable, str(HARNESS), "--kills", "30", "--quick"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    total = [int(word) for word in done.stdout.splitlines()[-1].split("|")[2:-1]]
    rounds, kill, term, interrupt, elsewhere, slow, lost = total
    assert kill + term + interrupt == 30
    assert lost == 0
    assert min(rounds, kill, term, interrupt, elsewhere, slow) > 0


def test_losses_are_noticed(tmp_path: Path) -> None:
    """What the harness looks for."""
    expected = {"a.png": b"1", "b.png": b"2", "c.png": b"3"}
    found = {"a.png": b"1", "b.png": b"", "d.png": b"4"}
    assert differences(expected, found) == ["b.png differs", "c.png is missing", "d.png is too much"]
    assert differences(expected, expected) == []
    with atomic_path(tmp_path / "new.json") as temporary:
        temporary.write_text("half")
        (tmp_path / ".in-use").write_text("")
        (tmp_path / "mine.txt").write_text("")
        assert sorted(leftovers(tmp_path)) == sorted([str(temporary), f"{tmp_path}/.in-use"])


def test_a_demo_that_was_killed_between_its_splits_paints_the_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "run_all", lambda job: job)
    demo.run(DemoJob(out=tmp_path, count=4))
    listed = tmp_path / "data-4" / "ImageSets" / "Segmentation" / "val.txt"
    expected = listed.read_bytes()
    listed.unlink()
    demo.run(DemoJob(out=tmp_path, count=4))
    assert listed.read_bytes() == expected
