"""Processes that load data beside the one that computes."""

from __future__ import annotations

import os
import signal
import sys
from multiprocessing import AuthenticationError
from types import TracebackType

import torch

from boxseg.errors import DataError

# So few photos are read before a process that reads them has started.
_FEW = 64


class LoadingError(DataError):
    """A DataError on its way out of a loading process.

    PyTorch raises it again in the main process with the process's traceback put before its message; what is
    kept here is the message, one line as every other.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rsplit(f"{type(self).__name__}: ", 1)[-1].strip())


def choose_workers(photos: int) -> int:
    """A number of loading processes for so many photos on this machine.

    None for few photos or one core. On a CPU, even a small network takes some seventy times as long for an
    image as loading it does (0.33 s and 5 ms of one core) and wants all cores: with two of them, processes
    would gain a hundredth at best; with more, up to four keep the loading out of its way. A GPU has to be
    fed: one process a core, up to eight.
    """
    cores = _cores()
    if photos < _FEW or cores == 1:
        return 0
    if torch.cuda.is_available():
        return min(8, cores)
    return min(4, cores - 1) if cores > 2 else 0


def start_worker(_worker: int) -> None:
    """Leave Ctrl-C to the main process, which ends its workers; PyTorch has set one thread already."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = _tell_unless_cut_off


def _tell_unless_cut_off(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    # What happens to a worker itself goes to the main process. Here arrives what happens to the thread that
    # hands out its tensors: when the main process is interrupted while it fetches one, that is no news.
    if not isinstance(error, (OSError, EOFError, AuthenticationError)):
        sys.__excepthook__(kind, error, trace)


def _cores() -> int:
    """Cores this process may use; containers often allow fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
