"""Training on several devices: a process for each, started by Lightning."""

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

from boxseg.errors import BoxsegError, is_failure, say_failure
from boxseg.spreading.processes import end_processes

TALKATIVE = ("lightning.pytorch", "lightning.fabric", "torch.multiprocessing.spawn")


class SpawnedStrategy(DDPStrategy):
    """Lightning's DDP in new processes, which are quiet and ignore Ctrl-C: this process ends them.

    Lightning would run the whole command again in each process, but a verb does more than train.

    Args:
        unused: Whether some parameters may have no part in the loss.
    """

    def __init__(self, *, unused: bool) -> None:
        super().__init__(start_method="spawn", find_unused_parameters=unused)

    def _configure_launcher(self) -> None:
        self._launcher = _Launcher(self)

    def setup_environment(self) -> None:
        """Runs first in each process."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        hush_lightning()
        super().setup_environment()

    def on_train_start(self) -> None:
        """Let SIGTERM end a process: Lightning's handler asks the others, and fails where one was killed."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        super().on_train_start()


class _Launcher(_MultiProcessingLauncher):
    """Lightning's launcher, also for notebooks: it refuses them for classes defined there, and ours are not.

    Attributes:
        raised: Errors of boxseg from the processes. torch passes on only the text of a traceback; no issue was
            found, and this can go when it passes on the error.
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
        except Exception as error:
            if is_failure(error):
                self.raised.put(BoxsegError(say_failure(error)))
            raise

    @property
    def is_interactive_compatible(self) -> bool:
        return True


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """`hush_lightning` for a block."""
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
    """Suppress Lightning's remarks on its set-up, and torch's on processes that it ends; errors are shown."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    warnings.filterwarnings("ignore", message="Grad strides do not match")  # of 1 x 1 kernels: it means nothing
    # `fit` reports these photos once, by name.
    warnings.filterwarnings("ignore", message=".*training uses the next photo instead")


@contextmanager
def ended_with(trainer: L.Trainer) -> Iterator[None]:
    """No process is left when the block ends; what a process raised is raised here.

    Raises:
        BoxsegError: What a process raised, or that it was killed.
    """
    try:
        yield
    except ProcessRaisedException as error:
        launcher = trainer.strategy.launcher
        if not isinstance(launcher, _Launcher):
            raise
        # Where one process was killed, the others raise that they cannot reach it.
        killed = [place for place, process in enumerate(launcher.procs) if process.exitcode == -signal.SIGKILL]
        if killed:
            raise _ended(killed[0], "SIGKILL") from error
        if launcher.raised.empty():
            raise
        raise launcher.raised.get() from error
    except ProcessExitedException as error:
        raise _ended(error.error_index, error.signal_name or f"status {error.exit_code}") from error
    finally:
        processes: list[BaseProcess] = list(getattr(trainer.strategy.launcher, "procs", []))
        end_processes(processes)
        if processes and sys.stderr.isatty():
            sys.stderr.write("\x1b[?25h")  # show the cursor, which the bar of a killed process has hidden


def _ended(place: int, cause: str) -> BoxsegError:
    """What to say of a process that was ended."""
    why = "killed: memory may have run out" if cause == "SIGKILL" else cause
    return BoxsegError(
        f"process {place + 1} of the training ended ({why}): "
        "try a smaller batch, trainer.accumulate or fewer devices"
    )
