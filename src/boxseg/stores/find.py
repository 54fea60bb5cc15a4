"""Which way the results in a run folder lie."""

from __future__ import annotations

from pathlib import Path

from boxseg.config import Label
from boxseg.stores.home import FileHome, Home
from boxseg.stores.shard_index import RUN
from boxseg.stores.shards import SHARDS, ShardHome


def home_of(folder: Path) -> Home:
    """The results in a run folder, for reading."""
    place = folder / SHARDS
    there = (place / RUN).is_file() or any(place.glob("*.tar"))
    return ShardHome(folder) if there else FileHome(folder)


def home_for(folder: Path, options: Label) -> Home:
    """The results of a run folder as `label` is to write them."""
    if options.store == "files":
        return FileHome(folder)
    return ShardHome(folder, photos=options.shards.most_photos, size=options.shards.most_megabytes * 1_000_000)
