"""Confidence maps and reliable regions beside a data set made from labels."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from boxseg.atomic import atomic_path
from boxseg.dataset import IGNORE, Sample
from boxseg.errors import ConfigError
from boxseg.formats.files import is_file
from boxseg.formats.masks import write_grey
from boxseg.progress import track
from boxseg.runs.label_source import read_agreed
from boxseg.runs.layout import CONFIDENCE, LABELS, label_paths, map_paths


def check_maps(home: Path) -> None:
    """Check that a folder has both kinds of labels, or confidence maps.

    Raises:
        ConfigError: It has neither.
    """
    if not (home / CONFIDENCE).is_dir() and not all((home / name).is_dir() for name in LABELS):
        raise ConfigError(
            f"maps=true: {home} has no y_crf/ and y_ret/ and no confidence/; only folders written by label or "
            "predict have them"
        )


def copy_maps(home: Path, out: Path, samples: Sequence[Sample], classes: int) -> str:
    """Write OUT/reliable/ID.png and OUT/confidence/ID.png of photos that have them; returns a summary line.

    Args:
        home: Folder made by `label` or `predict`.
        out: The data set.
        samples: Its photos.
        classes: L.

    Raises:
        DataError: A mask cannot be read.
    """
    reliable = sure = 0
    for sample in track(samples, "maps"):
        pair, (known, _) = label_paths(home, sample), map_paths(home, sample)
        confidence_file, reliable_file = map_paths(out, sample)
        if all(is_file(path) for path in pair):
            agreed = read_agreed(*pair, classes) != IGNORE
            write_grey(reliable_file, np.where(agreed, np.uint8(255), np.uint8(0)))
            reliable += 1
        if is_file(known):
            with atomic_path(confidence_file) as temporary:
                shutil.copyfile(known, temporary)
            sure += 1
    return f"  maps: {reliable} reliable regions, {sure} confidence maps"
