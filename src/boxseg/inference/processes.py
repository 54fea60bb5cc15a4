"""One stage's photos, handed out in chunks to executors of `concurrent.futures`: a process for each device."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache
from math import ceil
from multiprocessing import parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from types import FrameType
from typing import Any, Protocol, TypeVar

import torch

from boxseg.dataset import Sample
from boxseg.errors import BoxsegError
from boxseg.inference.threads import BATCH
from boxseg.progress import Progress, quiet

T = TypeVar("T")
ToolsT = TypeVar("ToolsT", bound="Tools")

# Seconds that a process has to end by itself.
GRACE = 10.0

# Photos in a chunk: on a CPU so many for each thread that all are busy until near its end; on an accelerator so
# many that it pays to start its loading processes, which takes as long as reading some 64 photos.
FOR_A_THREAD, FOR_AN_ACCELERATOR = 8, 256


class Tools(Protocol):
    """What photos are worked on with: a network, and what goes with it. It can be pickled."""

    def on(self: ToolsT, device: torch.device) -> ToolsT:
        """The same on another device."""


def spread(
    work: Callable[[ToolsT, Sequence[Sample]], T],
    tools: ToolsT,
    samples: Sequence[Sample],
    devices: Sequence[torch.device],
    description: str,
) -> list[T]:
    """Results of `work(tools, chunk)` for chunks of the photos, in the order of the photos.

    For one device this process works, on one chunk. For several there is a process each, which gets the tools
    once and then a chunk whenever it has none; they share this process's threads. How the photos are cut must
    not change what the results add up to.

    Args:
        work: Can be pickled. Its results are small and hold no tensors.
        tools: Its first argument.
        samples: All photos.
        devices: Where to work, all of a kind; the CPU may be named more than once.
        description: Name of the progress bar.

    Raises:
        BoxsegError: What a process raised; or it died, or failed for another reason.
    """
    count = max(1, min(len(devices), len(samples)))
    if count == 1:
        return [work(tools.on(devices[0]), samples)]
    threads = max(1, torch.get_num_threads() // count)
    size = chunk_size(len(samples), devices[:count], threads)
    chunks = [samples[start : start + size] for start in range(0, len(samples), size)]
    # All before any is started: an executor starts Python's tracker of resources, which would lift `_deaf`:
    # https://github.com/python/cpython/issues/127586, not mended for Python 3.11.
    workers = [_Worker(number, device, threads) for number, device in enumerate(devices[:count], start=1)]
    with Progress(description, len(samples)) as bar:
        bar.update(0)
        try:
            return _gather(workers, _hand_over(workers, work, tools), chunks, bar)
        finally:
            end_processes([process for worker in workers for process in worker.started.processes])
            for worker in workers:
                worker.shutdown(cancel_futures=True)


def chunk_size(photos: int, devices: Sequence[torch.device], threads: int) -> int:
    """How many photos a process gets at once: at least four chunks for each process, if they keep it busy.

    Args:
        photos: How many there are in all.
        devices: One for each process.
        threads: Of each process.
    """
    share = ceil(photos / len(devices))
    on_cpu = devices[0].type == "cpu"
    at_once, most = (threads, FOR_A_THREAD * threads) if on_cpu else (BATCH, FOR_AN_ACCELERATOR)
    return min(share, most, max(at_once, ceil(share / 4)))


def end_processes(processes: Sequence[BaseProcess]) -> None:
    """Tell processes to end, with nothing half written, and kill those that still run after GRACE seconds."""
    for process in processes:
        process.terminate()
    patience = monotonic() + GRACE
    for process in processes:
        process.join(max(0, patience - monotonic()))
        process.kill()
        process.join()


class _Started(SpawnContext):
    """Starts processes and keeps them: an executor neither ends them nor tells how one ended.

    Not by forking: after a fork neither the threads of torch nor a GPU can be used.
    """

    def __init__(self) -> None:
        self._all: list[SpawnProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]
        self._all.append(SpawnProcess(*args, **kwargs))
        return self._all[-1]

    @property
    def processes(self) -> list[SpawnProcess]:
        """Those that could be started."""
        return [process for process in self._all if process.pid is not None]


class _Worker(ProcessPoolExecutor):
    """An executor of one process: so it is known which process died, and at which photos."""

    def __init__(self, number: int, device: torch.device, threads: int) -> None:
        self.number, self.device, self.started = number, device, _Started()
        super().__init__(1, mp_context=self.started, initializer=_start, initargs=(threads,))

    @contextmanager
    def explained(self, chunk: Sequence[Sample] = ()) -> Iterator[None]:
        """Errors in this block name the process, and its chunk if it has one; ours pass as they are."""
        try:
            yield
        except BoxsegError:
            raise
        except Exception as error:
            if isinstance(error, BrokenExecutor):
                how = self._end()
            else:
                how = " ".join(f"failed ({type(error).__name__}: {error}".split())[:300] + ")"
            if chunk:
                photos = f"photos {chunk[0].id} to {chunk[-1].id}" if len(chunk) > 1 else f"photo {chunk[0].id}"
                how += f" while it worked on {photos}"
            elif how.startswith("ended"):
                how += (
                    " before its first photo; a script that asks for several devices must do so under "
                    '`if __name__ == "__main__":`'
                )
            else:
                how += " before its first photo"
            raise BoxsegError(f"process {self.number} {how}") from error

    def _end(self) -> str:
        """How the process died, in words."""
        self.shutdown()  # then its status is known
        code = self.started.processes[0].exitcode
        if code == -signal.SIGKILL:
            return "was killed (memory may have run out: try fewer devices)"
        return (
            f"was ended by {signal.Signals(-code).name}" if code and code < 0 else f"ended with status {code}"
        )


def _hand_over(workers: Sequence[_Worker], work: Callable[..., Any], tools: Tools) -> Path:
    """Start all processes and give them work and tools; returns the name that they know them by.

    By a file, which all read at the same time: what is sent to a process that starts, or dies, may wait for it.
    """
    with TemporaryDirectory(prefix="boxseg-") as folder:
        task = Path(folder) / "task"
        task.write_bytes(pickle.dumps((work, tools.on(torch.device("cpu")))))
        with _deaf():
            ready = [worker.submit(_open, task, worker.device) for worker in workers]
        for worker, future in zip(workers, ready, strict=True):
            with worker.explained():
                future.result()
        return task


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes started in this block do not hear Ctrl-C: they inherit what is blocked."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _gather(
    workers: Sequence[_Worker], task: Path, chunks: Sequence[Sequence[Sample]], bar: Progress
) -> list[Any]:
    """Hand out the chunks, each to the next process that is free; the results, in the order of the chunks."""
    results: dict[int, Any] = {}
    running: dict[Future[Any], tuple[_Worker, int]] = {}
    free, waiting, done = list(workers), deque(range(len(chunks))), 0
    while len(results) < len(chunks):
        while free and waiting:
            worker, place = free.pop(0), waiting.popleft()
            with worker.explained(chunks[place]):
                running[worker.submit(_work_on, task, worker.device, chunks[place])] = worker, place
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            worker, place = running.pop(future)
            with worker.explained(chunks[place]):
                results[place] = future.result()
            free.append(worker)
            done += len(chunks[place])
            bar.update(done)
    return [results[place] for place in range(len(chunks))]


# What follows runs in the processes.


def _start(threads: int) -> None:
    """Prepare a process: its share of the threads; it ends when the one that started it has ended, however."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be blocked
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _open(task: Path, device: torch.device) -> None:
    _opened(task, device)


@lru_cache(maxsize=1)
def _opened(task: Path, device: torch.device) -> tuple[Callable[..., Any], Any]:
    """The work, and the tools on this process's device."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with task.open("rb") as file:
        work, tools = pickle.load(file)
    return work, tools.on(device)


def _work_on(task: Path, device: torch.device, chunk: Sequence[Sample]) -> Any:
    """The work on a chunk; at SIGTERM it is left as by an exception, and then the process ends."""
    work, tools = _opened(task, device)
    try:
        signal.signal(signal.SIGTERM, _leave)
        with quiet():  # the main process shows how far all are
            result = work(tools, chunk)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        return result
    except SystemExit:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)


def _leave(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one is enough
    sys.exit()
