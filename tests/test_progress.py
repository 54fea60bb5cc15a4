"""What a loop shows: on a terminal, in a log, and when it is to be quiet."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from boxseg.progress import Progress, ProgressState, duration, progress_to, quiet, track


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOXSEG_QUIET", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")


def test_a_log_gets_the_first_the_last_and_a_line_every_ten_seconds() -> None:
    clock, log = Clock(), io.StringIO()
    with Progress("train", 100, stream=log, clock=clock) as bar:
        for step in range(100):
            clock.now += 0.5
            bar.update(step + 1, note=f"loss {step}")
    assert log.getvalue().splitlines() == [
        "train: 1 of 100 · 0:00 elapsed · loss 0",
        "train: 21 of 100 · 0:10 elapsed · 0:40 left · loss 20",
        "train: 41 of 100 · 0:20 elapsed · 0:30 left · loss 40",
        "train: 61 of 100 · 0:30 elapsed · 0:20 left · loss 60",
        "train: 81 of 100 · 0:40 elapsed · 0:10 left · loss 80",
        "train: 100 of 100 · 0:50 elapsed · loss 99",
    ]


def test_a_resumed_loop_counts_its_own_speed() -> None:
    clock, log = Clock(), io.StringIO()
    with Progress("train", 100, stream=log, clock=clock) as bar:
        bar.update(50)
        clock.now += 20
        bar.update(60)
        bar.update(100)
    assert "60 of 100 · 0:20 elapsed · 1:20 left" in log.getvalue()


def test_an_unknown_total_is_counted_without_time_left() -> None:
    log = io.StringIO()
    with Progress("read", stream=log) as bar:
        for done in range(3):
            bar.update(done + 1)
    assert [line.split(" · ")[0] for line in log.getvalue().splitlines()] == ["read: 1", "read: 3"]
    assert "left" not in log.getvalue()


def test_the_last_line_is_written_once() -> None:
    log = io.StringIO()
    with Progress("one", 1, stream=log) as bar:
        bar.update(1)
    assert len(log.getvalue().splitlines()) == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (11.4, "0:11"), (59.6, "1:00"), (3599, "59:59"), (3599.5, "1:00:00"), (36_125, "10:02:05")],
)
def test_times_have_hours_from_an_hour_on(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_note_stands_until_the_next_one() -> None:
    clock, log = Clock(), io.StringIO()
    with Progress("train", 3, stream=log, clock=clock) as bar:
        bar.update(1, note="loss 0.4")
        bar.update(2)
        bar.update(3)
    assert log.getvalue().splitlines()[-1].endswith("loss 0.4")


def divided(*divisors: int) -> Iterator[float]:
    for divisor in divisors:
        yield 12 / divisor


def fail(bar: Progress) -> None:
    with bar:
        bar.update(4)
        raise KeyError("x")


def test_an_error_of_the_tracked_items_passes_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        list(track(divided(3, 2, 0, 1), "divide", total=4))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("divide: 0 of 4")
    assert lines[-1].startswith("divide: 2 of 4")
    assert lines[-1].endswith("stopped")


def test_a_loop_that_fails_says_where_it_stopped() -> None:
    log = io.StringIO()
    with pytest.raises(KeyError):
        fail(Progress("work", 9, stream=log))
    assert log.getvalue().splitlines()[-1].startswith("work: 4 of 9")
    assert log.getvalue().splitlines()[-1].endswith("stopped")


def test_track_yields_everything_in_order_and_writes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track((c for c in "abc"), "letters", total=3)) == ["a", "b", "c"]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1].startswith("letters: 3 of 3")


def test_track_of_nothing() -> None:
    assert list(track([], "nothing")) == []


def test_a_terminal_gets_a_bar_that_ends_complete() -> None:
    terminal = Terminal()
    with Progress("paint [red]", 5, stream=terminal) as bar:
        bar.update(5, note="loss [0.41]")
    assert "paint [red]" in terminal.getvalue()
    assert "5 of 5" in terminal.getvalue()
    assert "loss [0.41]" in terminal.getvalue()


def test_a_bar_says_what_its_numbers_are() -> None:
    terminal, clock = Terminal(), Clock()
    with Progress("train", 40, stream=terminal, clock=clock) as bar:
        bar.update(0)
        clock.now += 4
        bar.update(4, note="loss 0.5")
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue()).splitlines()[-1]
    assert re.search(r"train .* 4 of 40 · \d:\d\d elapsed · 0:36 left · loss 0\.5", shown)


def test_a_bar_gives_the_cursor_back_after_an_error() -> None:
    terminal = Terminal()
    with pytest.raises(KeyError):
        fail(Progress("paint", 5, stream=terminal))
    hidden, shown = "\x1b[?25l", "\x1b[?25h"
    assert terminal.getvalue().rindex(shown) > terminal.getvalue().rindex(hidden)


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal()
    with Progress("emacs", 1, stream=terminal) as bar:
        bar.update(1)
    assert "\x1b" not in terminal.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_quiet_silences_both_and_ends_with_its_block(stream: type[io.StringIO]) -> None:
    silent, loud = stream(), stream()
    with quiet(), Progress("x", 1, stream=silent) as bar:
        bar.update(1)
    with Progress("x", 1, stream=loud) as bar:
        bar.update(1)
    assert silent.getvalue() == ""
    assert loud.getvalue() != ""


@pytest.mark.parametrize(("value", "silent"), [("1", True), ("0", False), ("", False)])
def test_the_environment_silences(monkeypatch: pytest.MonkeyPatch, value: str, silent: bool) -> None:
    monkeypatch.setenv("BOXSEG_QUIET", value)
    log = io.StringIO()
    with Progress("x", 1, stream=log) as bar:
        bar.update(1)
    assert (log.getvalue() == "") is silent


def test_importing_it_is_cheap() -> None:
    check = "import boxseg.progress, sys; sys.exit(bool({'rich', 'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_a_function_gets_every_state_and_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    states: list[ProgressState] = []
    clock = Clock()
    with progress_to(states.append), Progress("train", 3, clock=clock) as bar:
        for step in range(3):
            bar.update(step + 1, note="loss 0.5" if step else "")
            clock.now += 2
    assert [str(state) for state in states] == [
        "train: 1 of 3 · 0:00 elapsed",
        "train: 2 of 3 · 0:02 elapsed · 0:02 left · loss 0.5",
        "train: 3 of 3 · 0:04 elapsed · loss 0.5",
        "train: 3 of 3 · 0:06 elapsed · loss 0.5",
    ]
    assert [state.ended for state in states] == [False, False, False, True]
    assert capsys.readouterr() == ("", "")


def test_a_function_is_told_of_the_end_of_a_loop_that_fails() -> None:
    states: list[ProgressState] = []
    with progress_to(states.append), pytest.raises(KeyError):
        fail(Progress("work", 9))
    assert (states[-1].completed, states[-1].ended) == (4, True)


def test_where_progress_goes_is_decided_when_it_is_made() -> None:
    """It may be shown later, or in another process."""
    log = io.StringIO()
    with quiet():
        made = Progress("x", 1, stream=log)
    with made as bar:
        bar.update(1)
    assert log.getvalue() == ""


def test_a_loop_that_is_soon_done_stays_silent_if_asked_to() -> None:
    clock, log = Clock(), io.StringIO()
    for seconds in (0.1, 0.5):
        with Progress("read", 10, stream=log, clock=clock, after=2.0) as bar:
            for step in range(10):
                clock.now += seconds
                bar.update(step + 1)
    # Of the second loop, the first state after two seconds and the last.
    assert log.getvalue().splitlines() == [
        "read: 4 of 10 · 0:02 elapsed · 0:03 left",
        "read: 10 of 10 · 0:05 elapsed",
    ]
    with pytest.raises(ZeroDivisionError), Progress("read", 10, stream=log, clock=clock, after=2.0):
        1 / 0  # noqa: B018
    assert len(log.getvalue().splitlines()) == 2
