"""Several devices: a process for each, started by Lightning, and what it leaves to be done."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

import lightning as L
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from boxseg.errors import BoxsegError

# Seconds that a process is given to end by itself.
GRACE = 10.0

TALKATIVE = ("lightning.pytorch", "lightning.fabric", "torch.multiprocessing.spawn")


class SpawnedStrategy(DDPStrategy):
    """Lightning's DDP in processes of their own, quiet and deaf to Ctrl-C: the first process ends them.

    Not by running the command again in each, as Lightning's own choice would: a verb does more than train.

    Args:
        unused: Whether some parameters may have no part in the loss.
    """

    def __init__(self, *, unused: bool) -> None:
        super().__init__(start_method="spawn", find_unused_parameters=unused)

    def _configure_launcher(self) -> None:
        self._launcher = _Launcher(self)

    def setup_environment(self) -> None:
        """In each process, before anything else."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        hush_lightning()
        super().setup_environment()


class _Launcher(_MultiProcessingLauncher):
    """Lightning's, also for notebooks: it refuses classes defined there, but what runs here is importable.

    Attributes:
        raised: Errors of ours that processes ended with; torch passes on the text of a traceback only.
    """

    def __init__(self, strategy: DDPStrategy) -> None:
        super().__init__(strategy)
        self.raised = multiprocessing.get_context("spawn").SimpleQueue()

    def _wrapping_function(self, *args: Any, **kwargs: Any) -> None:
        try:
            super()._wrapping_function(*args, **kwargs)
        except BoxsegError as error:
            self.raised.put(error)
            raise

    @property
    def is_interactive_compatible(self) -> bool:
        return True


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """`hush_lightning`, for a block."""
    loggers = [logging.getLogger(name) for name in TALKATIVE]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        hush_lightning()
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def hush_lightning() -> None:
    """Leave out what Lightning says of its own set-up, and torch of processes that it ends; errors pass."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    # `fit` says so once, with their names.
    warnings.filterwarnings("ignore", message=".*training uses the next photo instead")


@contextmanager
def ended_with(trainer: L.Trainer) -> Iterator[None]:
    """No process is left when the block ends, and their errors are raised as if there were none.

    Raises:
        BoxsegError: What a process raised, or that it was killed.
    """
    try:
        yield
    except ProcessRaisedException as error:
        launcher = trainer.strategy.launcher
        if not isinstance(launcher, _Launcher) or launcher.raised.empty():
            raise
        raise launcher.raised.get() from error
    except ProcessExitedException as error:
        raise BoxsegError(
            f"process {error.error_index + 1} of the training was ended ({_cause(error)}): "
            "try a smaller batch, trainer.accumulate or fewer devices"
        ) from error
    finally:
        processes: list[BaseProcess] = list(getattr(trainer.strategy.launcher, "procs", []))
        for process in processes:
            if process.is_alive():
                process.terminate()
        for process in processes:
            process.join(GRACE)
            if process.is_alive():
                process.kill()
                process.join()
        if processes and sys.stderr.isatty():
            sys.stderr.write("\x1b[?25h")  # the cursor, which the bar of a killed process has hidden


def _cause(error: ProcessExitedException) -> str:
    name = error.signal_name
    if name == "SIGKILL":
        return "killed: memory may have run out"
    return name or f"status {error.exit_code}"
