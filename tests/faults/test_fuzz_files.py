"""A few seeds of the fuzzer of files; more by `python tests/faults/fuzz_files.py`."""

from __future__ import annotations

import pytest

from fuzz_files import Fuzzer


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Fuzzer:
    return Fuzzer(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_only_errors_of_boxseg_come_out(seed: int, fuzzer: Fuzzer) -> None:
    fuzzer.one(seed)
