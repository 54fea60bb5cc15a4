"""The command line as users type it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from boxseg import cli
from boxseg.data.toy import write_toy
from boxseg.jobs import JOBS


def command(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "boxseg", *words], capture_output=True, text=True, cwd=cwd, check=False
    )


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.execute(["--help"]) == 0
    text = capsys.readouterr().out
    for verb in JOBS:
        assert f"\n  {verb} " in text
    assert set(cli.VERBS) == set(JOBS)


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["run", "--help"],
        ["demo", "--print-config"],
        ["completion", "bash"],
        ["completion", "words", "--", "label", "method="],
        ["schema"],
    ],
)
def test_help_needs_no_torch(words: list[str]) -> None:
    code = (
        "import sys; from boxseg import cli; status = cli.execute(sys.argv[1:]); "
        "assert 'torch' not in sys.modules and 'lightning' not in sys.modules; sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_list_of_verbs_needs_nothing_beyond_python() -> None:
    code = (
        "import sys; from boxseg import cli; cli.execute(['--help']); "
        "assert not {'pydantic', 'yaml', 'numpy', 'PIL', 'rich'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_doctor_needs_no_torch(tmp_path: Path) -> None:
    write_toy(tmp_path, train=12, val=1, size=64)
    code = (
        "import sys; from boxseg import cli; status = cli.execute(sys.argv[1:]); "
        "assert 'torch' not in sys.modules; sys.exit(status)"
    )
    words = ["doctor", f"data.root={tmp_path}"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_boxseg_imports_no_torch() -> None:
    code = "import sys, boxseg; boxseg.label, boxseg.BoxDataset; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rnu"], "boxseg: unknown verb 'rnu', did you mean 'run'?"),
        (["run", "data=nowhere", "out=o", "gird=1"], "boxseg: unknown option 'gird', did you mean 'grid'?"),
        (["doctor", "data=nowhere"], "nowhere"),
        (["run", "data=nowhere", "out=o"], "nowhere"),
        (["classify", "data=nowhere", "out=o"], "nowhere"),
        (["segment", "data=nowhere", "out=o", "labels=l"], "nowhere"),
        (["evaluate", "data=nowhere"], "one of checkpoint=FILE"),
        (["predict", "checkpoint=nowhere", "images=x", "out=o"], "nowhere"),
        (["label", "checkpoint=c", "data=nowhere", "out=o"], "nowhere"),
        (["label", "data=nowhere", "out=o"], "nowhere"),
        (["label", "data=nowhere", "out=o", "method=bap"], "label.method=bap needs checkpoint="),
        (["adapt", "data=nowhere", "out=o"], "nowhere"),
        (["label", "data=nowhere", "out=o", "method=sam"], "needs label.sam="),
    ],
)
def test_an_error_is_one_line_and_status_2(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.execute(words) == 2
    errors = capfd.readouterr().err
    assert message in errors
    assert len(errors.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_an_error_is_the_status_of_the_process(tmp_path: Path) -> None:
    done = command("doctor", "data=nowhere", cwd=tmp_path)
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = command("doctor", "data=nowhere", "--debug", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" in done.stderr


def test_help_shows_a_bare_word_as_it_is_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.execute(["download", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: boxseg download DATASET out=… [key=value …]")


def test_texts_from_data_are_shown_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "w[/x] [bold]"
    root.mkdir(parents=True)
    Image.new("RGB", (40, 30)).save(root / "a.jpg")
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    names = ("[red]dog[/red]", "[/b]")
    objects = "".join(f"<object><name>{name}</name>{box}</object>" for name in names)
    (root / "a.xml").write_text(f"<annotation>{objects}</annotation>")
    assert cli.execute(["doctor", str(root)]) == 0  # a bare word is the data set, as for `report`
    shown = capsys.readouterr().out
    assert "w[/x][bold]:voc,splittrain" in "".join(shown.split())
    assert all(name in shown for name in names)


def test_version() -> None:
    done = command("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "boxseg")


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    write_toy(tmp_path / "toy", train=3, val=1, size=64)
    return tmp_path / "toy"


def lines_of(flags: list[str], toy: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What `label` says on stderr, of a data set with a problem."""
    (toy / "JPEGImages" / "train_0000.jpg").write_bytes(b"no photo")
    capsys.readouterr()
    assert cli.execute(["label", "method=box", f"data={toy}", f"out={out}", "scores=false", *flags]) == 0
    printed = capsys.readouterr()
    assert "Masks: " in printed.out  # the result is printed, however quiet
    return printed.err.splitlines()


def test_what_is_said_by_level(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    usual = lines_of([], toy, tmp_path / "a", capsys)
    again = lines_of([], toy, tmp_path / "a", capsys)
    quiet = lines_of(["--quiet"], toy, tmp_path / "b", capsys)
    quiet_again = lines_of(["--quiet"], toy, tmp_path / "b", capsys)
    verbose = lines_of(["--verbose"], toy, tmp_path / "c", capsys)
    assert any(" elapsed" in line for line in usual)
    assert not any(" elapsed" in line for line in quiet)
    assert "label: labels of 2 of 2 photos are there already" in again
    assert quiet == quiet_again  # the problem, which is a warning
    assert "train_0000.jpg" in quiet[1]
    for said in (r"boxseg label data\.root=.* label\.method=box", r"label: \d+\.\d s"):
        assert any(re.fullmatch(rf"\d\d:\d\d:\d\d {said}", line) for line in verbose)
    assert any("split train: voc (by JPEGImages/" in line for line in verbose)


def test_quiet_and_verbose_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.execute(["doctor", "x", "--quiet", "--verbose"]) == 2
    assert capsys.readouterr().err == "boxseg: --quiet and --verbose exclude each other: give one of them\n"


def test_quiet_ends_with_its_command(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.execute(["doctor", str(toy), "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    assert cli.execute(["doctor", str(toy)]) == 0
    assert "decode: " in capsys.readouterr().err
