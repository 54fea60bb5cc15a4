"""What is compiled for one instruction set runs on processors that have it, and nowhere else.

A library for all processors holds code for the newest. Two things would run it on an older one: a global
variable that is set up at its start, and functions of headers: of several copies the linker keeps one.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "boxseg" / "crf" / "cpp" / "level.cpp"
AVX512 = ["-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq"]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("c++")
    if compiler is None or not all(shutil.which(tool) for tool in ("nm", "objdump")):
        pytest.skip("no C++ compiler with nm and objdump here")
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("other processors have one instruction set only")
    file = tmp_path_factory.mktemp("compiled") / "level.o"
    options = ["-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-Wno-psabi", *AVX512]
    defined = ["-DCRF_ISA=avx512", "-DCRF_LANES=16"]
    subprocess.run([compiler, *options, *defined, "-c", str(SOURCE), "-o", str(file)], check=True)
    return file


def printed(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_other_code_can_call_nothing_but_its_two_functions(compiled: Path) -> None:
    symbols = printed("nm", "-C", "-g", "--defined-only", "--format=just-symbols", str(compiled)).splitlines()
    assert sorted(symbol.split("(")[0] for symbol in symbols) == ["crf_infer_avx512", "crf_lattice_avx512"]


def test_nothing_runs_when_the_library_is_loaded(compiled: Path) -> None:
    sections = printed("objdump", "-h", str(compiled))
    assert ".text" in sections
    assert not [name for name in (".init_array", ".ctors", ".preinit_array") if name in sections]
