"""Run folders of which a file was cut short: one line that says what to remove."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from boxseg.cli import execute
from boxseg.config import Classify, Data
from boxseg.data.toy import write_toy
from boxseg.errors import CheckpointError, ConfigError
from boxseg.jobs import ClassifyJob
from boxseg.runs.folder import open_folder
from boxseg.runs.layout import BEFORE_LAST, LAST
from boxseg.training.checkpoints import WholeCheckpoints, last_checkpoint

WORDS = ("classify.iterations=2", "classify.batch=1", "augment.crop=33", "model.weights=none", "workers=0")


@pytest.fixture
def job(tmp_path: Path) -> ClassifyJob:
    return ClassifyJob(data=Data(root=tmp_path / "data"), out=tmp_path / "run")


def save(folder: Path, *steps: int, stage: str = "classify") -> None:
    """Checkpoints of a training, one after the other."""
    for step in steps:
        content = {"global_step": step, "epoch": 1, "boxseg": {"stage": stage}, "w": torch.zeros(900)}
        WholeCheckpoints().save_checkpoint(content, folder / LAST)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize("more", [(), ("dry_run=true",)])
def test_a_checkpoint(more: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_toy(tmp_path / "data", train=2, val=1, size=64)
    save(tmp_path / "run", 4)
    cut(tmp_path / "run" / LAST)
    assert execute(["classify", *WORDS, f"data={tmp_path}/data", f"out={tmp_path}/run", *more]) == 2
    line = f"boxseg: {tmp_path}/run/{LAST} is damaged (a full disk or an interrupted copy can be the reason): "
    line += "remove it, and the same command trains from the start"
    assert line in capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("content", [b"", b"garbage", b"{}", b"\x80\x02]."])
def test_a_checkpoint_that_is_something_else(content: bytes, tmp_path: Path) -> None:
    (tmp_path / LAST).parent.mkdir()
    (tmp_path / LAST).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"last\.ckpt is damaged"):
        last_checkpoint(tmp_path, "classify")


def test_the_one_before_takes_the_place_of_a_damaged_checkpoint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert last_checkpoint(tmp_path, "classify") is None
    save(tmp_path, 2, 4, 6)
    found = last_checkpoint(tmp_path, "classify")
    assert found is not None
    assert (found.file, found.step) == (tmp_path / LAST, 6)
    cut(tmp_path / LAST)
    with caplog.at_level("WARNING", logger="boxseg"):
        found = last_checkpoint(tmp_path, "classify")
    assert found is not None
    assert (found.file, found.step, found.epoch) == (tmp_path / BEFORE_LAST, 4, 1)
    assert f"{tmp_path / LAST} is damaged: going on from {tmp_path / BEFORE_LAST}, iteration 4" in caplog.text
    (tmp_path / LAST).unlink()  # killed between two renamings
    assert last_checkpoint(tmp_path, "classify") == found
    cut(tmp_path / BEFORE_LAST)
    with pytest.raises(CheckpointError, match=r"before-last\.ckpt is damaged"):
        last_checkpoint(tmp_path, "classify")


def test_one_flipped_bit_of_a_tensor_is_damage(tmp_path: Path) -> None:
    save(tmp_path, 2)
    whole = (tmp_path / LAST).read_bytes()
    for place in range(len(whole) // 4, len(whole) * 3 // 4, len(whole) // 50):
        (tmp_path / LAST).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(CheckpointError, match="damaged"):
            last_checkpoint(tmp_path, "classify")


def test_a_checkpoint_of_another_stage(tmp_path: Path) -> None:
    save(tmp_path, 2, stage="segment")
    with pytest.raises(CheckpointError, match=r"checkpoint of segment, not of adapt: choose another out=…"):
        last_checkpoint(tmp_path, "adapt")


@pytest.mark.parametrize("content", ["", '{"python": "3.1', "[]", '{"inputs": 3}'])
def test_the_versions(content: str, job: ClassifyJob) -> None:
    folder = open_folder(job)
    (folder / "model.safetensors").write_text("result")
    (folder / "versions.json").write_text(content)
    with pytest.raises(ConfigError, match=r"versions\.json does not hold versions: remove it to keep"):
        open_folder(job)
    (folder / "versions.json").unlink()
    open_folder(job)
    assert (folder / "model.safetensors").is_file()


@pytest.mark.parametrize("name", ["config.yaml", "versions.json"])
def test_starting_anew_needs_neither(name: str, job: ClassifyJob) -> None:
    folder = open_folder(job)
    (folder / "model.safetensors").write_text("result")
    (folder / name).write_text("{")
    with pytest.raises(ConfigError, match=name):
        open_folder(job)
    open_folder(replace(job, classify=Classify(grid=2), overwrite=True))
    assert not (folder / "model.safetensors").exists()
