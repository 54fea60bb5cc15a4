"""Training on several devices: a process for each, started by Lightning or by torchrun or SLURM."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.process import BaseProcess
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher
from torch.distributed import Store  # type: ignore[attr-defined]
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from boxseg.config import TrainerOptions
from boxseg.errors import BoxsegError, ConfigError, is_failure, say_failure
from boxseg.inference.devices import torch_device
from boxseg.spreading.processes import end_processes
from boxseg.training.launch import Launch
from boxseg.wording import counted

TALKATIVE = ("lightning.pytorch", "lightning.fabric", "torch.multiprocessing.spawn")


class _OurStrategy(DDPStrategy):
    """Lightning's DDP, in which SIGTERM ends a process."""

    def on_train_start(self) -> None:
        """Lightning's handler of SIGTERM asks the other processes, and fails where one was killed."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        super().on_train_start()


class SpawnedStrategy(_OurStrategy):
    """Lightning's DDP in new processes, which are quiet and ignore Ctrl-C: this process ends them.

    Lightning would run the whole command again in each process, but a verb does more than train.

    Args:
        unused: Whether some parameters may have no part in the loss.
    """

    def __init__(self, *, unused: bool) -> None:
        # Named, as Lightning would take the environment of SLURM for that of these processes.
        super().__init__(
            cluster_environment=LightningEnvironment(), start_method="spawn", find_unused_parameters=unused
        )

    def _configure_launcher(self) -> None:
        self._launcher = _Launcher(self)

    def setup_environment(self) -> None:
        """Runs first in each process."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        hush_lightning()
        super().setup_environment()


class LaunchedStrategy(_OurStrategy):
    """Lightning's DDP in this process and others that a launcher has started.

    Args:
        launch: The place of this process.
        store: What they find one another by.
        unused: As for `SpawnedStrategy`.
    """

    def __init__(self, launch: Launch, store: Store, *, unused: bool) -> None:
        super().__init__(cluster_environment=_Launched(launch), find_unused_parameters=unused)
        self.launch = launch
        self.store = store

    def _configure_launcher(self) -> None:
        self._launcher = None

    @property
    def root_device(self) -> torch.device:
        """The device of this process: the only one that SLURM shows it, or the one with its number."""
        assert self.parallel_devices is not None
        return self.parallel_devices[self.launch.local_rank % len(self.parallel_devices)]

    def setup_distributed(self) -> None:
        """Meet the other processes by our store: Lightning would open its own port."""
        dist.init_process_group(
            self._get_process_group_backend(),
            store=self.store,
            rank=self.launch.rank,
            world_size=self.launch.world,
            timeout=self._timeout,
            device_id=None if self.root_device.type == "cpu" else self.root_device,
        )
        super().setup_distributed()


def launched_devices(launch: Launch, trainer: TrainerOptions) -> list[torch.device]:
    """The devices of the processes of this machine; of this process alone, where SLURM shows it only its own.

    Raises:
        ConfigError: There is no such accelerator, or there are more processes than devices.
    """
    device = torch_device(replace(trainer, devices=1))
    if device.type == "cpu":
        return [device] * launch.local_world
    there = torch.cuda.device_count() if device.type == "cuda" else 1
    if there == 1 and launch.by == "srun":
        return [device]
    if there < launch.local_world:
        raise ConfigError(
            f"{launch.by} started {counted(launch.local_world, 'process')} on each machine, which has "
            f"{counted(there, 'device')} ({device.type}): start one process for each device"
        )
    return [torch.device(device.type, place) for place in range(launch.local_world)]


class _Launched(ClusterEnvironment):
    """The place of this process, as Lightning asks for it."""

    creates_processes_externally = True

    def __init__(self, launch: Launch) -> None:
        self.launch = launch

    @property
    def main_address(self) -> str:
        return self.launch.address

    @property
    def main_port(self) -> int:
        return self.launch.port

    @staticmethod
    def detect() -> bool:
        return False  # boxseg does, by `launched`

    def world_size(self) -> int:
        return self.launch.world

    def set_world_size(self, size: int) -> None:
        pass

    def global_rank(self) -> int:
        return self.launch.rank

    def set_global_rank(self, rank: int) -> None:
        pass

    def local_rank(self) -> int:
        return self.launch.local_rank

    def node_rank(self) -> int:
        return self.launch.node


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
