"""Which way the results in a run folder lie. Who has no shards does not wait for what reads them."""

from __future__ import annotations

import sys
from pathlib import Path

from boxseg.config import Label
from boxseg.shards.home import RUN, SHARDS, FileHome, Home


def home_of(folder: Path) -> Home:
    """The results in a run folder, for reading."""
    place = folder / SHARDS
    if not (place / RUN).is_file() and not any(place.glob("*.tar")):
        return FileHome(folder)
    from boxseg.shards.shards import ShardHome

    return ShardHome(folder)


def home_for(folder: Path, options: Label) -> Home:
    """The results of a run folder as `label` is to write them."""
    if options.store == "files":
        return FileHome(folder)
    from boxseg.shards.shards import ShardHome

    shards = options.shards
    return ShardHome(folder, photos=shards.most_photos, size=shards.most_megabytes * 1_000_000)


def forget_shards() -> None:
    """Forget what is known of shards, so that the next command says anew what is wrong with them."""
    if (module := sys.modules.get("boxseg.shards.shard_index")) is not None:
        module.forget_shards()
