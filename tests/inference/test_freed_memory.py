"""What freed memory does, in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import resource
import numpy as np
from boxseg.inference.freed_memory import keep_freed_memory, return_freed_memory, trim

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 // 2**20

def use():
    before = resident()
    np.ones(2**28, np.uint8)
    return resident() - before

def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(2**21, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(use())
keep_freed_memory()
print(use(), use())
kept = resident()
trim()
print(kept - resident(), use(), use())
return_freed_memory()
print(use())
np.ones(2**21, np.uint8)
print(new_pages())
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell a process's memory")
def test_memory_is_kept_for_the_next_use_and_then_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    before, first, second, trimmed, again, at_last, after, pages = map(int, done.stdout.split())
    assert before < 10  # MiB beyond what there was
    assert first > 250
    assert second < 10  # of the same pages
    assert trimmed > 250
    assert again > 250  # still kept
    assert at_last < 10
    assert after < 10
    assert pages < 4 * 512  # of 20 times 512: blocks of some megabytes are still used again
