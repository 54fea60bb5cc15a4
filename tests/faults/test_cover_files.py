"""The targets of the fuzzer by coverage, without atheris; it is run by `python tests/faults/cover_files.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import cover_files
from file_targets import KINDS, Targets


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_only_errors_of_boxseg_come_out(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = Targets(kind, tmp_path / "files")
    for number, seed in enumerate(targets.seeds()):
        assert targets.all[number].file.read_bytes() == seed[1:]
        for data in (seed, targets.change(seed, number), targets.change(seed, number + 100)):
            targets.one(data)
        # Each input meets the files as they were.
        assert targets.all[number].file.read_bytes() == seed[1:]


@pytest.mark.parametrize("kind", KINDS)
def test_valid_files_are_read_to_the_end(kind: str, tmp_path: Path) -> None:
    """A target whose valid file is refused would only ever test that refusal."""
    for target in Targets(kind, tmp_path / "files").all:
        for work in target.reads:
            work()


def test_an_input_is_replayed_by_the_command(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"\x00no checkpoint")
    words = [sys.executable, cover_files.__file__, "checkpoints", "--replay", str(tmp_path / "input")]
    assert (
        "1 inputs of checkpoints: no find"
        in subprocess.run(words, capture_output=True, text=True, check=True).stdout
    )
