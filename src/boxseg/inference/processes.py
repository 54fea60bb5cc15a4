"""One stage's photos, spread over processes."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol, TypeVar

import torch
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from boxseg.dataset import Sample
from boxseg.errors import BoxsegError
from boxseg.progress import Progress

T = TypeVar("T")
ToolsT = TypeVar("ToolsT", bound="Tools")


class Tools(Protocol):
    """What photos are worked on with: a network, and what goes with it. Picklable."""

    def on(self: ToolsT, device: torch.device) -> ToolsT:
        """The same on another device."""


@dataclass(kw_only=True)
class _Helper:
    """A process and its share of the photos.

    Attributes:
        number: 1, 2, 3 …
        line: What it is given, and what it answers: how many photos it has read, then its result.
        share: Its photos.
        done: How many of them it has read.
    """

    number: int
    line: Connection
    share: Sequence[Sample]
    done: int = 0

    def raised(self, error: ProcessRaisedException) -> BoxsegError:
        """The error of a process that met one nobody foresaw."""
        last = str(error).strip().splitlines()[-1][:300]
        return self._failed(f"failed ({last})")

    def died(self, error: ProcessExitedException) -> BoxsegError:
        """The error of a process that ended without a word."""
        if error.signal_name == "SIGKILL":
            return self._failed("was killed (memory may have run out: try fewer devices)")
        if error.signal_name:
            return self._failed(f"was ended by {error.signal_name}")
        if not self.done:
            return BoxsegError(
                f"process {self.number} ended with status {error.exit_code} before its first photo; a script "
                'that asks for several devices must do so under `if __name__ == "__main__":`'
            )
        return self._failed(f"ended with status {error.exit_code}")

    def _failed(self, how: str) -> BoxsegError:
        near = self.share[min(self.done, len(self.share) - 1)].id
        return BoxsegError(f"process {self.number} {how}, at photo {near} or one of the few before it")


def spread(
    work: Callable[[ToolsT, Sequence[Sample]], T],
    tools: ToolsT,
    samples: Sequence[Sample],
    devices: Sequence[torch.device],
    description: str,
) -> list[T]:
    """What `work(tools, share)` gives for each device's share of the photos.

    Photo i belongs to device i mod their number. One device is served by this process, several by a process
    each in Lightning's predict loop, which have its threads among them; the progress that they show while they
    work becomes one bar.

    Args:
        work: Picklable. Its results may not hold tensors.
        tools: Its first argument.
        samples: All photos.
        devices: Where to work, all of a kind; may name the CPU more than once.
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
    with _helpers([samples[place::count] for place in range(count)], devices[:count]) as (helpers, running):
        for helper in helpers:
            # A process that is dead already is found out below.
            with suppress(ConnectionError):
                helper.line.send_bytes(order)
                helper.line.send_bytes(pickle.dumps((helper.share, threads)))
        return _gather(helpers, running, description, len(samples))


def in_order(samples: Sequence[Sample], parts: Sequence[dict[str, str]]) -> dict[str, str]:
    """Photos and what is wrong with them, from all shares, in the order of the photos."""
    found = {name: reason for part in parts for name, reason in part.items()}
    return {sample.id: found[sample.id] for sample in samples if sample.id in found}


def _gather(helpers: Sequence[_Helper], running: Future[Any], description: str, total: int) -> list[Any]:
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
                    del busy[line]
                    continue
                if isinstance(answer, BoxsegError):
                    raise answer
                if isinstance(answer, tuple):
                    [results[helper.number]] = answer
                else:
                    helper.done = answer
                    bar.update(sum(other.done for other in helpers))
        _raise_failure(helpers, running)
    return [results[helper.number] for helper in helpers]


def _raise_failure(helpers: Sequence[_Helper], running: Future[Any]) -> None:
    try:
        running.result()
    except ProcessRaisedException as error:
        raise helpers[error.error_index].raised(error) from error
    except ProcessExitedException as error:
        raise helpers[error.error_index].died(error) from error


@contextmanager
def _helpers(
    shares: Sequence[Sequence[Sample]], devices: Sequence[torch.device]
) -> Iterator[tuple[list[_Helper], Future[Any]]]:
    """A process for each share; none is left when the block ends."""
    from boxseg.inference.predict_loop import predict_loop  # Lightning, which takes seconds to import

    # Not forked: after a fork neither the threads of torch nor a GPU can be used.
    pairs = [multiprocessing.get_context("spawn").Pipe() for _ in shares]
    helpers = [
        _Helper(number=number, line=ours, share=share)
        for number, ((ours, _), share) in enumerate(zip(pairs, shares, strict=True), start=1)
    ]
    with predict_loop([theirs for _, theirs in pairs], devices) as running:
        try:
            yield helpers, running
        finally:
            for helper in helpers:
                helper.line.close()
