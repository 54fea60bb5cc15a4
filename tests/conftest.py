"""Shared fixtures."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from faulty_server import FaultyServer, faulty_server

# Before torch is imported: the tests of two workers share the cores, and threads that wait for one another on
# busy cores take far longer. Commands that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


# Before triton is imported, as lightning does: without a GPU the kernels of boxseg.crf run in its interpreter.
if not _has_gpu():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# A shell that starts the tests in the background has them ignore Ctrl-C, and with them the commands they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Other work may share the cores, and first calls import what they need: no example has a time to keep to.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# Real photos for tests, not part of the project: a folder named by this variable, or beside the checkout.
SHARED_DATA = Path(os.environ.get("BOXSEG_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with voc2012/, coco/ and crf_oracle/; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no test photos in {SHARED_DATA} (set BOXSEG_TEST_DATA)")
    return SHARED_DATA


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    """An HTTP server on the loopback interface, in a thread; no proxy comes in between."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with faulty_server() as running:
        yield running
