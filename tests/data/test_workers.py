"""What a loading process says when the one that it loads for goes away."""

from __future__ import annotations

import subprocess
import sys

import pytest

# A file is offered as workers offer their tensors; who asks for it hangs up in the middle.
PROGRAM = """
import os, socket, sys, time
from multiprocessing.reduction import DupFd
from multiprocessing.resource_sharer import _resource_sharer
from boxseg.data.workers import start_worker
start_worker(0)
offered = DupFd(0)
address, key = offered._id
line = socket.socket(socket.AF_UNIX)
line.connect(address)
line.close()
line = socket.socket(socket.AF_UNIX)
line.connect(address)
line.sendall(bytes([0, 0, 0, 3]) + b"abc")
line.close()
time.sleep(0.5)
sys.excepthook(ZeroDivisionError, ZeroDivisionError("a fault"), None)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="tensors go another way on this system")
def test_a_line_that_is_cut_is_nothing_to_tell_of_but_faults_are() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stderr == "ZeroDivisionError: a fault\n"
