"""What commands cost on data sets of any size, each in a process of its own, as users start it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from memory import LAUNCHER

# Seconds between two looks at what a command has written.
_EVERY = 0.02


def finished(*words: object) -> tuple[float, float, float]:
    """Seconds by the clock, seconds of processor time and megabytes at the peak of a command."""
    began = time.perf_counter()
    command = [sys.executable, "-c", LAUNCHER, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
    wall = time.perf_counter() - began
    # `doctor` ends with 1 where there are problems.
    if done.returncode not in (0, 1):
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr}")
    megabytes, seconds = map(float, done.stdout.splitlines()[-1].split())
    return wall, seconds, megabytes


def until(there: Callable[[], bool], *words: object) -> tuple[float, float, float]:
    """The same up to the moment when something is there; then the command is ended."""
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "boxseg", *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=_environment(),
    ) as process:
        while not there():
            if process.poll() not in (None, 0):
                sys.exit(f"{' '.join(map(str, words))}: {process.stderr.read().decode()}")  # type: ignore[union-attr]
            time.sleep(_EVERY)
        wall = time.perf_counter() - began
        seconds, megabytes = _used(process.pid)
        process.kill()
    return wall, seconds, megabytes


def _used(process: int) -> tuple[float, float]:
    """Seconds of processor time and megabytes at the peak of a running process (Linux)."""
    place = Path(f"/proc/{process}")
    try:
        words = (place / "stat").read_text().rpartition(")")[2].split()
        lines = (place / "status").read_text().splitlines()
        peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):  # it has ended
        return float("nan"), float("nan")
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK"), peak / 1024


def _environment() -> dict[str, str]:
    return {**os.environ, "BOXSEG_QUIET": "1"}


def costs_of_commands(data: Path, run: Path, smoke: bool) -> list[tuple[object, ...]]:
    """Rows of a table: commands with an index that the first of them writes, in the folder `run`.

    For smoke a command to its end, and one to its first result.
    """
    doctor = ("doctor", data, f"out={run}", "decode=false")
    label, classify = run / "label", run / "classify"
    works = {
        "first doctor": partial(finished, *doctor),
        "second doctor": partial(finished, *doctor),
        "first photo of label": partial(
            until,
            lambda: next((label / "labels").glob("*.png"), None) is not None,
            *("label", f"data={data}", f"out={label}", "method=ellipse", "scores=false"),
        ),
        "first step of classify": partial(
            until,
            lambda: (classify / "model.safetensors").is_file(),
            *("classify", f"data={data}", f"out={classify}", "classify.iterations=1"),
            *("classify.min_iterations=1", "trainer.workers=0"),
        ),
    }
    names = ("first doctor", "first photo of label") if smoke else tuple(works)
    return [(name, *works[name]()) for name in names]
