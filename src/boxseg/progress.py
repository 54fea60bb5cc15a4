"""Progress of long loops: a bar on a terminal, else a line now and then; or told to a function; or nothing."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, TextIO, TypeVar

T = TypeVar("T")

# Seconds between two lines without a terminal: the log of an hour stays readable.
LINE_EVERY = 10.0


@dataclass(frozen=True, kw_only=True)
class ProgressState:
    """How far a loop is; as text `train: 4 of 40 · 0:11 elapsed · 0:40 left · loss 0.412`.

    Attributes:
        description: What is being done, in a few words.
        completed: Steps done.
        total: Steps in all; None if unknown.
        elapsed: Seconds since the loop began.
        left: Seconds to go, estimated from the steps done; None if unknown.
        note: What the loop says of itself, such as its loss.
        ended: Whether this is the last state of the loop: it is done, or an error stopped it.
    """

    description: str
    completed: int
    total: int | None
    elapsed: float
    left: float | None = None
    note: str = ""
    ended: bool = False

    def __str__(self) -> str:
        return f"{self.description}: {' · '.join(filter(None, [self.counts, self.note]))}"

    @property
    def counts(self) -> str:
        """The numbers, without description and note."""
        count = str(self.completed) if self.total is None else f"{self.completed} of {self.total}"
        rest = [] if self.left is None else [f"{duration(self.left)} left"]
        return " · ".join([count, f"{duration(self.elapsed)} elapsed", *rest])


# What a caller may choose: to see progress, not to, or a function that gets every state.
ProgressTo = bool | Callable[[ProgressState], None]

_shown_by: ContextVar[ProgressTo] = ContextVar("boxseg_progress", default=True)


@contextmanager
def progress_to(chosen: ProgressTo) -> Iterator[None]:
    """Progress inside the block is shown (True), not shown (False) or handed to a function, state by state."""
    token = _shown_by.set(chosen)
    try:
        yield
    finally:
        _shown_by.reset(token)


def quiet() -> AbstractContextManager[None]:
    """No progress is shown inside the block."""
    return progress_to(False)


@contextmanager
def relayed() -> Iterator[None]:
    """A function that gets progress gets that of one other process, too, which is started inside the block.

    Objects of a caller cannot be sent to it, so its states come back through a pipe. They are handed over by a
    thread; what the function raises there is raised when the block ends.
    """
    function = _shown_by.get()
    if not callable(function):
        yield
        return
    from multiprocessing import Pipe
    from threading import Thread

    reader, writer = Pipe(duplex=False)
    raised: list[Exception] = []
    thread = Thread(target=_hand_on, args=(reader, function, raised), daemon=True)
    thread.start()
    try:
        with progress_to(writer.send):
            yield
    finally:
        writer.close()  # the reader ends when the other process has, too
        thread.join()
    if raised:
        raise raised[0]


def _hand_on(reader: Any, function: Callable[[ProgressState], None], raised: list[Exception]) -> None:
    while True:
        try:
            state = reader.recv()
        except (EOFError, OSError):  # OSError: the other process was killed while it wrote
            return
        try:
            if not raised:
                function(state)
        except Exception as error:  # the caller's function may raise anything
            raised.append(error)


def track(
    iterable: Iterable[T], description: str, total: int | None = None, *, after: float = 0.0
) -> Iterator[T]:
    """The items of `iterable`; progress is shown on stderr while they are consumed.

    If the body of the loop may raise, use `Progress` instead: its block ends at once, while Python closes a
    generator late. `total` is the length of `iterable` by default, `after` as for `Progress`.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    with Progress(description, total, after=after) as bar:
        for done, item in enumerate(iterable):
            bar.update(done)
            yield item
            bar.update(done + 1)


class _Display(Protocol):
    """Where the states of a loop go."""

    def show(self, state: ProgressState) -> None: ...

    def close(self, state: ProgressState, finished: bool) -> None: ...


