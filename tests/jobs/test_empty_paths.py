"""`out=$OUT` where the shell has no such variable: an empty path is not the current folder."""

from __future__ import annotations

from pathlib import Path

import pytest

import boxseg
from boxseg.cli import execute
from boxseg.errors import ConfigError
from boxseg.jobs import PredictJob
from boxseg.options import build_job, parse_words

NAMED = r"= is empty: give a path, or .*=\. for the current folder"


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["predict", "checkpoint=c", "images=", "out=o"], "images"),
        (["predict", "checkpoint=c", 'images=["a", ""]', "out=o"], "images"),
        (["predict", "checkpoint=", "images=p", "out=o"], "checkpoint"),
        (["predict", "checkpoint=c", "images=p", "out="], "out"),
        (["predict", "checkpoint=c", "data=", "out=o"], "data.root"),
        (["doctor", "data="], "data.root"),
        (["doctor", "data=d", "data.masks="], "data.masks"),
        (["label", "checkpoint=", "data=d", "out=o"], "checkpoint"),
        (["label", "--out", "", "data=d", "method=box"], "out"),
        (["segment", "labels=l", "data=d", "out=o", "strong="], "strong"),
        (["evaluate", "labels=", "data=d"], "labels"),
        (["demo", "out="], "out"),
        (["report", ""], "run"),
        (["convert", "l", "", "format=voc"], "out"),
    ],
)
def test_it_is_refused_and_nothing_is_written(
    words: list[str],
    key: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert execute(words) == 2
    line = f"boxseg: {key}= is empty: give a path, or {key}=. for the current folder "
    assert capsys.readouterr().err.startswith(line)
    assert not list(tmp_path.iterdir())


def test_in_a_file_and_in_python_too(tmp_path: Path) -> None:
    (tmp_path / "options.yaml").write_text("data: {root: ''}\n")
    given = parse_words(["-c", str(tmp_path / "options.yaml"), "out=o"], "classify")
    with pytest.raises(ConfigError, match=rf"data\.root{NAMED}"):
        build_job("classify", given)
    with pytest.raises(ConfigError, match=rf"data\.root{NAMED}"):
        boxseg.doctor(data={"root": ""})
    with pytest.raises(ConfigError, match=rf"images{NAMED}"):
        boxseg.predict(checkpoint="c", images=[""], out="o")


def test_a_list_without_photos() -> None:
    with pytest.raises(ConfigError, match="images= is empty"):
        PredictJob(checkpoint=Path("c"), images=[], out=Path("o"))


def test_the_current_folder_may_be_meant_and_other_options_may_be_empty() -> None:
    given = parse_words(["data=.", "out=.", "val_split=", "loggers=[]"], "run")
    assert build_job("run", given).out == Path()  # type: ignore[union-attr]
