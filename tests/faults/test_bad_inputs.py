"""The table of bad inputs: one line or a listed skip, and never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

import bad_corrections
import bad_files
import bad_json
import bad_texts
from bad import Bad
from boxseg.cli import execute
from refusals import refused
from small_data_sets import MAKERS

BAD = [*bad_files.BAD, *bad_json.BAD, *bad_texts.BAD]
QUICK = ("label.method=ellipse", "crf=false", "workers=0", "--quiet")


@pytest.mark.parametrize("bad", [pytest.param(bad, id=bad.name) for bad in BAD])
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_a_bad_input_is_listed_or_refused(bad: Bad, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "data"
    MAKERS[bad.base](root)
    bad.spoil(root)
    words = (f"data={root}", *bad.options)
    status, (out, err) = execute(["doctor", *words, "--quiet"]), capsys.readouterr()
    told = out if bad.outcome == "listed" else err
    assert status == (1 if bad.outcome == "listed" else 2), out + err
    assert [word for word in bad.says if word not in told] == [], told
    if bad.outcome == "refused":
        assert err.count("\n") == 1
        assert err.startswith("boxseg: ")
        assert len(err) < 2000
        return
    # The rest is labelled and converted all the same.
    assert execute(["label", *words, f"out={tmp_path / 'labels'}", *QUICK]) == 0, capsys.readouterr().err
    assert (
        execute(["convert", str(tmp_path / "labels"), f"out={tmp_path / 'out'}", "format=coco", "--quiet"]) == 0
    )
    assert (tmp_path / "labels" / "masks.json").stat().st_size > 0


@pytest.mark.parametrize("bad", [pytest.param(bad, id=bad.name) for bad in bad_corrections.BAD])
def test_bad_corrections_are_refused_before_anything_is_written(
    bad: Bad, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = tmp_path / "data", tmp_path / "labels"
    MAKERS[bad.base](root)
    bad.spoil(root)
    line = refused(
        capsys, "label", f"data={root}", f"out={out}", *QUICK, f"corrections={root}/corrections.json"
    )
    assert [word for word in bad.says if word not in line] == [], line
    assert len(line) < 1000
    assert not out.exists()
