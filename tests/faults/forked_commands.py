"""Commands in processes forked from one that has imported everything, so that each starts in milliseconds.

A fork has only the thread that forks. So this process has one thread: it computes nothing itself, and torch may
have no other. What cannot be met this way is a signal while Python starts and imports: nothing is written then.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boxseg

# Libraries of NumPy and torch start threads when they are imported.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# Status of a command that raised what `boxseg` does not tell users in one line.
RAISED = 70
_HELD_BACK = (signal.SIGINT, signal.SIGTERM)


def warm_up() -> None:
    """Import what commands import; a script that may have threads is started anew without them."""
    if not os.environ.items() >= _ONE_THREAD.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **_ONE_THREAD})
    import torch

    torch.set_num_threads(1)
    for name in ("lightning.pytorch.loggers", "rich.console", "rich.table"):
        importlib.import_module(name)
    for module in pkgutil.walk_packages(boxseg.__path__, "boxseg."):
        with suppress(ImportError):  # of an extra
            if not module.name.endswith(("__main__", "gpu_kernels")):
                importlib.import_module(module.name)


@dataclass(frozen=True)
class Forked:
    """A running command."""

    pid: int
    said: Path

    def wait(self, seconds: float) -> int | None:
        """Its status as a shell gives it, negative for a signal; None if it still runs after that time."""
        end = time.monotonic() + seconds
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() >= end:
                return None
            time.sleep(0.002)

    def text(self) -> str:
        """What it printed and logged."""
        return self.said.read_text(errors="replace")


def start(
    words: list[str], folder: Path, *, temporary: Path, said: Path, before: Callable[[], object] | None = None
) -> Forked:
    """Start a command line in a folder, as a process group of its own.

    Args:
        words: After `boxseg`.
        folder: Where it runs.
        temporary: TMPDIR.
        said: File that takes what it prints.
        before: Called in the new process, such as to make its disk slow.
    """
    _wait_for_one_thread()
    sys.stdout.flush()
    sys.stderr.flush()
    said.write_text("")
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)  # until the new process is ready for them
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD_BACK)
        return Forked(pid, said)
    status = RAISED
    try:
        os.setsid()
        _redirect(said)
        os.chdir(folder)
        os.environ["TMPDIR"] = str(temporary)
        tempfile.tempdir = None
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if before:
            before()
        status = _execute(words)
    finally:
        os._exit(status)


def _wait_for_one_thread(seconds: float = 30) -> None:
    # A joined thread stays in this list until the kernel takes it away: after 15 of 2,000 joins it was there.
    end = time.monotonic() + seconds
    while len(names := _names_of_threads()) > 1:
        if time.monotonic() >= end:
            raise RuntimeError(f"this process has several threads, {names}: a fork of it may hang")
        time.sleep(0.01)


def _names_of_threads() -> list[str]:
    names = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has just ended
            names.append((task / "comm").read_text().strip())
    return names


def _redirect(said: Path) -> None:
    out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((nothing, 0), (out, 1), (out, 2)):
        os.dup2(old, new)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


def _execute(words: list[str]) -> int:
    from boxseg.cli import execute

    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD_BACK)
        return execute(words)
    except KeyboardInterrupt:  # as a shell sees it
        return 130
    except BaseException:
        traceback.print_exc()
        return RAISED
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def slow_disk(seed: str) -> None:
    """Let every sync and change of a name take up to 30 ms, so that a signal meets commands there."""
    rng = random.Random(seed)

    def delayed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            time.sleep(rng.uniform(0, 0.015))
            result = function(*arguments, **named)
            time.sleep(rng.uniform(0, 0.015))
            return result

        return call

    os.fsync, os.replace = delayed(os.fsync), delayed(os.replace)
