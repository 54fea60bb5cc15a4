"""The Tab key: what words may become, and the scripts in the shells themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from boxseg import cli
from boxseg.jobs import JOBS
from boxseg.options import RECIPES, complete_key, docstring, options_of
from boxseg.options.completion import FLAGS, OTHERS, SHELLS, TEXTS, candidates, script
from boxseg.plugins import register


def words(line: str) -> set[str]:
    """What the last word of a line may become; a line that ends in a blank ends in an empty word."""
    return set(candidates(line.split(" ")[1:]))


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "my photos", ".hidden"):
        Path(name).mkdir()
    Path("photos/train").mkdir()
    Path("mine.yaml").touch()


def test_every_verb_is_offered() -> None:
    assert words("boxseg ") == {*JOBS, *OTHERS}
    assert words("boxseg la") == {"label"}
    assert set(OTHERS) - set(cli._TOOLS) == {"--help", "--version"}


@pytest.mark.parametrize("verb", JOBS)
def test_every_option_can_be_reached_and_is_known(verb: str) -> None:
    job = JOBS[verb]
    reached, todo = set(), [""]
    while todo:
        for name in words(f"boxseg {verb} {todo.pop()}"):
            if name.endswith("."):
                todo.append(name)
            elif name.endswith("="):
                reached.add(complete_key(name[:-1], job, verb))
    assert reached == set(options_of(job))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("boxseg label me", {"method=", "merge="}),
        ("boxseg label label.m", {"label.method=", "label.masks."}),
        ("boxseg label label.c", {"label.class_map=", "label.corrections=", "label.crf.", "label.crf="}),
        ("boxseg label method=b", {"method=box", "method=bap"}),
        ("boxseg run segment.loss=ce", {"segment.loss=ce_crf", "segment.loss=ce_ret"}),
        ("boxseg run backbone=res", {"backbone=resnet50", "backbone=resnet101"}),
        ("boxseg label crf=", {"crf=true", "crf=false"}),
        ("boxseg label formats=[coco,y", {"formats=[coco,yolo-seg,", "formats=[coco,yolo-seg]"}),
        ("boxseg segment labels=g", {"labels=ground-truth"}),
        ("boxseg segment --labels g", {"ground-truth"}),
        ("boxseg download c", {"coco"}),
        ("boxseg download voc c", set()),
        ("boxseg reproduce fin", {"final-vgg", "final-resnet"}),
        ("boxseg label data=m", {"data=mine.yaml", "data=my photos/"}),
        ("boxseg label data=photos/", {"data=photos/train/"}),
        ("boxseg label data=.h", {"data=.hidden/"}),
        ("boxseg doctor ph", {"photos/"}),
        ("boxseg label -c m", {"mine.yaml", "mask_network", "my photos/"}),
        ("boxseg label --d", {"--debug"}),
        ("boxseg completion z", {"zsh"}),
        ("boxseg label nonsense=", set()),
        ("boxseg label data=nowhere/", set()),
        ("boxseg nonsense ", set()),
        ("boxseg schema ", set()),
    ],
)  # fmt: skip
def test_what_a_word_may_become(line: str, expected: set[str]) -> None:
    assert words(line) == expected


def test_recipes_are_offered_by_name() -> None:
    assert {path.stem for path in RECIPES.glob("*.yaml")} <= words("boxseg run -c ")


def test_what_is_set_is_not_offered_again() -> None:
    assert "out=" in words("boxseg label data=photos ")
    assert not {"out=", "data="} & words("boxseg label data=photos out=x ")


def test_names_of_plugins_are_offered() -> None:
    register("label_method", "magic-wand", print)
    assert candidates(["label", "method=mag"]) == {"method=magic-wand": "of a plug-in"}


@pytest.mark.parametrize("key", TEXTS)
def test_texts_that_are_offered_are_explained(key: str) -> None:
    explained = " ".join(options_of(job)[key].text for job in JOBS.values() if key in options_of(job))
    assert explained
    for text in TEXTS[key]:
        if key != "trainer.precision":  # all names of Lightning's, of which three are told
            assert text in explained, text


def test_flags_are_those_of_the_help_page() -> None:
    assert all(f" {flag} " in cli.SUMMARY for flag in FLAGS)


def test_descriptions_are_one_short_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.execute(["completion", "words", "--", "label", "label."]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "label.method=\tHow to make labels" in lines
    assert all(line.count("\t") == 1 and len(line.partition("\t")[2]) <= 70 for line in lines)
    assert docstring(JOBS["label"])[0].startswith(candidates(["lab"])["label"][:-1])


def test_flags_of_the_line_are_completed_and_not_followed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.execute(["completion", "words", "--", "label", "--quiet", "--verbose", "--qui"]) == 0
    assert capsys.readouterr().out.split("\t")[0] == "--quiet"
    assert cli.execute(["completion", "words", "--", "label", "--quiet"]) == 0
    assert capsys.readouterr().out.split("\t")[0] == "--quiet"


def test_an_unknown_shell_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.execute(["completion", "tcsh"]) == 2
    assert "no completion for 'tcsh'" in capsys.readouterr().err
    assert cli.execute(["completion"]) == 0
    usage = capsys.readouterr().out
    assert all(f"boxseg completion {shell} >" in usage for shell in SHELLS)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_can_read_its_script(shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    assert cli.execute(["completion", shell]) == 0
    printed = capsys.readouterr().out
    assert printed == script(shell)
    (tmp_path / "script").write_text(printed)
    done = subprocess.run([shell, "-n", "script"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# How a shell is asked what it would offer for a line, each candidate on a line of its own.
ASKED = {
    "bash": """
        source <(boxseg completion bash)
        complete -p boxseg > /dev/null || exit 1
        COMP_LINE="$1" COMP_POINT=${#1}
        _boxseg boxseg
        (( ${#COMPREPLY[@]} )) && printf '%s|\\n' "${COMPREPLY[@]}"
    """,
    # Outside its line editor zsh has no compadd: this one prints what it is given.
    "zsh": """
        function compdef { registered=$2 }
        function compadd {
            local end=' '
            [[ $1 == -S ]] && end=$2
            for word in "${(@P)@[-1]}"; do print -r -- "$word$end|"; done
        }
        source <(boxseg completion zsh)
        [[ $registered == boxseg ]] || exit 1
        words=("${(@s: :)1}") CURRENT=${#words} PREFIX=$words[-1]
        _boxseg
    """,
    "fish": """
        boxseg completion fish | source
        complete -C $argv[1] | string replace -r '\\t.*' '' | string replace -r '$' '|'
    """,
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("boxseg labe", ["label |"]),
        ("boxseg label meth", ["method=|"]),
        ("boxseg label method=gr", ["method=grabcut |"]),
        ("boxseg label -c coco_", ["coco_from_voc |"]),
        ("boxseg label data=pho", ["data=photos/|"]),
        ("boxseg label nonsense=", []),
    ],
)
def test_the_shell_offers_what_fits(shell: str, line: str, offered: list[str], tmp_path: Path) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    found = ask(shell, line, tmp_path)
    if shell == "bash" and not line.endswith("meth"):  # which completes only what follows the last =
        offered = [word.rpartition("=")[2] for word in offered]
    if shell == "fish":  # which knows itself where a blank follows
        offered = [word.replace(" |", "|") for word in offered]
    assert found == offered


def ask(shell: str, line: str, folder: Path) -> list[str]:
    (folder / "bin").mkdir()
    command = folder / "bin" / "boxseg"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m boxseg "$@"\n')
    command.chmod(0o755)
    alone = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    name = [] if shell == "fish" else [shell]
    done = subprocess.run(
        [shell, *alone, "-c", ASKED[shell], *name, line],
        env={**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


def test_bash_keeps_blanks_in_names_and_skips_assignments(tmp_path: Path) -> None:
    assert ask("bash", "CUDA_VISIBLE_DEVICES=0 boxseg label data=my", tmp_path) == ["my\\ photos/|"]