@dataclass
class Progress:
    """Progress of a loop that reports for itself.

        with Progress("train", total=iterations) as bar:
            for step in range(iterations):
                ...
                bar.update(step + 1, note=f"loss {loss:.2f}")

    On a terminal this is a bar with the time left; elsewhere plain lines for the first and last state, and one
    every ten seconds in between. `BOXSEG_QUIET=1` and `with quiet():` silence both. Where it goes is decided
    when this object is made: one that is sent to another process takes that along.

    Args:
        description: What is being done, in a few words.
        total: Number of steps, None if unknown.
        stream: Where to write; stderr by default, so that results on stdout can be piped.
        clock: Seconds, from any start.
        to: Whether and how it is shown; by default as `progress_to` says.
        after: Seconds of which nothing is shown: a loop that is done by then stays silent.
    """

    description: str
    total: int | None = None
    stream: TextIO | None = field(default=None, kw_only=True)
    clock: Callable[[], float] = field(default=time.monotonic, kw_only=True)
    to: ProgressTo = field(default_factory=_shown_by.get, kw_only=True)
    after: float = field(default=0.0, kw_only=True)
    _display: _Display | None = field(default=None, init=False)

    def __enter__(self) -> Progress:
        self._start = self.clock()
        self._first: tuple[int, float] | None = None  # a resumed loop does not start at 0
        self._completed, self._note = 0, ""
        self._waits = self.after > 0
        self._display = None if self._waits else self._chosen()
        return self

    def _chosen(self) -> _Display | None:
        if callable(self.to):
            return _Function(self.to)
        if not self.to or os.environ.get("BOXSEG_QUIET", "") not in ("", "0"):
            return None
        stream = self.stream or sys.stderr
        if stream.isatty() and os.environ.get("TERM") != "dumb":
            return _Bar(self.description, self.total, stream)
        return _Lines(stream)

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._display is not None:
            self._display.close(self._state(ended=True), finished=kind is None)
            self._display = None

    def update(self, completed: int, note: str = "") -> None:
        """Set how many steps are done in all; a note (such as the loss) stays until the next one."""
        if self._waits and self.clock() - self._start >= self.after:
            self._waits, self._display = False, self._chosen()
        if self._display is None and not self._waits:
            return
        self._completed, self._note = completed, note or self._note
        if self._first is None:
            self._first = (completed, self.clock())
        if self._display is not None:
            self._display.show(self._state())

    def _state(self, ended: bool = False) -> ProgressState:
        now, left = self.clock(), None
        if self.total is not None and self._first is not None:
            done, rest = self._completed - self._first[0], self.total - self._completed
            if done > 0 and rest > 0:
                left = (now - self._first[1]) * rest / done
        return ProgressState(
            description=self.description,
            completed=self._completed,
            total=self.total,
            elapsed=now - self._start,
            left=left,
            note=self._note,
            ended=ended,
        )


class _Bar:
    """A bar drawn by rich, imported only here: that takes a tenth of a second."""

    def __init__(self, description: str, total: int | None, stream: TextIO) -> None:
        from rich import progress
        from rich.console import Console
        from rich.table import Column

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            _counts_column()(table_column=Column(no_wrap=True)),
            progress.TextColumn("{task.fields[note]}", markup=False),
            console=Console(file=stream),
            redirect_stdout=sys.stdout.isatty(),  # a piped stdout holds results, not progress
        )
        self._task = self._bar.add_task(description, total=total, note="", left=None)
        self._bar.start()

    def show(self, state: ProgressState) -> None:
        note = f"· {state.note}" if state.note else ""
        self._bar.update(self._task, completed=state.completed, left=state.left, note=note)

    def close(self, state: ProgressState, finished: bool) -> None:
        self._bar.stop()


def _counts_column() -> type[Any]:
    """A column of rich with the counts and times; the time elapsed goes on between two steps."""
    from rich import progress
    from rich.text import Text

    class Counts(progress.ProgressColumn):
        def render(self, task: progress.Task) -> Text:
            state = ProgressState(
                description=task.description,
                completed=int(task.completed),
                total=None if task.total is None else int(task.total),
                elapsed=task.finished_time or task.elapsed or 0,
                left=task.fields["left"],
            )
            return Text(state.counts)

    return Counts


class _Lines:
    """Plain lines: the first and last state, and one now and then."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._written = -math.inf  # seconds elapsed at the last line
        self._shown = -1

    def show(self, state: ProgressState) -> None:
        if state.elapsed - self._written >= LINE_EVERY:
            self._write(state)

    def close(self, state: ProgressState, finished: bool) -> None:
        if not finished or self._shown != state.completed:
            self._write(state, "" if finished else " · stopped")

    def _write(self, state: ProgressState, ending: str = "") -> None:
        self._stream.write(f"{state}{ending}\n")
        self._stream.flush()
        self._written, self._shown = state.elapsed, state.completed


@dataclass
class _Function:
    """A function of the caller's, which gets every state."""

    show: Callable[[ProgressState], None]

    def close(self, state: ProgressState, finished: bool) -> None:
        self.show(state)


def duration(seconds: float) -> str:
    """Time as m:ss, from an hour on as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
