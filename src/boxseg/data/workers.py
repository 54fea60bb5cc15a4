"""Processes that load data for the one that computes."""

from __future__ import annotations

import os
import signal
import sys
from multiprocessing import AuthenticationError
from types import TracebackType

import torch

from boxseg.errors import DataError

# Reading fewer photos than this takes less time than starting a process.
_FEW = 64


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
    cores = _cores()
    if photos < _FEW or cores == 1:
        return 0
    if torch.cuda.is_available():
        return min(8, cores)
    return min(4, cores - 1) if cores > 2 else 0


def start_worker(_worker: int) -> None:
    """Leave Ctrl-C to the main process, which ends its workers; PyTorch has already set one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = _tell_unless_cut_off


def _tell_unless_cut_off(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    # Errors of the worker itself go to the main process; only those of the thread that hands out its tensors
    # arrive here. These mean nothing if the main process was interrupted while it fetched one.
    if not isinstance(error, (OSError, EOFError, AuthenticationError)):
        sys.__excepthook__(kind, error, trace)


def _cores() -> int:
    """Cores this process may use; containers often allow fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
