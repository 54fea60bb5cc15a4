"""The exit codes that docs/cli.md lists, of real processes."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from boxseg.data.toy import write_toy
from documented import ROOT

BOXSEG = [sys.executable, "-m", "boxseg"]


def status(*words: str, cwd: Path) -> int:
    return subprocess.run([*BOXSEG, *words], cwd=cwd, capture_output=True, check=False).returncode


def test_all_codes_are_listed() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (\d+) \|", page, re.MULTILINE) == ["0", "1", "2", "130", "143"]


def test_0_is_done(tmp_path: Path) -> None:
    write_toy(tmp_path, train=2, val=1, size=64)
    assert status("doctor", ".", cwd=tmp_path) == 0


def test_0_if_the_reader_has_gone(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*BOXSEG, "schema"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_1_is_something_broken(tmp_path: Path) -> None:
    write_toy(tmp_path, train=2, val=1, size=64)
    (tmp_path / "JPEGImages" / "train_0000.jpg").write_bytes(b"no photo")
    assert status("doctor", ".", cwd=tmp_path) == 1


def test_1_is_what_the_system_refuses(tmp_path: Path) -> None:
    write_toy(tmp_path, train=2, val=1, size=64)
    words = ["background-masks", "data=.", "out=made"]
    code = (
        "import resource, signal; resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)); "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); from boxseg.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "File too large" in done.stderr.splitlines()[-1]


def test_1_is_a_fault_of_boxseg(tmp_path: Path) -> None:
    code = "from boxseg import cli; cli._dispatch = lambda words: int('a fault'); cli.main(['doctor'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_2_cannot_be_used(tmp_path: Path) -> None:
    assert status("rnu", cwd=tmp_path) == 2
    assert status("doctor", "nowhere", cwd=tmp_path) == 2
    assert status("label", "data=nowhere", "out=o", "grid=many", cwd=tmp_path) == 2


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_130_and_143_are_stopped(sent: signal.Signals, code: int, tmp_path: Path) -> None:
    """A shell gives 128 + 15 for a process that SIGTERM ended."""
    write_toy(tmp_path / "toy", train=300, val=1, size=64)
    words = ["background-masks", "data=toy", "out=made"]
    with subprocess.Popen([*BOXSEG, *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert "background masks: " in process.stderr.readline()
        process.send_signal(sent)
        said = process.stderr.read()
    assert process.returncode == code
    if sent == signal.SIGINT:
        assert said.splitlines()[-1] == "boxseg: interrupted; the same command goes on where it stopped"
