"""How sure labels are, beside a data set made of them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from boxseg.atomic import atomic_path
from boxseg.dataset import IGNORE, Sample
from boxseg.errors import ConfigError
from boxseg.formats.files import is_file
from boxseg.formats.masks import write_grey
from boxseg.progress import track
from boxseg.runs.label_source import read_agreed
from boxseg.runs.layout import CONFIDENCE, Y_CRF, Y_RET, map_paths


@dataclass(frozen=True, kw_only=True)
class Maps:
    """Where a folder made by `label` or `predict` says how sure its labels are.

    Attributes:
        pair: Folders of Y_crf and Y_ret, or None.
        confidence: Folder of confidence maps, or None.
    """

    pair: tuple[Path, Path] | None
    confidence: Path | None


def find_maps(home: Path) -> Maps:
    """What is known in a folder.

    Raises:
        ConfigError: Nothing is.
    """
    pair, confidence = (home / Y_CRF, home / Y_RET), home / CONFIDENCE
    maps = Maps(
        pair=pair if all(folder.is_dir() for folder in pair) else None,
        confidence=confidence if confidence.is_dir() else None,
    )
    if maps == Maps(pair=None, confidence=None):
        raise ConfigError(
            f"maps=true: {home} has neither y_crf/ and y_ret/ nor confidence/, which label and predict write"
        )
    return maps


def copy_maps(maps: Maps, out: Path, samples: Sequence[Sample], classes: int) -> str:
    """Write OUT/reliable/ID.png and OUT/confidence/ID.png of photos that have them; returns a line on them.

    Args:
        maps: Where they are.
        out: The data set.
        samples: Its photos.
        classes: L.

    Raises:
        DataError: A mask cannot be read.
    """
    reliable = sure = 0
    for sample in track(samples, "maps"):
        name = f"{sample.id}.png"
        confidence_file, reliable_file = map_paths(out, sample)
        if maps.pair and all(is_file(folder / name) for folder in maps.pair):
            agreed = read_agreed(maps.pair[0] / name, maps.pair[1] / name, classes) != IGNORE
            write_grey(reliable_file, np.where(agreed, np.uint8(255), np.uint8(0)))
            reliable += 1
        if maps.confidence and is_file(maps.confidence / name):
            with atomic_path(confidence_file) as temporary:
                shutil.copyfile(maps.confidence / name, temporary)
            sure += 1
    return f"  maps: {reliable} reliable regions, {sure} confidence maps"
