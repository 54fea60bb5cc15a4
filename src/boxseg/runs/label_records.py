"""Classes and photos of labels without a data set, as `predict` records them beside its labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from boxseg.atomic import write_json
from boxseg.dataset import BACKGROUND_NAME, Sample
from boxseg.documents import as_record, read_json, read_record
from boxseg.errors import ConfigError
from boxseg.formats.files import content_digest, listed
from boxseg.remote.address import as_path
from boxseg.runs.layout import FINAL, LABEL_MAP, PHOTOS


def check_predictions(folder: Path, classes: Sequence[str], samples: Sequence[Sample]) -> None:
    """Check that a folder can take the predictions of a network, before any is written.

    Raises:
        ConfigError: It holds labels of other classes, of another photo of the same name, or that nobody
            recorded: they may be the user's own.
    """
    there = recorded_photos(folder)
    for sample in samples:
        other = there.get(sample.id)
        if other is None or other == sample.image.absolute() or not other.is_file():
            continue
        if content_digest(other) != content_digest(sample.image):  # not a copy
            raise ConfigError(
                f"out={folder} holds labels of {other}, another photo called {sample.id}: choose another out=…"
            )
    known = class_names(folder)
    if known and known != tuple(classes):
        raise ConfigError(
            f"out={folder} holds labels of other classes ({', '.join(known)}): choose another out=…"
        )
    if not known and any(listed(folder / FINAL, "**/*.png")):
        raise ConfigError(f"{folder / FINAL} holds masks that boxseg did not write: choose another out=…")


def record_classes(folder: Path, classes: Sequence[str]) -> None:
    """Write labelmap.json for labels without a data set."""
    named = [{"value": value, "name": name} for value, name in enumerate((BACKGROUND_NAME, *classes))]
    write_json(folder / LABEL_MAP, named)


def record_photos(folder: Path, samples: Sequence[Sample]) -> None:
    """Add to photos.json, for labels without a data set."""
    before = {name: str(path) for name, path in recorded_photos(folder).items()}
    write_json(folder / PHOTOS, before | {sample.id: str(sample.image.absolute()) for sample in samples})


def recorded_photos(home: Path) -> dict[str, Path]:
    """Photos by name from photos.json; empty without it."""
    file = home / PHOTOS
    if not file.is_file():
        return {}
    found = read_record(dict[str, Path], file, "photos by name: remove it, and give images=DIR")
    return {name: as_path(path) for name, path in found.items()}


@dataclass(frozen=True)
class _Named:
    """An entry of labelmap.json."""

    value: int
    name: str


def class_names(home: Path) -> tuple[str, ...]:
    """Names of classes 1..L from labelmap.json; empty without it, or if it is of another program."""
    file = home / LABEL_MAP
    content = read_json(file) if file.is_file() else None
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        return ()
    entries = as_record(list[_Named], content, file, "the names of label values: remove it, and give classes=")
    named = {entry.value: entry.name for entry in entries}
    return tuple(named[value] for value in sorted(named) if value > 0)
