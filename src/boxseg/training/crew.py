"""A command in several processes, on one machine or several, that torchrun or SLURM has started.

The first process runs the command as if it were alone. The others wait for its trainings, and train along: they
get each one from it, as the processes do that boxseg itself starts for several devices. So only the first reads
options, checks them, writes files, prints, and does what is no training.

They say: `work-N`, the N-th training, or how the command ended; `ready-N`, `go-N`, `done-N` and `close-N`,
which others wait for; `error`, why one gave up; `bye`, that it has heard how the command ended.
"""

from __future__ import annotations

import logging
import os
import platform
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import torch.distributed as dist
from lightning.pytorch.loggers import Logger
from torch.distributed import Store  # type: ignore[attr-defined]

from boxseg.data.loading import TrainingPhotos
from boxseg.errors import BoxsegError, DataError, is_failure, one_line, say_failure
from boxseg.progress import quiet
from boxseg.runs.layout import LAST
from boxseg.training.launch import Launch
from boxseg.training.messages import LOOK, PATIENCE, Member
from boxseg.wording import counted_of

log = logging.getLogger("boxseg")

# Seconds that processes have to say why they gave up, and to end; and after which a wait is told of.
EXPLAINING, LEAVING, LONG = 10.0, 120.0, 20.0
# What to do when one is lost.
AGAIN = "give the same command again, on the machines that are there; it goes on from the last checkpoint"

Fitting = Callable[[Path | None], None]


