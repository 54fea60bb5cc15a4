"""One command at a time works at an address, as far as a store allows: it has no locks.

A command puts an object that says who it is, and puts it again every few seconds. Another that finds it fresh
gives up. Of two that begin in the same second both may. A killed command on this machine is recognised at
once; of one on another machine, its object grows old.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from boxseg.errors import ConfigError
from boxseg.remote.address import RemotePath
from boxseg.remote.store import Store, store_of

CLAIMS = ".in-use"
# Seconds between two puts, and after which a claim counts as left behind.
_EVERY, _OLD = 20.0, 90.0


@dataclass(frozen=True, kw_only=True)
class _Holder:
    """Who claims an address."""

    host: str
    process: int
    since: str

    def is_dead(self) -> bool:
        """Whether it was a process of this machine that has ended."""
        if self.host != platform.node() or self.process == os.getpid():
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False


@contextmanager
def claimed(address: RemotePath) -> Iterator[None]:
    """Keep other commands away from an address as long as the block lasts.

    Raises:
        ConfigError: Another command works there.
    """
    store, own = store_of(address), address / CLAIMS / uuid.uuid4().hex
    now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    said = json.dumps({"host": platform.node(), "process": os.getpid(), "since": now}).encode()
    done = threading.Event()

    def again() -> None:
        while not done.wait(_EVERY):
            with suppress(Exception):  # whatever it is, the uploads meet it, too
                store.put_bytes(said, own)

    store.put_bytes(said, own)
    thread = threading.Thread(target=again, name="boxseg-claim", daemon=True)
    try:
        _give_way(store, address, own)
        thread.start()
        yield
    finally:
        done.set()
        if thread.is_alive():
            thread.join()
        with suppress(Exception):  # it grows old
            store.remove([own])


def _give_way(store: Store, address: RemotePath, own: RemotePath) -> None:
    claims = dict(store.listed_now(address / CLAIMS).items())
    mine = claims.get(own.name)
    if mine is None:
        return
    left = []
    for name, entry in claims.items():
        if name == own.name:
            continue
        other = address / CLAIMS / name
        holder = _holder(store, other)
        if holder is None or holder.is_dead() or mine.time - entry.time > _OLD * 1e9:
            left.append(other)
        elif entry.time <= mine.time:
            raise ConfigError(
                f"out={address} is in use by process {holder.process} on {holder.host} since {holder.since}: "
                f"wait until that has ended ({_OLD:g} seconds, if it was killed), or choose another out=…"
            )
    store.remove(left)


def _holder(store: Store, claim: RemotePath) -> _Holder | None:
    """Who has put a claim; None if it is gone or is none."""
    try:
        content = json.loads(store.content(claim))
        return _Holder(host=content["host"], process=content["process"], since=content["since"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
