"""An `out` that cannot be written is refused before anything is computed for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from boxseg.cli import execute
from boxseg.data.toy import write_toy
from boxseg.errors import ConfigError
from boxseg.runs.folder import check_file, check_folder

# None of these networks is there: what is refused first is where the result would go.
FOLDERS = {
    "predict": ["checkpoint=nowhere", "images=photos"],
    "evaluate": ["checkpoint=nowhere", "data=data"],
    "background-masks": ["data=data"],
    "classify": ["data=data", "model.weights=nowhere"],
    "label": ["data=data", "method=box"],
    "segment": ["data=data", "labels=ground-truth", "model.weights=nowhere"],
    "run": ["data=data", "model.weights=nowhere"],
    "demo": ["count=1"],
    "convert": ["data/SegmentationClass", "data=data", "format=voc"],
}
FILES = {"export": ["checkpoint=nowhere", "format=safetensors"], "report": ["data"]}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file where a folder is needed, in the current folder, beside a data set."""
    monkeypatch.chdir(tmp_path)
    write_toy(Path("data"), train=2, val=1, size=64)
    Path("FILE").write_text("mine")
    return Path("FILE")


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert execute(list(words)) == 2
    return next(line for line in capsys.readouterr().err.splitlines() if line.startswith("boxseg: "))


@pytest.mark.parametrize("verb", FOLDERS)
def test_a_file_in_the_way_of_a_folder(verb: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, verb, *FOLDERS[verb], "out=FILE")
    assert line == "boxseg: out=FILE is a file; give a folder"
    line = refusal(capsys, verb, *FOLDERS[verb], f"out={Path('FILE/x')}")
    assert line.startswith(f"boxseg: out={Path('FILE/x')} lies below {file.absolute()}, which is a file")
    assert file.read_text() == "mine"


@pytest.mark.parametrize("verb", FILES)
def test_a_folder_in_the_place_of_a_file(verb: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "out=data is a folder; give a file, such as data" in refusal(capsys, verb, *FILES[verb], "out=data")
    line = refusal(capsys, verb, *FILES[verb], f"out={file / 'x'}")
    assert f"out={file / 'x'} lies below {file.absolute()}, which is a file" in line


def test_where_one_may_not_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_folder(tmp_path / "new" / "folder")
    check_file(tmp_path / "new" / "a.onnx", "network.onnx")
    monkeypatch.setattr(os, "access", lambda path, mode: not (path == tmp_path and mode == os.W_OK))
    with pytest.raises(ConfigError, match="you may not write in "):
        check_folder(tmp_path / "new" / "folder")
    with pytest.raises(ConfigError, match="you may not write in "):
        check_file(tmp_path / "new" / "a.onnx", "network.onnx")


def test_scores_beside_what_is_not_there_speak_of_that(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nowhere" in refusal(capsys, "evaluate", f"checkpoint={file / 'nowhere'}", "data=data")
    assert "no labels in FILE" in refusal(capsys, "evaluate", "labels=FILE", "data=data")
