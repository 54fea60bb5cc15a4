"""Three runs with one seed write the same bytes, whatever Python's random order of sets and the loading."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def contents(folder: Path) -> dict[str, bytes]:
    """All files, but for how a checkpoint of Lightning's came about."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.suffix != ".ckpt"]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_three_runs_write_the_same_bytes(
    toy: Path, miniature: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, boxseg
) -> None:  # type: ignore[no-untyped-def]
    places = [tmp_path / str(number) / "work" for number in range(3)]  # a report shows the last two names
    for place in places:
        place.mkdir(parents=True)
    words = ["run", f"data={toy}", "out=out", "label.formats=[coco]", "report.max_photos=3", *miniature]
    monkeypatch.chdir(places[0])
    boxseg(*words)
    for place, seed in zip(places[1:], ("1", "2"), strict=True):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TMPDIR": str(place)}
        command = [sys.executable, "-m", "boxseg", *words]
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    one, two, three = (contents(place / "out") for place in places)
    assert one == two == three
    assert {"adapt/model.safetensors", "segment/model.safetensors", "label/masks.json", "report.html"} <= set(
        one
    )
