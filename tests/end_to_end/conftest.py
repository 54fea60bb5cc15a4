"""A small demo set, the command as users type it, and options that make every stage a matter of seconds."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from boxseg.cli import execute
from boxseg.data.toy import write_toy

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten training photos and four more of the demo set, as VOC."""
    root = tmp_path_factory.mktemp("toy")
    write_toy(root, train=10, val=4, size=96, seed=1)
    return root


@pytest.fixture(scope="session")
def miniature() -> tuple[str, ...]:
    """Tiny schedules: what is tested is that everything fits together, not that it learns."""
    return (
        "adapt.iterations=2",
        "adapt.batch=2",
        "classify.iterations=2",
        "classify.batch=2",
        "classify.augment.crop=65",
        "segment.iterations=2",
        "segment.batch=2",
        "segment.augment.crop=65",
        "evaluate.scales=[1]",
        "label.crf.iterations=2",
        "evaluate.crf.iterations=2",
        "trainer.workers=0",
    )


@pytest.fixture(scope="session")
def boxseg() -> Command:
    """Runs a command line in this process, where torch is imported once for all tests.

    Fails where the command does, unless told not to check.
    """

    def run(*words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        command, out, err = list(map(str, words)), io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            status = execute(list(command))
        assert not check or status == 0, err.getvalue()
        return subprocess.CompletedProcess(command, status, out.getvalue(), err.getvalue())

    return run
