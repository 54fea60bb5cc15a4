"""The package that is built: what is in it, and that it is the same whenever it is built."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKED = ("src", "pyproject.toml", "README.md", "LICENSE", "CMakeLists.txt")
# Of the sources, what a user has no use for.
LEFT_OUT = ("crf/cpp/", "crf/example.png", "crf/_crf.")

pytestmark = pytest.mark.skipif(find_spec("scikit_build_core") is None, reason="scikit-build-core builds it")


def build(folder: Path, *settings: str) -> Path:
    """Build the wheel from a copy of the sources."""
    for name in PACKED:
        source, target = ROOT / name, folder / "copy" / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "_crf.*"))
        else:
            shutil.copy(source, target)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    settings = tuple(f"--config-settings={setting}" for setting in settings)
    subprocess.run(
        [*command, *settings, "--wheel-dir", str(folder / "dist"), str(folder / "copy")],
        check=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
    )
    return next((folder / "dist").iterdir())


def test_it_holds_the_modules_and_data_and_nothing_else(tmp_path: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "src/boxseg"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    if not tracked:
        pytest.skip("not a clone")
    wheel = build(tmp_path, "wheel.cmake=false")
    expected = {name.removeprefix("src/") for name in tracked}
    expected = {name for name in expected if not any(part in name for part in LEFT_OUT)}
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
        information = {Path(name).name for name in archive.namelist() if ".dist-info/" in name}
    assert found == expected
    assert information >= {"METADATA", "RECORD", "WHEEL", "LICENSE", "entry_points.txt"}


@pytest.mark.slow
def test_two_builds_in_different_places_are_the_same_bytes(tmp_path: Path) -> None:
    one, two = build(tmp_path / "a"), build(tmp_path / "elsewhere" / "b")
    assert one.name == two.name
    assert one.read_bytes() == two.read_bytes()
