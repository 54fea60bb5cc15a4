"""Hand out chunks of photos to the workers of a Dask scheduler, through executors of `concurrent.futures`.

A worker that dies loses its chunks, which others do again; one that comes gets chunks, too. Dask alone would do
the same, but for the check of each worker, and for errors that say which photos it was about.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boxseg.dataset import Sample
from boxseg.errors import BoxsegError, ConfigError, DataError, one_line
from boxseg.extras import import_extra
from boxseg.progress import Progress
from boxseg.spreading import on_worker
from boxseg.spreading.chunks import Cut, named
from boxseg.spreading.crew import Crew, Hand
from boxseg.spreading.on_worker import Wanted, installed
from boxseg.spreading.place import Needs
from boxseg.spreading.sending import to_bytes
from boxseg.wording import counted

log = logging.getLogger("boxseg")

# Seconds: until a scheduler has answered; for a first worker, or for others when all are gone; between two
# looks at which workers are there; until files of other machines are seen here, which network drives may delay.
CONNECT, WORKERS, LOOK, FILES = 10.0, 120.0, 1.0, 90.0
# Workers that may die at a chunk.
_DEATHS = 3


class Lost(BoxsegError):
    """The connection to the scheduler is lost."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"the scheduler at cluster={address} is gone: start it and its workers again, and give the same "
            "command again, which goes on where it stopped"
        )


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """A client of a scheduler.

    Raises:
        ConfigError: None answers at this address.
        MissingExtraError: Dask is not installed.
    """
    distributed = import_extra("distributed", extra="dask", purpose=f"cluster={address}")
    with _without_remarks():
        try:
            # Workers are examined by boxseg: Dask's own warning of other versions would come on top.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                client = distributed.Client(address, timeout=CONNECT, set_as_default=False, name="boxseg")
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                f"cluster={address}: no Dask scheduler answers there ({one_line(error, 200)}): give the "
                "address that `dask scheduler` prints, such as tcp://host:8786"
            ) from error
        try:
            yield client
        finally:
            client.close(timeout=2)


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Dask logs by itself what a command says in one line."""
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def spread(
    address: str,
    task: tuple[Callable[..., Any], Any],
    samples: Sequence[Sample],
    description: str,
    needs: Needs,
    arrived: Callable[[Any], None] | None,
    accelerator: str | None,
) -> list[Any]:
    """Results of work on chunks of photos, in the order of the photos.

    Args:
        address: Of the scheduler.
        task: Work and tools, on the CPU.
        samples: The photos.
        description: Of the bar.
        needs: What workers must see.
        arrived: Called with each result.
        accelerator: What workers use; None for work without tools.

    Raises:
        BoxsegError: No worker can do the work, a chunk raised it or ended workers, or the scheduler is gone.
    """
    if not samples:
        work, tools = task
        return [work(samples) if accelerator is None else work(tools, samples)]
    content, name = to_bytes(task, description), uuid.uuid4().hex
    with (
        connected(address) as client,
        _probe(needs.writes) as probe,
        Progress(description, len(samples)) as bar,
    ):
        crew = Crew(client, _wanted(samples, needs, probe, accelerator))
        run = _Run(address, client, crew, Cut(samples, needs.together), bar, arrived)
        run.wait_for_workers()
        log.debug(f"{description}: {counted(len(samples), 'photo')} on {counted(len(crew.hands), 'worker')}")
        # Lies in the memory of the workers that need it. Dask makes it anew from the scheduler's copy if they
        # die; any worker can, as this is a function of Python's.
        with _large():
            sent = client.submit(bytes, content, pure=False)
        try:
            return run.results(lambda hand, chunk: _submit(hand, sent, name, chunk, accelerator))
        finally:
            run.end(name)


def _submit(hand: Hand, task: Any, name: str, chunk: list[Sample], accelerator: str | None) -> Future[Any]:
    content = to_bytes(chunk, named(chunk))
    return hand.executor.submit(on_worker.work_on, task, name, content, accelerator)


@contextmanager
def _large() -> Iterator[None]:
    """A network is a large argument, of which Dask would warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


@contextmanager
def _probe(folder: Path | None) -> Iterator[str | None]:
    """A new file in the folder that workers write to, so that they can tell whether they see the same one."""
    if folder is None:
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder.absolute() / f".probe-{uuid.uuid4().hex}"
    probe.touch()
    try:
        yield str(probe)
    finally:
        probe.unlink(missing_ok=True)


