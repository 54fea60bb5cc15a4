"""Processes that load data for the one that computes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from multiprocessing import AuthenticationError
from types import TracebackType

import torch

from boxseg.errors import DataError

# Reading fewer photos than this takes less time than starting a process.
_FEW = 64

_by_threads: ContextVar[int | None] = ContextVar("boxseg_reading_threads", default=None)


@contextmanager
def read_by_threads(count: int) -> Iterator[None]:
    """Photos inside the block are read ahead by so many threads, not by processes; by none if it is 0.

    A process of Dask may have no children; nor is it wise to fork one with so many threads.
    """
    token = _by_threads.set(count)
    try:
        yield
    finally:
        _by_threads.reset(token)


def reading_threads() -> int | None:
    """Number of threads that read photos; None where processes may."""
    return _by_threads.get()


class LoadingError(DataError):
    """A DataError of a loading process.

    PyTorch raises it again in the main process with a traceback in front of the message; only the message is
    kept.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rsplit(f"{type(self).__name__}: ", 1)[-1].strip())


def choose_workers(photos: int) -> int:
    """The number of loading processes for this many photos on this machine.

    Few photos or a single core need none. On a CPU, a network takes seventy times as long per image as loading
    does, and uses all cores: with two cores, processes gain nothing; with more, up to four keep loading out of
    the network's way. A GPU waits for images: it gets one process per core, up to eight.
    """
    count = cores()
    if photos < _FEW or count == 1:
        return 0
    if torch.cuda.is_available():
        return min(8, count)
    return min(4, count - 1) if count > 2 else 0


def start_worker(_worker: int) -> None:
    """Leave Ctrl-C to the main process, which ends its workers; PyTorch has already set one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = _tell_unless_cut_off


def _tell_unless_cut_off(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    # Errors of the worker itself go to the main process; only those of the thread that hands out its tensors
    # arrive here. These mean nothing if the main process was interrupted while it fetched one.
    if not isinstance(error, (OSError, EOFError, AuthenticationError)):
        sys.__excepthook__(kind, error, trace)


def cores() -> int:
    """Cores this process may use; containers often allow fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
