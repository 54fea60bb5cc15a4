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
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from multiprocessing import parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
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

# Seconds that a process is given to end by itself.
GRACE = 10.0

# Photos in a chunk: for each thread of a CPU so many that all are busy until near its end; on an accelerator so
# many that starting its loading processes, which takes as long as to read some 64 photos, does not count.
FOR_A_THREAD, FOR_AN_ACCELERATOR = 8, 256


class Tools(Protocol):
    """What photos are worked on with: a network, and what goes with it. Picklable."""

    def on(self: ToolsT, device: torch.device) -> ToolsT:
        """The same on another device."""


def spread(
    work: Callable[[ToolsT, Sequence[Sample]], T],
    tools: ToolsT,
    samples: Sequence[Sample],
    devices: Sequence[torch.device],
    description: str,
) -> list[T]:
    """What `work(tools, chunk)` gives for chunks of the photos, which together are all photos in their order.

    For one device this process works, on one chunk. For several there is a process each, which gets the tools
    once and then a chunk whenever it has none; they share this process's threads. How the photos are cut must
    not matter to what becomes of the results.

    Args:
        work: Picklable. Its results are small and hold no tensors.
        tools: Its first argument.
        samples: All photos.
        devices: Where to work, all of a kind; may name the CPU more than once.
        description: Name of the progress bar.

    Raises:
        BoxsegError: What a process raised; or it died, or failed for reasons unforeseen.
    """
    count = max(1, min(len(devices), len(samples)))
    if count == 1:
        return [work(tools.on(devices[0]), samples)]
    threads = max(1, torch.get_num_threads() // count)
    size = chunk_size(len(samples), devices[:count], threads)
    chunks = [samples[start : start + size] for start in range(0, len(samples), size)]
    with Progress(description, len(samples)) as bar, _workers(devices[:count], threads) as workers:
        bar.update(0)
        return _gather(workers, _hand_over(workers, work, tools), chunks, bar)


def chunk_size(photos: int, devices: Sequence[torch.device], threads: int) -> int:
    """How many photos a process gets at once: four chunks or more to each, where they keep it busy.

    Args:
        photos: How many there are in all.
        devices: One for each process.
        threads: Of each process.
    """
    share = ceil(photos / len(devices))
    on_cpu = devices[0].type == "cpu"
    at_once, most = (threads, FOR_A_THREAD * threads) if on_cpu else (BATCH, FOR_AN_ACCELERATOR)
    return min(share, most, max(at_once, ceil(share / 4)))


class _Process(ProcessPoolExecutor):
    """An executor of one process, which does not hear Ctrl-C, can be ended, and ends when this process does.

    One each, and not one executor of many: so it is known which process died, and what it was doing.
    """

    def __init__(self, threads: int) -> None:
        self._started = _Started()
        super().__init__(1, mp_context=self._started, initializer=_start, initargs=(threads,))

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        if not hasattr(signal, "pthread_sigmask"):
            return super().submit(_unwound, fn, *args, **kwargs)
        # The first call starts the process, which inherits what is blocked. To create the executor has started
        # Python's tracker of semaphores, which would lift the block.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().submit(_unwound, fn, *args, **kwargs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def terminate(self) -> None:
        """Tell the process to end, with nothing half written."""
        for process in self._started.processes:
            process.terminate()

    def close(self, patience: float) -> None:
        """Wait for its end; at that time of the monotonic clock it is killed."""
        for process in self._started.processes:
            process.join(max(0, patience - monotonic()))
            process.kill()
        self.shutdown(cancel_futures=True)

    def how_it_died(self) -> str:
        """In words."""
        self.shutdown()  # then its status is known
        code = self._started.processes[0].exitcode
        if code == -signal.SIGKILL:
            return "was killed (memory may have run out: try fewer devices)"
        return (
            f"was ended by {signal.Signals(-code).name}" if code and code < 0 else f"ended with status {code}"
        )


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


@dataclass(frozen=True, kw_only=True)
class _Worker:
    """Takes one chunk after the other.

    Attributes:
        number: 1, 2, 3 …
        executor: Runs what it is given.
        device: Where it works.
    """

    number: int
    executor: _Process
    device: torch.device

    @contextmanager
    def explained(self, chunk: Sequence[Sample] = ()) -> Iterator[None]:
        """Errors in this block name the process, and its chunk if it has one; ours pass as they are."""
        try:
            yield
        except BoxsegError:
            raise
        except Exception as error:
            how = " ".join(f"failed ({type(error).__name__}: {error}".split())[:300] + ")"
            if isinstance(error, BrokenExecutor):
                how = self.executor.how_it_died()
            if chunk:
                photos = f"photos {chunk[0].id} to {chunk[-1].id}" if len(chunk) > 1 else f"photo {chunk[0].id}"
                raise BoxsegError(f"process {self.number} {how} while it worked on {photos}") from error
            if "status" not in how:
                raise BoxsegError(f"process {self.number} {how} before its first photo") from error
            raise BoxsegError(
                f"process {self.number} {how} before its first photo; a script that asks for several devices "
                'must do so under `if __name__ == "__main__":`'
            ) from error


@contextmanager
def _workers(devices: Sequence[torch.device], threads: int) -> Iterator[list[_Worker]]:
    """A process for each device; none is left when the block ends."""
    workers = [
        _Worker(number=number, executor=_Process(threads), device=device)
        for number, device in enumerate(devices, start=1)
    ]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.executor.terminate()
        patience = monotonic() + GRACE
        for worker in workers:
            worker.executor.close(patience)


def _hand_over(workers: Sequence[_Worker], work: Callable[..., Any], tools: Tools) -> Path:
    """Give work and tools to all processes; returns the name that they know them by.

    By a file, which all read at the same time: what is sent to a process that starts, or dies, may wait for it.
    """
    with TemporaryDirectory(prefix="boxseg-") as folder:
        task = Path(folder) / "task"
        task.write_bytes(pickle.dumps((work, tools.on(torch.device("cpu")))))
        ready = [worker.executor.submit(_open, task, worker.device) for worker in workers]
        for worker, future in zip(workers, ready, strict=True):
            with worker.explained():
                future.result()
        return task


def _gather(
    workers: Sequence[_Worker], task: Path, chunks: Sequence[Sequence[Sample]], bar: Progress
) -> list[Any]:
    """Hand out the chunks, each to the next process that is free; the results, in the order of the chunks."""
    results: dict[int, Any] = {}
    running: dict[Future[Any], tuple[_Worker, int]] = {}
    free, waiting = list(workers), deque(range(len(chunks)))
    done = 0
    while len(results) < len(chunks):
        while free and waiting:
            worker, place = free.pop(0), waiting.popleft()
            with worker.explained(chunks[place]):
                running[worker.executor.submit(_work_on, task, worker.device, chunks[place])] = worker, place
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


def _unwound(call: Callable[..., Any], *args: Any) -> Any:
    """`call(*args)`; at SIGTERM it is left as by an exception, and then the process ends."""
    try:
        signal.signal(signal.SIGTERM, _leave)
        result = call(*args)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        return result
    except SystemExit:
        pass
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.raise_signal(signal.SIGTERM)


def _leave(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one is enough
    sys.exit()


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
    work, tools = _opened(task, device)
    with quiet():  # the main process shows how far all are
        return work(tools, chunk)
