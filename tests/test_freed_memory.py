"""What becomes of freed memory, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MEASURE = """
import numpy as np
with open("/proc/self/statm") as file:
    before = int(file.read().split()[1])
np.ones(2**28, np.uint8)
with open("/proc/self/statm") as file:
    print((int(file.read().split()[1]) - before) * 4096 // 2**20, flush=True)
"""
THEN_A_CHILD = f"{MEASURE}\nimport subprocess, sys; subprocess.run([sys.executable, '-c', {MEASURE!r}])"

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="the system does not tell a process's memory"
)


def kept(program: str, **environment: str) -> list[int]:
    """MiB of 256 that are still there when they are freed, as a program prints them."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**clean, **environment})
    return [int(line) for line in done.stdout.split() if line.isdigit()]


def test_the_command_line_keeps_it_and_so_do_the_processes_it_starts() -> None:
    command = (
        "import boxseg.cli as cli\ncli.execute = lambda words: 0\ntry: cli.main([])\nexcept SystemExit: pass\n"
    )
    own, childs = kept(command + THEN_A_CHILD)
    assert own > 250
    assert childs > 250


def test_a_library_call_changes_nothing() -> None:
    call = "import boxseg.cli\nassert boxseg.cli.execute(['doctor', 'data=/nowhere']) == 2\n"
    own, childs = kept(call + THEN_A_CHILD)
    assert own < 10
    assert childs < 10


def test_what_the_environment_says_is_left_as_it_is() -> None:
    program = f"from boxseg.freed_memory import keep_freed_memory\nkeep_freed_memory()\n{MEASURE}"
    assert kept(program)[0] > 250
    assert kept(program, MALLOC_MMAP_MAX_="65536")[0] < 10
