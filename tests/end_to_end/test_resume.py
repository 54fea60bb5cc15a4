"""An interrupted run, gone on with, is an uninterrupted one; the same seed gives the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CLASSIFY = (
    "classify", "classify.iterations=6", "classify.batch=2", "classify.augment.crop=65", "checkpoint_every=2",
    "trainer.workers=1", "model.weights=none", "model.batch_norm=train",
)  # fmt: skip


def kill_when(file: Path, *words: str | Path) -> None:
    """Start a command and kill it, with no chance to clean up, as soon as the file is there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "boxseg", *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    while not file.exists():
        assert process.poll() is None, "the command ended before it could be interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_an_interrupted_training_goes_on_to_the_same_bytes(toy: Path, boxseg, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    boxseg(*CLASSIFY, f"data={toy}", f"out={whole}")
    kill_when(broken / "checkpoints" / "last.ckpt", *CLASSIFY, f"data={toy}", f"out={broken}")
    if (broken / "model.safetensors").exists():
        pytest.skip("the training ended before it could be killed")
    done = boxseg(*CLASSIFY, f"data={toy}", f"out={broken}")
    assert "resuming from" in done.stderr
    for name in ("model.safetensors", "history.csv"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes()


def test_a_damaged_checkpoint_is_replaced_by_the_one_before(toy: Path, boxseg, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    boxseg(*CLASSIFY, f"data={toy}", f"out={tmp_path}")
    whole = {name: (tmp_path / name).read_bytes() for name in ("model.safetensors", "history.csv")}
    (tmp_path / "model.safetensors").unlink()
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-5000])
    done = boxseg(*CLASSIFY, f"data={toy}", f"out={tmp_path}")
    assert "last.ckpt is damaged: going on from" in done.stderr
    for name, content in whole.items():
        assert (tmp_path / name).read_bytes() == content


def test_interrupted_labels_are_completed(toy: Path, boxseg, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    boxseg(*CLASSIFY, f"data={toy}", f"out={tmp_path}/c")
    label = ("label", f"checkpoint={tmp_path}/c", f"data={toy}", "label.crf.iterations=1")
    boxseg(*label, f"out={tmp_path}/whole")
    boxseg(*label, f"out={tmp_path}/broken")
    lost = sorted((tmp_path / "broken" / "y_crf").iterdir())[3:7]
    for file in lost:
        file.unlink()
    done = boxseg(*label, f"out={tmp_path}/broken")
    assert "4 written, 6 there already" in done.stdout
    for file in sorted((tmp_path / "whole").rglob("*.png")):
        other = tmp_path / "broken" / file.relative_to(tmp_path / "whole")
        assert other.read_bytes() == file.read_bytes()


def test_seeds_give_the_same_bytes_and_different_ones_do_not(toy: Path, boxseg, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    boxseg(*CLASSIFY, f"data={toy}", f"out={one}", "seed=0")
    boxseg(*CLASSIFY, f"data={toy}", f"out={same}", "seed=0", "trainer.workers=0")
    boxseg(*CLASSIFY, f"data={toy}", f"out={other}", "seed=1")
    content = [(folder / "model.safetensors").read_bytes() for folder in (one, same, other)]
    assert content[0] == content[1]
    assert content[0] != content[2]


def test_ctrl_c_ends_with_a_line_and_leaves_nothing_half_written(toy: Path, tmp_path: Path) -> None:
    words = [*CLASSIFY[:1], *CLASSIFY[2:], "iterations=10000", f"data={toy}", f"out={tmp_path}/c"]
    process = subprocess.Popen(
        [sys.executable, "-m", "boxseg", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    last = tmp_path / "c" / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 300
    while not last.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "interrupted; the same command goes on where it stopped" in errors
    assert "Traceback" not in errors
    assert not list((tmp_path / "c").rglob(".*"))
