"""A helping process that is killed, as the system does when memory runs out, is one line with what to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from boxseg.data.toy import write_toy

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("data")
    write_toy(home, train=8, val=1, size=64)
    return home


def children(process: int) -> list[int]:
    """The processes that a process has started, without Python's own that follows resources."""
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(pid) for pid in found if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]


def errors_after_killing(place: int, data: Path, out: Path, *more: str) -> tuple[int, list[str]]:
    """Kill a child of a training when it has a checkpoint; returns status and what was said."""
    words = ["classify", f"data={data}", f"out={out}", "iterations=100000", "batch=4", "crop=33"]
    words += ["model.weights=none", "checkpoint_every=2", *more]
    process = subprocess.Popen([sys.executable, "-m", "boxseg", *words], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not (out / "checkpoints" / "last.ckpt").exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    os.kill(children(process.pid)[place], signal.SIGKILL)
    _, said = process.communicate(timeout=300)
    return process.returncode, [line for line in said.splitlines() if "elapsed" not in line]


def test_a_process_that_loads_photos(data: Path, tmp_path: Path) -> None:
    status, said = errors_after_killing(0, data, tmp_path / "c", "workers=2")
    assert status == 1
    assert said[-1].startswith("boxseg: a process that loads photos was killed (memory may have run out): try")
    assert "Traceback" not in "\n".join(said)


@pytest.mark.parametrize("place", [0, 1])
def test_a_process_of_a_training_on_two_devices(place: int, data: Path, tmp_path: Path) -> None:
    status, said = errors_after_killing(place, data, tmp_path / "c", "devices=2", "workers=0")
    assert status == 2
    line = f"boxseg: process {place + 1} of the training ended (killed: memory may have run out): try a smaller"
    assert said[-1].startswith(line)
    text = "\n".join(said)
    assert "Traceback" not in text, text
    assert "Grad strides" not in text, text
