"""One command at a time writes to a run folder."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from boxseg.atomic import write_text
from boxseg.errors import ConfigError
from boxseg.runs.layout import HOLDER, LOCK
from boxseg.runs.stage_files import remove_leftovers

# The folders that the running command holds, and what lets go of them; None outside of commands.
_Held = tuple[set[Path], ExitStack]
_held: ContextVar[_Held | None] = ContextVar("held", default=None)


@contextmanager
def locks_of_a_command() -> Iterator[None]:
    """Folders that are held in this block are let go of at its end. A block inside another does nothing."""
    if _held.get() is not None:
        yield
        return
    with ExitStack() as stack:
        token = _held.set((set(), stack))
        try:
            yield
        finally:
            _held.reset(token)


def hold(folder: Path) -> None:
    """Make a folder and keep other commands out of it, and remove what a killed command left half written.

    The system lets go of it when the process ends, however that happens.

    Raises:
        ConfigError: Another command works there.
    """
    held = _held.get()
    if held is None:
        return
    folders, stack = held
    place = folder.resolve()
    if place in folders:
        return
    place.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(place / LOCK), place / HOLDER
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"out={folder} is in use by {_said(holder)}: wait until that has ended, or choose another out=…"
        ) from None
    except (NotImplementedError, OSError):
        return  # a file system without locks, such as some network drives
    folders.add(place)
    stack.callback(lock.release)
    stack.callback(_remove, place / LOCK)
    stack.callback(_remove, holder)
    started = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    write_text(holder, f"process {os.getpid()} on {platform.node()} since {started}\n", sync=False)
    remove_leftovers(place)


def _remove(file: Path) -> None:
    with suppress(OSError):  # Windows keeps a file that is locked
        file.unlink(missing_ok=True)


def _said(holder: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        if text := holder.read_text(encoding="utf-8").strip()[:200]:
            return text
    return "another command"
