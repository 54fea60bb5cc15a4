"""The container: what it copies is enough to build the package, and nothing else gets in."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Dockerfile").read_text()


def copied() -> list[str]:
    """Files and folders of the repository that the image is built from."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", TEXT, re.MULTILINE)
    return [name for line in lines for name in line.split()]


def test_all_that_the_build_reads_is_copied_and_let_in() -> None:
    tomllib = pytest.importorskip("tomllib", reason="tomllib came with Python 3.11")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {"pyproject.toml", "CMakeLists.txt", "src", project["readme"], *project["license-files"]}
    assert needed <= set(copied())
    assert all((ROOT / name).exists() for name in copied())
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")]
    assert sorted(let_in) == sorted(copied())
    compiled = [line for line in (ROOT / ".dockerignore").read_text().split() if line.endswith(".so")]
    assert any(fnmatch("src/boxseg/crf/_crf.so", pattern.replace("**/", "*/")) for pattern in compiled)


def test_the_command_is_boxseg_and_runs_the_demo() -> None:
    assert 'ENTRYPOINT ["boxseg"]' in TEXT
    assert 'CMD ["demo", "out=runs/demo"]' in TEXT
