"""Confidence maps and reliable regions beside a data set made from labels."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from boxseg.atomic import atomic_path
from boxseg.dataset import Sample
from boxseg.errors import ConfigError
from boxseg.formats.files import is_file
from boxseg.progress import track
from boxseg.runs.layout import CONFIDENCE, RELIABLE, map_paths
from boxseg.wording import counted


def check_maps(home: Path) -> None:
    """Check that a folder has maps.

    Raises:
        ConfigError: It has none.
    """
    if not (home / CONFIDENCE).is_dir() and not (home / RELIABLE).is_dir():
        raise ConfigError(
            f"maps=true: {home} has no confidence/ and no reliable/; only folders written by label or predict "
            "have them"
        )


def copy_maps(home: Path, out: Path, samples: Sequence[Sample]) -> str:
    """Write OUT/reliable/ID.png and OUT/confidence/ID.png of photos that have them; returns a summary line.

    Args:
        home: Folder made by `label` or `predict`.
        out: The data set.
        samples: Its photos.
    """
    copied = [0, 0]
    for sample in track(samples, "maps"):
        pairs = zip(map_paths(home, sample), map_paths(out, sample), strict=True)
        for place, (source, file) in enumerate(pairs):
            if is_file(source):
                with atomic_path(file) as temporary:
                    shutil.copyfile(source, temporary)
                copied[place] += 1
    return f"  maps: {counted(copied[1], 'reliable region')}, {counted(copied[0], 'confidence map')}"
