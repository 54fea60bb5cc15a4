"""The workers of a cluster that can do some work: those that are there, and those that come and go."""

from __future__ import annotations

import logging
import pkgutil
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from boxseg import __version__
from boxseg.errors import ConfigError, one_line
from boxseg.spreading.chunks import MOST_FOR_A_CORE, MOST_FOR_AN_ACCELERATOR
from boxseg.spreading.on_worker import Found, Wanted, examine
from boxseg.wording import counted

# Seconds that a scheduler has to answer.
_ANSWER = 60.0

log = logging.getLogger("boxseg")


@dataclass(frozen=True, kw_only=True)
class Hand:
    """A worker that can do the work.

    Attributes:
        address: Of the worker.
        executor: Runs functions there, and nowhere else.
        slots: Chunks that it works on at once.
        most: Pixels of a chunk.
    """

    address: str
    executor: Executor
    slots: int
    most: int


class Crew:
    """The workers of a scheduler, as of the last `look`.

    Only workers that were examined get chunks: Dask itself would hand them to any that comes.
    """

    def __init__(self, client: Any, wanted: Wanted) -> None:
        self._client, self._wanted = client, wanted
        self.hands: dict[str, Hand] = {}
        self._lacking: dict[str, str] = {}

    @property
    def slots(self) -> int:
        """Chunks that all work on at once."""
        return sum(hand.slots for hand in self.hands.values())

    @property
    def unfit(self) -> str:
        """Which worker cannot do the work, and why; empty if there is none."""
        return next((f"worker {address}: {why}" for address, why in self._lacking.items()), "")

    def look(self) -> None:
        """See which workers are there, and examine new ones.

        Those that lack something get no photos; a line says why.

        Raises:
            OSError: The scheduler does not answer.
        """
        # Not by `scheduler_info`: what it returns may be of another request, of Dask's own and without workers.
        said = self._client.sync(self._client.scheduler.identity, callback_timeout=_ANSWER)
        there = said["workers"]
        self.hands = {address: hand for address, hand in self.hands.items() if address in there}
        self._lacking = {address: why for address, why in self._lacking.items() if address in there}
        new = [address for address in there if address not in self.hands and address not in self._lacking]
        if not new:
            return
        before = set(self._lacking)
        for address, found in self._examined(new).items():
            if found.lacks:
                self._lacking[address] = found.lacks
            else:
                self.hands[address] = self._hand(address, found, there[address]["nthreads"])
        _tell({address: why for address, why in self._lacking.items() if address not in before})

    def check(self) -> None:
        """Check that somebody can do the work, where workers are there.

        Raises:
            ConfigError: No worker can.
        """
        if not self.hands and self._lacking:
            raise ConfigError(self.unfit)

    def _hand(self, address: str, found: Found, threads: int) -> Hand:
        return Hand(
            address=address,
            executor=self._client.get_executor(workers=[address], pure=False),
            slots=min(threads, found.accelerators) if found.accelerators else threads,
            most=MOST_FOR_AN_ACCELERATOR if found.accelerators else MOST_FOR_A_CORE,
        )

    def _examined(self, addresses: Sequence[str]) -> dict[str, Found]:
        """What each says, but for those that have gone meanwhile.

        The first question is one that Python itself can answer: a worker need not know boxseg.
        """
        answers: dict[str, Found] = {}
        rest: list[str] = []
        for address, said in self._ask(pkgutil.resolve_name, "boxseg:__version__", of=addresses).items():
            mend = f"install {__version__} there (pip install 'boxseg[dask]=={__version__}')"
            if isinstance(said, Exception):
                answers[address] = Found(lacks=f"it cannot import boxseg ({one_line(said, 200)}): {mend}")
            elif said != __version__:
                answers[address] = Found(lacks=f"it has boxseg {said}, this command {__version__}: {mend}")
            else:
                rest.append(address)
        for address, found in self._ask(examine, self._wanted, of=rest).items() if rest else ():
            failed = isinstance(found, Exception)
            answers[address] = Found(lacks=f"its check failed ({one_line(found, 300)})") if failed else found
        return answers

    def _ask(self, function: Any, argument: Any, *, of: Sequence[str]) -> dict[str, Any]:
        said = self._client.run(function, argument, workers=list(of), on_error="return")
        return {address: answer for address, answer in said.items() if not isinstance(answer, OSError)}


def _tell(lacking: dict[str, str]) -> None:
    """Say who gets no photos: a line for each reason, not for each worker."""
    for why, count in Counter(lacking.values()).items():
        first = next(address for address in lacking if lacking[address] == why)
        who = f"worker {first}" if count == 1 else f"{counted(count, 'worker')}, such as {first}"
        log.warning(f"cluster: {who} gets no photos: {why}")
