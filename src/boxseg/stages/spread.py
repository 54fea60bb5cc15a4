"""One stage's photos, spread over processes.

Not Lightning's predict loop, for all that it would start the processes: over several it returns nothing to its
caller, makes of an error the text of a traceback, counts the photos of one process only, and wants a process
group and a free port for work whose parts have nothing to say to each other.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, Protocol, TypeVar

import torch

from boxseg.dataset import Sample
from boxseg.errors import BoxsegError
from boxseg.progress import Progress, reported_to

T = TypeVar("T")
ToolsT = TypeVar("ToolsT", bound="Tools")

# Seconds that a process is given to end by itself.
GRACE = 10.0


class Tools(Protocol):
    """What photos are worked on with: a network, and what goes with it. Picklable."""

    def on(self: ToolsT, device: torch.device) -> ToolsT:
        """The same on another device."""


@dataclass(frozen=True, kw_only=True)
class _Result(Generic[T]):
    value: T


@dataclass(frozen=True, kw_only=True)
class _Fault:
    """An error nobody foresaw: what it says, and where it came from."""

    error: str
    trace: str


@dataclass(kw_only=True)
class _Helper:
    """A process and its share of the photos.

    Attributes:
        number: 1, 2, 3 …
        process: It.
        line: What it is given, and what it answers: how many photos it has read, then its result.
        share: Its photos.
        done: How many of them it has read.
    """

    number: int
    process: SpawnProcess
    line: Connection
    share: Sequence[Sample]
    done: int = 0

    def failed(self, how: str) -> BoxsegError:
        """The error of a process that did not finish."""
        near = self.share[min(self.done, len(self.share) - 1)].id
        return BoxsegError(f"process {self.number} {how}, at photo {near} or one of the few before it")

    def died(self) -> BoxsegError:
        """The error of a process that ended without a word."""
        self.process.join(GRACE)
        code = self.process.exitcode
        if code == -signal.SIGKILL:
            return self.failed("was killed (memory may have run out: try fewer devices)")
        if code is not None and code < 0:
            return self.failed(f"was ended by {signal.Signals(-code).name}")
        if not self.done:
            return BoxsegError(
                f"process {self.number} ended with status {code} before its first photo; a script that asks "
                'for several devices must do so under `if __name__ == "__main__":`'
            )
        return self.failed(f"ended with status {code}")


def spread(
    work: Callable[[ToolsT, Sequence[Sample]], T],
    tools: ToolsT,
    samples: Sequence[Sample],
    devices: Sequence[torch.device],
    description: str,
) -> list[T]:
    """What `work(tools, share)` gives for each device's share of the photos.

    Photo i belongs to device i mod their number. One device is served by this process, several by a process
    each, which have its threads among them; the progress that they show while they work becomes one bar.

    Args:
        work: Picklable. Its results may not hold tensors.
        tools: Its first argument.
        samples: All photos.
        devices: Where to work; may name one device more than once.
        description: Name of the progress bar.

    Returns:
        The results in the order of the devices, of which there are no more than photos.

    Raises:
        BoxsegError: What a process raised; or it died, or failed for reasons unforeseen.
    """
    count = max(1, min(len(devices), len(samples)))
    if count == 1:
        return [work(tools.on(devices[0]), samples)]
    order = pickle.dumps((work, tools.on(torch.device("cpu"))))
    threads = max(1, torch.get_num_threads() // count)
    with _helpers([samples[place::count] for place in range(count)]) as helpers:
        for helper, device in zip(helpers, devices, strict=False):
            # A process that is dead already is found out below.
            with _hung_up():
                helper.line.send_bytes(order)
                helper.line.send_bytes(pickle.dumps((helper.share, device, threads)))
        return _gather(helpers, description, len(samples))


def in_order(samples: Sequence[Sample], parts: Sequence[dict[str, str]]) -> dict[str, str]:
    """Photos and what is wrong with them, from all shares, in the order of the photos."""
    found = {name: reason for part in parts for name, reason in part.items()}
    return {sample.id: found[sample.id] for sample in samples if sample.id in found}


def _gather(helpers: Sequence[_Helper], description: str, total: int) -> list[Any]:
    results: dict[int, Any] = {}
    busy = {helper.line: helper for helper in helpers}
    with Progress(description, total) as bar:
        bar.update(0)
        while busy:
            for line in wait(list(busy)):
                assert isinstance(line, Connection)
                helper = busy[line]
                try:
                    answer = line.recv()
                except (EOFError, ConnectionError):
                    raise helper.died() from None
                if isinstance(answer, BoxsegError):
                    raise answer
                if isinstance(answer, _Fault):
                    raise helper.failed(f"failed ({answer.error})") from RuntimeError(answer.trace)
                if isinstance(answer, _Result):
                    results[helper.number] = answer.value
                    del busy[line]
                else:
                    helper.done = answer
                    bar.update(sum(other.done for other in helpers))
    return [results[helper.number] for helper in helpers]


@contextmanager
def _helpers(shares: Sequence[Sequence[Sample]]) -> Iterator[list[_Helper]]:
    """A process for each share; none is left when the block ends."""
    # Not forked: after a fork neither the threads of torch nor a GPU can be used.
    context = multiprocessing.get_context("spawn")
    helpers: list[_Helper] = []
    try:
        for number, share in enumerate(shares, start=1):
            ours, theirs = context.Pipe()
            process = context.Process(target=_help, args=(theirs,), name=f"boxseg-{number}")
            with _ctrl_c_ignored():
                process.start()
            theirs.close()  # so that the line breaks when the process ends
            helpers.append(_Helper(number=number, process=process, line=ours, share=share))
        yield helpers
    finally:
        for helper in helpers:
            helper.process.terminate()
        for helper in helpers:
            helper.process.join(GRACE)
            if helper.process.is_alive():
                helper.process.kill()
                helper.process.join()
            helper.line.close()


def _help(line: Connection) -> None:
    """What a process does: its share of the work. It ends when told to, and when nobody listens any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the main process too, which ends this one
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that nothing half written is left behind
    with _hung_up():
        work, tools = pickle.loads(line.recv_bytes())
        share, device, threads = pickle.loads(line.recv_bytes())
        torch.set_num_threads(threads)
        try:
            with reported_to(line.send):
                answer: Any = _Result(value=work(tools.on(device), share))
        except ConnectionError:
            raise
        except BoxsegError as error:
            answer = error
        except Exception as error:
            text = " ".join(str(error).split())[:300]
            answer = _Fault(error=f"{type(error).__name__}: {text}", trace=traceback.format_exc())
        line.send(answer)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _hung_up() -> Iterator[None]:
    """Nothing is wrong where the other end of a line is gone."""
    try:
        yield
    except (EOFError, ConnectionError):
        return


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    """A process started in this block is deaf to Ctrl-C from its first moment on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
