from __future__ import annotations

from pathlib import Path

import pytest

from boxseg.data.toy import write_toy
from tiny_sam import write_sam


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_toy(folder, train=4, val=1, size=64, seed=5)
    return folder


@pytest.fixture(scope="module")
def sam_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sam")
    write_sam(folder, "sam")
    return folder
