"""What a loop shows: on a terminal, in a log, and when it is to be quiet."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator

import pytest

from boxseg.progress import Progress, quiet, track


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
        "train: 1/100, 0:00:00 elapsed, loss 0",
        "train: 21/100, 0:00:10 elapsed, 0:00:40 left, loss 20",
        "train: 41/100, 0:00:20 elapsed, 0:00:30 left, loss 40",
        "train: 61/100, 0:00:30 elapsed, 0:00:20 left, loss 60",
        "train: 81/100, 0:00:40 elapsed, 0:00:10 left, loss 80",
        "train: 100/100, 0:00:50 elapsed, loss 99",
    ]


def test_a_resumed_loop_counts_its_own_speed() -> None:
    clock, log = Clock(), io.StringIO()
    with Progress("train", 100, stream=log, clock=clock) as bar:
        bar.update(50)
        clock.now += 20
        bar.update(60)
        bar.update(100)
    assert "60/100, 0:00:20 elapsed, 0:01:20 left" in log.getvalue()


def test_an_unknown_total_is_counted_without_time_left() -> None:
    log = io.StringIO()
    with Progress("read", stream=log) as bar:
        for done in range(3):
            bar.update(done + 1)
    assert [line.split(",")[0] for line in log.getvalue().splitlines()] == ["read: 1", "read: 3"]
    assert "left" not in log.getvalue()


def test_the_last_line_is_written_once() -> None:
    log = io.StringIO()
    with Progress("one", 1, stream=log) as bar:
        bar.update(1)
    assert len(log.getvalue().splitlines()) == 1


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
    assert lines[0].startswith("divide: 0/4")
    assert lines[-1].startswith("divide: 2/4")
    assert lines[-1].endswith("stopped")


def test_a_loop_that_fails_says_where_it_stopped() -> None:
    log = io.StringIO()
    with pytest.raises(KeyError):
        fail(Progress("work", 9, stream=log))
    assert log.getvalue().splitlines()[-1].startswith("work: 4/9")
    assert log.getvalue().splitlines()[-1].endswith("stopped")


def test_track_yields_everything_in_order_and_writes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track((c for c in "abc"), "letters", total=3)) == ["a", "b", "c"]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1].startswith("letters: 3/3")


def test_track_of_nothing() -> None:
    assert list(track([], "nothing")) == []


def test_a_terminal_gets_a_bar_that_ends_complete() -> None:
    terminal = Terminal()
    with Progress("paint [red]", 5, stream=terminal) as bar:
        bar.update(5, note="loss [0.41]")
    assert "paint [red]" in terminal.getvalue()
    assert "5/5" in terminal.getvalue()
    assert "loss [0.41]" in terminal.getvalue()


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
