"""Progress of long loops: a bar on a terminal, otherwise a line now and then, nothing when quiet."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TextIO, TypeVar

T = TypeVar("T")

# Seconds between two lines without a terminal: the log of an hour stays readable.
LINE_EVERY = 10.0

_quiet: ContextVar[bool] = ContextVar("boxseg_quiet", default=False)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress is shown inside the block."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def track(iterable: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """The items of `iterable`; progress is shown on stderr while they are consumed.

    If the body of the loop may raise, use `Progress` instead: its block ends at once, while Python closes a
    generator late. `total` is the length of `iterable` by default.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    with Progress(description, total) as bar:
        for done, item in enumerate(iterable):
            bar.update(done)
            yield item
            bar.update(done + 1)


@dataclass
class Progress:
    """Progress of a loop that reports for itself.

        with Progress("train", total=iterations) as bar:
            for step in range(iterations):
                ...
                bar.update(step + 1, note=f"loss {loss:.2f}")

    On a terminal this is a bar with the time left; elsewhere plain lines for the first and last state, and one
    every ten seconds in between. `BOXSEG_QUIET=1` and `with quiet():` silence both.

    Args:
        description: What is being done, in a few words.
        total: Number of steps, None if unknown.
        stream: Where to write; stderr by default, so that results on stdout can be piped.
        clock: Seconds, from any start.
    """

    description: str
    total: int | None = None
    stream: TextIO | None = field(default=None, kw_only=True)
    clock: Callable[[], float] = field(default=time.monotonic, kw_only=True)
    _display: _Bar | _Lines | None = field(default=None, init=False)

    def __enter__(self) -> Progress:
        if _quiet.get() or os.environ.get("BOXSEG_QUIET", "") not in ("", "0"):
            return self
        stream = self.stream or sys.stderr
        if stream.isatty() and os.environ.get("TERM") != "dumb":
            self._display = _Bar(self.description, self.total, stream)
        else:
            self._display = _Lines(self.description, self.total, stream, self.clock)
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._display is not None:
            self._display.close(finished=kind is None)
            self._display = None

    def update(self, completed: int, note: str = "") -> None:
        """Set how many steps are done in all; a note (such as the loss) stays until the next one."""
        if self._display is not None:
            self._display.update(completed, note)


class _Bar:
    """A bar drawn by rich, imported only here: that takes a tenth of a second."""

    def __init__(self, description: str, total: int | None, stream: TextIO) -> None:
        from rich import progress
        from rich.console import Console

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("left", style="dim"),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.fields[note]}", markup=False),
            console=Console(file=stream),
            redirect_stdout=sys.stdout.isatty(),  # a piped stdout holds results, not progress
        )
        self._task = self._bar.add_task(description, total=total, note="")
        self._bar.start()

    def update(self, completed: int, note: str) -> None:
        fields: dict[str, Any] = {"note": note} if note else {}
        self._bar.update(self._task, completed=completed, **fields)

    def close(self, finished: bool) -> None:
        self._bar.stop()


class _Lines:
    def __init__(self, description: str, total: int | None, stream: TextIO, clock: Callable[[], float]) -> None:
        self._description, self._total, self._stream, self._clock = description, total, stream, clock
        self._start = clock()
        self._written = -math.inf  # when the last line was written
        self._shown = -1
        self._completed = 0
        self._first: tuple[int, float] | None = None  # a resumed loop does not start at 0
        self._note = ""

    def update(self, completed: int, note: str) -> None:
        now = self._clock()
        if self._first is None:
            self._first = (completed, now)
        self._completed, self._note = completed, note or self._note
        if now - self._written >= LINE_EVERY:
            self._write(now, "")

    def close(self, finished: bool) -> None:
        if not finished or self._shown != self._completed:
            self._write(self._clock(), "" if finished else "stopped")

    def _write(self, now: float, state: str) -> None:
        count = str(self._completed) if self._total is None else f"{self._completed}/{self._total}"
        parts = [count, f"{_duration(now - self._start)} elapsed"]
        if self._total is not None and self._first is not None:
            done, left = self._completed - self._first[0], self._total - self._completed
            if done > 0 and left > 0:
                parts.append(f"{_duration((now - self._first[1]) * left / done)} left")
        parts += [part for part in (self._note, state) if part]
        self._stream.write(f"{self._description}: {', '.join(parts)}\n")
        self._stream.flush()
        self._written, self._shown = now, self._completed


def _duration(seconds: float) -> str:
    """Time as h:mm:ss."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
