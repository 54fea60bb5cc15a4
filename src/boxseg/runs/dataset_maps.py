"""Confidence maps and reliable regions beside a data set made from labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from boxseg.atomic import atomic_path
from boxseg.dataset import Sample
from boxseg.errors import ConfigError
from boxseg.formats.files import is_file
from boxseg.progress import track
from boxseg.runs.layout import CONFIDENCE, RELIABLE
from boxseg.shards.find import home_of
from boxseg.shards.home import FileHome
from boxseg.wording import counted


def check_maps(folder: Path) -> None:
    """Check that a folder has maps.

    Raises:
        ConfigError: It has none.
    """
    home = home_of(folder)
    if not home.has_kind(CONFIDENCE) and not home.has_kind(RELIABLE):
        raise ConfigError(
            f"maps=true: {folder} has no confidence/ and no reliable/; only folders written by label or "
            "predict have them"
        )


def copy_maps(folder: Path, out: Path, samples: Sequence[Sample]) -> str:
    """Write OUT/reliable/ID.png and OUT/confidence/ID.png of photos that have them; returns a summary line.

    Args:
        folder: Made by `label` or `predict`.
        out: The data set.
        samples: Its photos.
    """
    home, target = home_of(folder), FileHome(out)
    copied = {CONFIDENCE: 0, RELIABLE: 0}
    for sample in track(samples, "maps"):
        for kind in copied:
            source = home.item(kind, sample.id)
            if is_file(source):
                with atomic_path(target.item(kind, sample.id)) as temporary:
                    temporary.write_bytes(source.read_bytes())
                copied[kind] += 1
    found, sure = copied[RELIABLE], copied[CONFIDENCE]
    return f"  maps: {counted(found, 'reliable region')}, {counted(sure, 'confidence map')}"
