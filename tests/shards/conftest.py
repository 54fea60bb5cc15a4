"""Shards of the tests: an empty home of three photos a shard, and no index kept from the test before."""

from __future__ import annotations

from pathlib import Path

import pytest

from boxseg.shards.shard_index import forget_shards
from boxseg.shards.shards import ShardHome


@pytest.fixture(autouse=True)
def new_command() -> None:
    forget_shards()


@pytest.fixture
def home(tmp_path: Path) -> ShardHome:
    return ShardHome(tmp_path, photos=3).begin()
