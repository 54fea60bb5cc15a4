"""Hand out a stage's photos in chunks to one process per device, by executors of `concurrent.futures`."""

from __future__ import annotations

import logging
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
from boxseg.wording import counted

log = logging.getLogger("boxseg")

T = TypeVar("T")
ToolsT = TypeVar("ToolsT", bound="Tools")

# Seconds that a process has to end by itself.
GRACE = 10.0

# Photos in a chunk: for each thread of a CPU, enough to keep all busy until near its end; on an accelerator,
# enough to pay for starting its loading processes, which takes as long as reading some 64 photos.
FOR_A_THREAD, FOR_AN_ACCELERATOR = 8, 256


class Tools(Protocol):
    """What works on photos: a network, and what goes with it. It can be pickled."""

    def on(self: ToolsT, device: torch.device) -> ToolsT:
        """The same on another device."""


def spread(
    work: Callable[[ToolsT, Sequence[Sample]], T],
    tools: ToolsT,
    samples: Sequence[Sample],
    devices: Sequence[torch.device],
    description: str,
    *,
    together: int | None = None,
) -> list[T]:
    """Results of `work(tools, chunk)` for chunks of the photos, in the order of the photos.

    For one device this process works on all photos as one chunk. For several devices, all of a kind (the CPU
    may be named more than once), there is a process each, which gets the tools once and one chunk after
    another; they share the threads of this process. The sum of the results must not depend on how photos are
    cut into chunks. `work` and `tools` can be pickled; results are small and hold no tensors. The bar shows
    `description`. Of many photos, a chunk has `together`.

    Raises:
        BoxsegError: A process raised it, died, or failed for another reason.
    """
    count = max(1, min(len(devices), len(samples)))
    log.debug(f"{description}: {counted(len(samples), 'photo')} on {', '.join(map(str, devices[:count]))}")
    if count == 1:
        return [work(tools.on(devices[0]), samples)]
    threads = max(1, torch.get_num_threads() // count)
    size = chunk_size(len(samples), devices[:count], threads, together)
    chunks = [samples[start : start + size] for start in range(0, len(samples), size)]
    # All are made before any is started: an executor starts Python's resource tracker, which would undo `_deaf`
    # (https://github.com/python/cpython/issues/127586, not mended for Python 3.11).
    workers = [_Worker(number, device, threads) for number, device in enumerate(devices[:count], start=1)]
    with Progress(description, len(samples)) as bar:
        bar.update(0)
        try:
            return _gather(workers, _hand_over(workers, work, tools), chunks, bar)
        finally:
            end_processes([process for worker in workers for process in worker.started.processes])
            for worker in workers:
                worker.shutdown(cancel_futures=True)


def chunk_size(photos: int, devices: Sequence[torch.device], threads: int, together: int | None = None) -> int:
    """Number of photos a process gets at once: at least four chunks for each process, if they keep it busy.

    There is a process for each device; `threads` are those of each process. Of many photos it is `together`.
    """
    share = ceil(photos / len(devices))
    on_cpu = devices[0].type == "cpu"
    at_once, most = (threads, FOR_A_THREAD * threads) if on_cpu else (BATCH, FOR_AN_ACCELERATOR)
    return min(share, together or most, max(at_once, ceil(share / 4)))


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
    """Starts processes and keeps them, as an executor neither ends them nor tells how one ended.

    It does not fork: after a fork neither torch's threads nor a GPU can be used.
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
    """An executor of one process, so that errors can say which process died, and at which photos."""

    def __init__(self, number: int, device: torch.device, threads: int) -> None:
        self.number, self.device, self.started = number, device, _Started()
        super().__init__(1, mp_context=self.started, initializer=_start, initargs=(threads,))

    @contextmanager
    def explained(self, chunk: Sequence[Sample] = ()) -> Iterator[None]:
        """Make errors in this block name the process and any chunk; BoxsegErrors stay as they are."""
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
        self.shutdown()  # so that its status is known
        code = self.started.processes[0].exitcode
        if code == -signal.SIGKILL:
            return "was killed (memory may have run out: try fewer devices)"
        return (
            f"was ended by {signal.Signals(-code).name}" if code and code < 0 else f"ended with status {code}"
        )


def _hand_over(workers: Sequence[_Worker], work: Callable[..., Any], tools: Tools) -> Path:
    """Start all processes and give them work and tools in a file; returns its path.

    All read the file at the same time; sending to a process that starts or dies could block.
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
    """Processes started in this block ignore Ctrl-C: they inherit blocked signals."""
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
    """Hand each chunk to the next free process; returns results in the order of the chunks."""
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
    """Set the threads of a process, and make it end when its parent ends, however that happens."""
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
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with task.open("rb") as file:
        work, tools = pickle.load(file)
    return work, tools.on(device)


def _work_on(task: Path, device: torch.device, chunk: Sequence[Sample]) -> Any:
    """Work on a chunk; SIGTERM ends it by an exception, so that it cleans up, and then ends the process."""
    work, tools = _opened(task, device)
    try:
        signal.signal(signal.SIGTERM, _leave)
        with quiet():  # the main process shows the progress
            result = work(tools, chunk)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        return result
    except SystemExit:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)


def _leave(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not interrupt the first
    sys.exit()
