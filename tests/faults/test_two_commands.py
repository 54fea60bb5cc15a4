"""Two commands in one folder, and what a killed one leaves there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from boxseg.atomic import atomic_path, is_temporary
from boxseg.cli import execute
from boxseg.data.toy import write_toy
from boxseg.errors import ConfigError
from boxseg.runs.lock import hold, locks_of_a_command

HOLD = """
import sys, time
from pathlib import Path
from boxseg.runs.lock import hold, locks_of_a_command
with locks_of_a_command():
    hold(Path(sys.argv[1]))
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_toy(tmp_path / "data", train=2, val=1, size=64)
    return tmp_path / "data"


def holder(folder: Path) -> subprocess.Popen[str]:
    """Another process that works in a folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def label(data: Path, out: Path) -> int:
    return execute(["label", f"data={data}", "method=ellipse", f"out={out}"])


def test_the_second_command_is_told_who_works_there(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = holder(tmp_path / "out")
    try:
        assert label(data, tmp_path / "out") == 2
        said = capsys.readouterr().err
        assert f"out={tmp_path}/out is in use by process {other.pid} on " in said
        assert "wait until that has ended, or choose another out=…" in said
        assert not list((tmp_path / "out").glob("[!.]*"))
        assert execute(["predict", "checkpoint=x", f"images={data}", f"out={tmp_path}/out"]) == 2
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert label(data, tmp_path / "out") == 0  # the system has let go of it
    assert label(data, tmp_path / "out") == 0
    assert not [file for file in (tmp_path / "out").rglob("*") if file.name == ".in-use" or is_temporary(file)]


def test_a_command_may_hold_folders_again_and_below(tmp_path: Path) -> None:
    with locks_of_a_command():
        hold(tmp_path / "run")
        with locks_of_a_command():
            hold(tmp_path / "run")
            hold(tmp_path / "run" / "label")
        with pytest.raises(subprocess.CalledProcessError):
            subprocess.run([sys.executable, "-c", HOLD, str(tmp_path / "run")], check=True, capture_output=True)
    hold(tmp_path / "elsewhere")  # outside of a command nothing is held
    assert not (tmp_path / "elsewhere").exists()
    other = holder(tmp_path / "run")
    try:
        with locks_of_a_command(), pytest.raises(ConfigError, match="in use by process"):
            hold(tmp_path / "run")
    finally:
        other.kill()
        other.wait()


def test_what_a_killed_command_left_half_written_is_removed(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert label(data, out) == 0
    leftovers = [out / "labels" / "deep" / "new.png", out / "masks" / "new.json", out / "new.json"]
    for file in leftovers:
        with atomic_path(file) as temporary:
            temporary.write_text("half")
        file.rename(temporary)  # as if the process had been killed
    own = [out / "labels" / ".gitignore", out / ".hidden-notes.txt", out / "labels" / "notes-of-mine.txt"]
    for file in own:
        file.write_text("mine")
    there = sorted(out.rglob("*"))
    assert sum(is_temporary(file) for file in there) == 3
    assert label(data, out) == 0
    after = sorted(out.rglob("*"))
    assert not any(is_temporary(file) for file in after)
    assert [file for file in there if not is_temporary(file)] == after


def test_so_is_what_one_left_that_writes_a_single_file_or_a_data_set(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert label(data, out) == 0
    (tmp_path / "bana.yml").write_text("MODEL:\n  LOSS: NAL\n")
    commands = {
        tmp_path / "page.html": ["report", str(out), f"out={tmp_path}/page.html"],
        tmp_path / "page-files" / "0001-photo.jpg": ["report", str(out), f"out={tmp_path}/page.html"],
        tmp_path / "bana.boxseg.yaml": ["convert-config", f"{tmp_path}/bana.yml"],
        tmp_path / "scores" / "metrics.json": [
            "evaluate",
            f"labels={out}",
            f"data={data}",
            f"out={tmp_path}/scores",
        ],
        tmp_path / "voc" / "ImageSets" / "Main" / "train.txt": [
            "convert",
            str(out),
            f"{tmp_path}/voc",
            "format=voc",
        ],
    }
    for file, words in commands.items():
        with atomic_path(file) as temporary:
            temporary.write_text("half")
        file.rename(temporary)
        other = temporary.with_name(temporary.name.replace(file.stem, "other"))
        other.write_text("of another file")
        if file.parts[-2] == "Main":
            (tmp_path / "voc" / "convert.yaml").write_text("format: voc\nsplits: {}\n")
        assert execute(words) == 0
        assert not temporary.exists()
        assert other.exists() == (file.parent == tmp_path)


def test_a_config_of_the_user_is_not_overwritten(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "config.yaml").write_text("label:\n  method: ellipse\nmine: 3\n")
    assert label(data, out) == 2
    assert "config.yaml was not written by boxseg" in capsys.readouterr().err
    assert (out / "config.yaml").read_text() == "label:\n  method: ellipse\nmine: 3\n"
    (out / "config.yaml").unlink()
    assert label(data, out) == 0
    (out / "versions.json").unlink()  # killed before it was written
    assert label(data, out) == 0


def test_a_killed_command_lets_go(data: Path, tmp_path: Path) -> None:
    words = [
        "classify",
        f"data={data}",
        f"out={tmp_path}/c",
        "iterations=10000",
        "batch=1",
        "crop=33",
        "weights=none",
    ]
    process = subprocess.Popen([sys.executable, "-m", "boxseg", *words], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not (tmp_path / "c" / "config.yaml").exists() and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    assert execute(words) == 2
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert execute([*words[:3], "iterations=1", *words[4:], "overwrite=true"]) == 0