def _wanted(samples: Sequence[Sample], needs: Needs, probe: str | None, accelerator: str | None) -> Wanted:
    some = [samples[place] for place in sorted({0, len(samples) // 2, len(samples) - 1})]
    files = tuple(
        (str(sample.image.absolute()), sample.image.stat().st_size) for sample in some if sample.image.is_file()
    )
    python, packages = installed()
    true = next((sample for sample in samples if needs.truth and _has_truth(sample)), None)
    return Wanted(
        python=python,
        packages=packages,
        files=files,
        folders=tuple(str(path.absolute()) for path in needs.reads),
        probe=probe,
        photo=to_bytes(true, true.id) if true else b"",
        accelerator=accelerator,
    )


def _has_truth(sample: Sample) -> bool:
    """Whether ground truth can be read here."""
    try:
        return sample.ground_truth is not None and sample.ground_truth() is not None
    except DataError:
        return False


@dataclass(frozen=True)
class _Sent:
    """A chunk that a worker works on."""

    hand: Hand
    place: int
    chunk: list[Sample]


class _Run:
    """The loop: whoever is free gets a chunk, until all results are there."""

    def __init__(
        self,
        address: str,
        client: Any,
        crew: Crew,
        cut: Cut,
        bar: Progress,
        arrived: Callable[[Any], None] | None,
    ) -> None:
        self._address, self._client, self._crew, self._cut = address, client, crew, cut
        self._bar, self._arrived = bar, arrived
        self._running: dict[Future[Any], _Sent] = {}
        self._results: dict[int, Any] = {}
        self._done, self._deaths, self._looked = 0, Counter[int](), 0.0

    def wait_for_workers(self, first: bool = True) -> None:
        """Wait until somebody can do the work: in a cluster's queue, workers start later than this.

        At `first`, workers that are there and cannot do it are an error.
        """
        until, said = time.monotonic() + WORKERS, False
        while True:
            self._look()
            if self._crew.hands:
                return
            if first:
                self._crew.check()
            if time.monotonic() > until:
                raise BoxsegError(
                    f"cluster={self._address} has no workers, after {WORKERS:.0f} seconds: start some by "
                    f"`dask worker {self._address}`, and give the same command again"
                )
            if not said:
                log.info(f"cluster: {self._address} has no workers now; waiting for one")
                said = True
            time.sleep(LOOK)

    def results(self, submit: Callable[[Hand, list[Sample]], Future[Any]]) -> list[Any]:
        """All results, in the order of the photos."""
        self._show()
        while self._cut or self._running:
            self._hand_out(submit)
            for future in wait(self._running, timeout=LOOK, return_when=FIRST_COMPLETED).done:
                self._take(future)
            if time.monotonic() - self._looked > LOOK:
                self._look()
                self._take_back()
            if not self._crew.hands:
                self.wait_for_workers(first=False)
        return [self._results[place] for place in sorted(self._results)]

    def end(self, name: str) -> None:
        """Take back what is not done, and have the workers forget the task."""
        for future in self._running:
            future.cancel()
        if self._client.status != "running":
            return
        addresses = list(self._crew.hands)
        with _ignored():
            self._client.run(on_worker.close, name, workers=addresses, on_error="ignore")

    def _hand_out(self, submit: Callable[[Hand, list[Sample]], Future[Any]]) -> None:
        busy = Counter(sent.hand.address for sent in self._running.values())
        for hand in self._crew.hands.values():
            for _ in range(hand.slots - busy[hand.address]):
                if not self._cut:
                    return
                place, chunk = self._cut.take(self._crew.slots, hand.most)
                self._running[submit(hand, chunk)] = _Sent(hand, place, chunk)

    def _take(self, future: Future[Any]) -> None:
        sent = self._running.pop(future)
        if future.cancelled():  # not by us, so all are
            raise Lost(self._address)
        error = future.exception()
        if error is None:
            self._results[sent.place] = result = future.result()
            self._done += len(sent.chunk)
            if self._arrived:
                self._arrived(result)
            self._show()
        elif isinstance(error, on_worker.Revoked) or type(error).__name__ == "KilledWorker":
            self._died(sent)
        elif isinstance(error, BoxsegError):
            raise error
        else:
            what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            where = f"worker {sent.hand.address} failed ({what}) while it worked on {named(sent.chunk)}"
            raise BoxsegError(where) from error

    def _take_back(self) -> None:
        """Chunks of workers that are gone."""
        gone = [future for future, sent in self._running.items() if sent.hand.address not in self._crew.hands]
        for future in gone:
            sent = self._running.pop(future)
            future.cancel()
            self._died(sent)

    def _died(self, sent: _Sent) -> None:
        self._deaths[sent.place] += 1
        if self._deaths[sent.place] == _DEATHS:
            raise BoxsegError(
                f"{_DEATHS} workers died while they worked on {named(sent.chunk)} (memory may have run out: "
                "start workers with fewer threads by `--nthreads`, or more memory by `--memory-limit`)"
            )
        log.warning(f"cluster: worker {sent.hand.address} is gone; others do {named(sent.chunk)} again")
        self._cut.give_back(sent.place, sent.chunk)

    def _look(self) -> None:
        if self._client.status != "running":
            raise Lost(self._address)
        try:
            self._crew.look()
        except (OSError, asyncio.TimeoutError) as error:  # two kinds before Python 3.11
            raise Lost(self._address) from error
        self._looked = time.monotonic()

    def _show(self) -> None:
        self._bar.update(self._done, note=counted(len(self._crew.hands), "worker"))


@contextmanager
def _ignored() -> Iterator[None]:
    """What goes wrong after the last result changes nothing."""
    try:
        yield
    except Exception as error:
        log.debug(f"cluster: {one_line(error, 300)}")


def wait_until_seen(files: Sequence[Path]) -> None:
    """Wait until files are seen here that workers have written: network drives may remember their absence.

    Raises:
        DataError: One is not.
    """
    until = time.monotonic() + FILES
    for file in files:
        while not file.exists():
            if time.monotonic() > until:
                raise DataError(
                    f"{file} was written by a worker, and is not seen here: choose an out=… on a drive that "
                    "all machines share, and give the same command again"
                )
            time.sleep(LOOK)
