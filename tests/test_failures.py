"""What the system refuses is one line of the command, not a traceback."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from boxseg import cli
from boxseg.data.toy import write_toy
from boxseg.errors import is_failure
from boxseg.stages import background_masks


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], list[str]]:
    """Words of a command in the midst of which an error arises."""
    write_toy(tmp_path / "data", train=2, val=1, size=64)

    def command(error: BaseException) -> list[str]:
        def fail(*_: Any) -> None:
            raise error

        monkeypatch.setattr(background_masks, "write_grey", fail)
        return ["background-masks", f"data={tmp_path}/data", f"out={tmp_path}/out"]

    return command


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "out/a.png"),
            "out/a.png: no space left on this disk; make room and give the same command again",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "photo.jpg", None, "out/photo.jpg"),
            "out/photo.jpg: no space left on this disk; make room and give the same command again",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "out"),
            "out: Permission denied (--debug shows where in the code this arose)",
        ),
        (OSError("a\nb"), "a b (--debug shows where in the code this arose)"),
        (OSError(), "OSError (--debug shows where in the code this arose)"),
        (
            MemoryError("Unable to allocate 3 GiB"),
            "out of memory (Unable to allocate 3 GiB): try smaller batches and crops, fewer trainer.workers, "
            "or evaluate.tile=1024",
        ),
        (
            MemoryError(),
            "out of memory: try smaller batches and crops, fewer trainer.workers, or evaluate.tile=1024",
        ),
    ],
)
def test_it_is_one_line_and_status_1(
    error: BaseException,
    line: str,
    failing: Callable[[BaseException], list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.execute(failing(error)) == 1
    assert [text for text in capsys.readouterr().err.splitlines() if "boxseg" in text] == [f"boxseg: {line}"]


def test_torch_without_memory_is_one_line(
    failing: Callable[[BaseException], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    accelerator = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    for error, reason in (
        (caught.value, "can't allocate memory: you tried to allocate 4000000000000000 bytes."),
        (accelerator, "CUDA out of memory. Tried to allocate 2.00 GiB."),
    ):
        assert cli.execute(failing(error)) == 1
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith(f"boxseg: out of memory ({reason}")
        assert "try smaller batches" in line


def test_other_errors_are_not_hidden(failing: Callable[[BaseException], list[str]]) -> None:
    with pytest.raises(RuntimeError, match="a fault of ours"):
        cli.execute(failing(RuntimeError("a fault of ours")))


def test_debug_shows_the_traceback(
    failing: Callable[[BaseException], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.execute([*failing(OSError(errno.ENOSPC, "No space left on device")), "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_has_gone_is_no_failure(
    failing: Callable[[BaseException], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "dup2", lambda *_: None)
    assert cli.execute(failing(BrokenPipeError(errno.EPIPE, "Broken pipe"))) == 0


def test_ctrl_c_that_a_library_made_another_error_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(words: list[str]) -> int:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)
        except KeyboardInterrupt:
            pass
        raise RuntimeError("the library's own error")

    monkeypatch.setattr(cli, "_dispatch", interrupted)
    assert cli.execute(["label"]) == 130
    assert capsys.readouterr().err.splitlines() == [
        "boxseg: interrupted; the same command goes on where it stopped"
    ]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.setattr(cli, "_dispatch", lambda words: int("a fault of ours"))
    with pytest.raises(ValueError, match="invalid literal"):
        cli.execute(["label"])


def handing_over(file: str, error: BaseException) -> Exception:
    """An error as it comes out of a function of this file."""
    names: dict[str, Any] = {"error": error}
    exec(compile("def take(): raise error", file, "exec"), names)
    with pytest.raises(type(error)) as found:
        names["take"]()
    assert isinstance(found.value, Exception)
    return found.value


@pytest.mark.parametrize("error", [EOFError(), ConnectionResetError(errno.ECONNRESET, "reset")], ids=repr)
def test_a_loading_process_that_was_killed_while_it_handed_over_a_batch(
    error: Exception, failing: Callable[[BaseException], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    file = "/lib/torch/multiprocessing/reductions.py"
    assert cli.execute(failing(handing_over(file, error))) == 1
    assert "boxseg: a process that loads photos was killed" in capsys.readouterr().err


def test_another_end_of_a_file_is_no_killed_process() -> None:
    assert not is_failure(handing_over("/lib/pickle.py", EOFError()))
