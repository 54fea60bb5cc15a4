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
from boxseg.training.loop import progress_of

WORDS = ("classify.iterations=2", "classify.batch=1", "augment.crop=33", "model.weights=none", "workers=0")


@pytest.fixture
def job(tmp_path: Path) -> ClassifyJob:
    return ClassifyJob(data=Data(root=tmp_path / "data"), out=tmp_path / "run")


def checkpoint(folder: Path) -> Path:
    """A checkpoint of a training of which half is lost."""
    file = folder / "checkpoints" / "last.ckpt"
    file.parent.mkdir(parents=True)
    torch.save({"global_step": 4, "epoch": 1, "state_dict": {"w": torch.zeros(900)}}, file)
    assert progress_of(file) == (4, 1)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    return file


@pytest.mark.parametrize("more", [(), ("dry_run=true",)])
def test_a_checkpoint(more: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_toy(tmp_path / "data", train=2, val=1, size=64)
    file = checkpoint(tmp_path / "run")
    assert execute(["classify", *WORDS, f"data={tmp_path}/data", f"out={tmp_path}/run", *more]) == 2
    line = f"boxseg: {file} is damaged (a full disk or an interrupted copy can be the reason): "
    line += "remove it, and the same command trains from the start"
    assert line in capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("content", [b"", b"garbage", b"{}", b"\x80\x02]."])
def test_a_checkpoint_that_is_something_else(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"last\.ckpt is damaged"):
        progress_of(tmp_path / "last.ckpt")


@pytest.mark.parametrize("content", ["", '{"python": "3.1', "[]", '{"inputs": 3}'])
def test_the_versions(content: str, job: ClassifyJob) -> None:
    folder = open_folder(job)
    (folder / "model.safetensors").write_text("result")
    (folder / "versions.json").write_text(content)
    with pytest.raises(ConfigError, match=r"versions\.json is damaged \(.*\): remove it to keep"):
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
