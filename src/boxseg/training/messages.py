"""What the processes of a launch say to one another: through torch's store of keys, on the first machine."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from datetime import timedelta
from functools import cache
from typing import Any

from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

from boxseg.errors import ConfigError, one_line
from boxseg.training.launch import Launch

# Seconds that all processes have to start, and to begin a training.
PATIENCE = 600.0
# Seconds between two looks at the store.
LOOK = 0.1
# Bytes that the store takes at once.
_PIECE = 4 * 2**20


class Member:
    """One of the processes, with what it has to say to the others."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        store = _store(launch)
        number = store.add(f"{launch.attempt}/commands/{launch.rank}", 1)  # a script may give several
        self.store = PrefixStore(f"{launch.attempt}/command-{number}", store)
        if launch.by == "torchrun":
            _end_with_parent()

    def say(self, key: str, content: Any = None) -> None:
        """Put anything that can be pickled under a key."""
        data = pickle.dumps(content)
        for place, start in enumerate(range(0, len(data), _PIECE)):
            self.store.set(f"{key}/{place}", data[start : start + _PIECE])  # type: ignore[arg-type]
        self.store.set(key, str(-(-len(data) // _PIECE)))

    def has(self, key: str) -> bool:
        """Whether something was put there."""
        return bool(self.store.check([key]))

    def hear(self, key: str) -> Any:
        """What was put there."""
        pieces = int(self.store.get(key))
        return pickle.loads(b"".join(self.store.get(f"{key}/{place}") for place in range(pieces)))

    def forget(self, key: str) -> None:
        """Free its memory; others still see that there was something."""
        for place in range(int(self.store.get(key))):
            self.store.delete_key(f"{key}/{place}")

    def first_of(self, *keys: str, seconds: float = float("inf")) -> str | None:
        """Wait for one of these keys; None where none came in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for key in keys:
                if self.has(key):
                    return key
            time.sleep(LOOK)
        return None

    def group(self, number: int) -> Store:
        """What torch's processes of a training find one another by."""
        return PrefixStore(f"group-{number}", self.store)


@cache
def _store(launch: Launch) -> Store:
    """The store of the first machine, opened once in a process.

    Raises:
        ConfigError: Its port is in use, or cannot be reached.
    """
    try:
        return TCPStore(
            launch.address,
            launch.port,
            is_master=launch.hosts,
            timeout=timedelta(seconds=PATIENCE),
            wait_for_workers=False,
            multi_tenant=True,
        )
    except RuntimeError as error:
        what = "cannot be opened" if launch.hosts else "does not answer"
        raise ConfigError(
            f"port {launch.port} of {launch.address}, the first machine of {launch}, {what} "
            f"({one_line(error, 150)}): open it between the machines, or choose another by MASTER_PORT"
        ) from error


@cache
def _end_with_parent() -> None:
    """End this process when torchrun is killed, which cannot end it then."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