class Task(Protocol):
    """A training, as each of its processes does it. It can be pickled."""

    @property
    def images(self) -> TrainingPhotos:
        """What it is trained on."""

    def launched(self, launch: Launch, store: Store, loggers: Sequence[Logger] = ()) -> Fitting:
        """All but the training itself, which is a function of the checkpoint to go on from."""


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What the other processes get: a training, the content of its checkpoint, and files that it reads."""

    task: Task
    checkpoint: bytes | None
    files: list[Path]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How the command ended in the first process: with a result, or with an error."""

    result: Any = None
    error: BaseException | None = None

    def given(self) -> Any:
        """The result, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.result

    @property
    def status(self) -> int:
        """Exit status of a command line, whose result is its status."""
        if isinstance(self.error, KeyboardInterrupt):
            return 130
        if self.error is not None:
            return 2 if isinstance(self.error, BoxsegError) else 1
        return int(self.result or 0)


_crew: ContextVar[Leader | None] = ContextVar("crew", default=None)


def current() -> Leader | None:
    """The processes that this one leads; None outside of `leading`."""
    return _crew.get()


@contextmanager
def leading(launch: Launch) -> Iterator[Leader]:
    """In the first process: the others train along in this block, and hear at its end how it ended.

    Raises:
        BoxsegError: The processes do not reach one another.
    """
    leader = Leader(launch)
    token = _crew.set(leader)
    try:
        yield leader
    except BaseException as error:
        with suppress(Exception):
            leader.dismiss(Outcome(error=_sendable(error)))
        raise
    else:
        leader.dismiss(Outcome(result=leader.result))
    finally:
        _crew.reset(token)


def follow(launch: Launch) -> Outcome:
    """In every other process: train along until the command has ended in the first.

    Raises:
        BoxsegError: The first process is lost, or hears no more.
    """
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Follower(launch).outcome()
    finally:
        log.setLevel(level)


class Leader(Member):
    """The first process.

    Attributes:
        result: What the other processes get as the result of the command.
    """

    def __init__(self, launch: Launch) -> None:
        super().__init__(launch)
        self.result: Any = None
        self._trainings = 0
        self._others = list(range(1, launch.world))

    def train(self, task: Task, checkpoint: Path | None, loggers: Sequence[Logger]) -> list[str]:
        """Train here and in all other processes.

        Args:
            task: The training.
            checkpoint: What it goes on from.
            loggers: Lightning's, used in this process.

        Returns:
            IDs of the photos that any process found unreadable.

        Raises:
            BoxsegError: A process raised it, is lost, or did not come.
        """
        self._trainings += 1
        number, content = self._trainings, checkpoint.read_bytes() if checkpoint else None
        fit = task.launched(self.launch, self.group(number), loggers)
        self.say(f"work-{number}", _Work(task=task, checkpoint=content, files=task.images.some_files()))
        self._wait_for_all("ready", number)
        self.forget(f"work-{number}")
        self.say(f"go-{number}")
        try:
            fit(checkpoint)
            unreadable = self._wait_for_all("done", number)
        except Exception as error:
            if isinstance(error, BoxsegError) or not _is_of_contact(error):
                raise
            raise self._why(error) from error
        self.say(f"close-{number}")
        _let_go()
        return sorted({*task.images.unreadable, *(name for names in unreadable for name in names)})

    def dismiss(self, outcome: Outcome) -> None:
        """Tell the other processes how the command ended, and wait until they have heard."""
        self.say(f"work-{self._trainings + 1}", outcome)
        stopped = isinstance(outcome.error, KeyboardInterrupt)
        end = time.monotonic() + (EXPLAINING if stopped else LEAVING)
        while time.monotonic() < end and not all(self.has(f"bye/{rank}") for rank in self._others):
            time.sleep(LOOK)

    def _wait_for_all(self, what: str, number: int) -> list[Any]:
        """What each of the others has said; raises what one raised instead."""
        start, told = time.monotonic(), False
        while missing := [rank for rank in self._others if not self.has(f"{what}-{number}/{rank}")]:
            self._raise_reported()
            waited = time.monotonic() - start
            if waited > PATIENCE:
                raise BoxsegError(
                    f"{counted_of(len(missing), self.launch.world, 'process')} did not answer for "
                    f"{PATIENCE / 60:.0f} minutes ({self._named(missing[0])}): see whether the command runs on "
                    "every machine, and give it again"
                )
            if waited > LONG and not told:
                log.info(f"waiting for {counted_of(len(missing), self.launch.world, 'process')}")
                told = True
            time.sleep(LOOK)
        return [self.hear(f"{what}-{number}/{rank}") for rank in self._others]

    def _raise_reported(self) -> None:
        for rank in self._others:
            if self.has(f"error/{rank}"):
                error = self.hear(f"error/{rank}")
                if error is not None:
                    raise type(error)(f"{self._named(rank)}: {error}")

    def _why(self, error: Exception) -> BoxsegError:
        """Why other processes cannot be reached: one raised something else, or is gone."""
        end = time.monotonic() + EXPLAINING
        while missing := [rank for rank in self._others if not self.has(f"error/{rank}")]:
            self._raise_reported()
            if time.monotonic() > end:
                self._others = [rank for rank in self._others if rank not in missing]
                return BoxsegError(
                    f"{self._named(missing[0])} is lost (killed, or its machine has gone): {AGAIN}"
                )
            time.sleep(LOOK)
        self._raise_reported()
        return BoxsegError(f"the processes of the training lost contact ({one_line(error, 200)}): {AGAIN}")

    def _named(self, rank: int) -> str:
        host = f" on {self.hear(f'host/{rank}')}" if self.has(f"host/{rank}") else ""
        return f"process {rank + 1} of {self.launch.world}{host}"


class Follower(Member):
    """Any other process."""

    def __init__(self, launch: Launch) -> None:
        super().__init__(launch)
        self.say(f"host/{launch.rank}", platform.node())

    def outcome(self) -> Outcome:
        """Train along until the command has ended."""
        try:
            for number in count(1):
                self.first_of(f"work-{number}")
                work = self.hear(f"work-{number}")
                outcome = work if isinstance(work, Outcome) else self._train(work, number)
                if outcome is not None:
                    self.say(f"bye/{self.launch.rank}")
                    return outcome
        except dist.DistError as error:
            raise self._lost() from error
        raise AssertionError("it counts for ever")

    def _train(self, work: _Work, number: int) -> Outcome | None:
        """Train along; returns how the command ended, if this training has ended it."""
        try:
            _check_visible(work.files)
            fit = work.task.launched(self.launch, self.group(number))
            self.say(f"ready-{number}/{self.launch.rank}")
            if self.first_of(f"go-{number}", f"work-{number + 1}") == f"go-{number}":
                with _as_file(work.checkpoint) as checkpoint, self._ended_with_the_first(number):
                    fit(checkpoint)
                self.say(f"done-{number}/{self.launch.rank}", work.task.images.unreadable)
                self.first_of(f"close-{number}", f"work-{number + 1}")
                _let_go()
            return None
        except Exception as error:
            return self._given_up(error, number)

    @contextmanager
    def _ended_with_the_first(self, number: int) -> Iterator[None]:
        """End this process when the command ends in the first: torch may wait for it for ever in this block."""
        left = threading.Event()

        def watch() -> None:
            with suppress(dist.DistError):  # the first is lost: torch notices that
                while not left.wait(LOOK):
                    if self.has(f"work-{number + 1}"):
                        outcome = self.hear(f"work-{number + 1}")
                        self.say(f"bye/{self.launch.rank}")
                        os._exit(outcome.status)

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            left.set()
            thread.join()

    def _given_up(self, error: Exception, number: int) -> Outcome:
        """Tell the first process, which fails, too, and then says how the command ended."""
        told = None if _is_of_contact(error) else _sendable(error)
        self.say(f"error/{self.launch.rank}", told)
        if told is not None and dist.is_initialized():
            # In torch the others wait for this process. They notice when it ends; with gloo the first says why.
            if dist.get_backend() == "gloo":
                return Outcome(error=told)
            raise told from error
        if self.first_of(f"work-{number + 1}", seconds=2 * EXPLAINING):
            outcome = self.hear(f"work-{number + 1}")
            assert isinstance(outcome, Outcome)
            return outcome
        raise (told or self._lost()) from error

    def _lost(self) -> BoxsegError:
        return BoxsegError(
            f"process 1 of {self.launch.world} on {self.launch.address} is lost (killed, or its machine has "
            f"gone): {AGAIN}"
        )


def _let_go() -> None:
    """Leave torch's group of the processes, when all have come to the end."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _sendable(error: BaseException) -> BaseException:
    """An error that can be sent to another process: as it is, or in words."""
    if isinstance(error, KeyboardInterrupt):
        return KeyboardInterrupt()
    if isinstance(error, BoxsegError):
        return type(error)(str(error))
    if isinstance(error, Exception) and is_failure(error):
        return BoxsegError(say_failure(error))
    return BoxsegError(f"{type(error).__name__}: {one_line(error, 300)}")


def _is_of_contact(error: Exception) -> bool:
    """Whether torch raised it because another process, or the network, is gone."""
    said = str(error).lower()
    words = ("gloo", "nccl", "connection closed by peer", "connection reset by peer")
    return isinstance(error, RuntimeError) and (
        isinstance(error, dist.DistError) or any(word in said for word in words)
    )


def _check_visible(files: Sequence[Path]) -> None:
    for file in files:
        if not file.is_file():
            raise DataError(
                f"{file.absolute()} is not there: all machines need photos and labels at the same place, as on "
                "a shared file system"
            )


@contextmanager
def _as_file(content: bytes | None) -> Iterator[Path | None]:
    """A checkpoint as a file of this machine, which need not see the folder of the run."""
    if content is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="boxseg-") as folder:
        file = Path(folder) / Path(LAST).name
        file.write_bytes(content)
        yield file
