"""YOLO detection and segmentation folders: data.yaml and labels/*.txt.

    ROOT/data.yaml             names (list or dict), path, and train, val, test: a folder, a list of folders, or
                               a .txt list of photos
    …/images/…/NAME.jpg        photos
    …/labels/…/NAME.txt        one object per line: class cx cy width height, as shares of the photo (or class
                               x0 y0 x1 y1 x2 y2 …, a polygon)

A photo without a label file shows no object, as the format defines. An object given as a polygon has the
polygon's bounds as its box. If all objects of a file are polygons, they are the photo's ground truth.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from boxseg.atomic import write_text
from boxseg.config import Data
from boxseg.dataset import Problem
from boxseg.errors import DataError, did_you_mean
from boxseg.formats.files import is_file, read_lines
from boxseg.formats.images import SUFFIXES
from boxseg.formats.listing import AnnotatedBox, AnnotatedPhoto, Listing, sort_out
from boxseg.formats.regions import RegionMask

LOOKED_FOR = "data.yaml (yolo)"
SPLITS = ("train", "val", "test")


def matches(root: Path) -> bool:
    """Whether a folder has the data.yaml of a YOLO data set."""
    return find_yaml(root) is not None


def find_yaml(root: Path) -> Path | None:
    """The description of a YOLO data set: data.yaml, data.yml, or the only YAML that looks like one."""
    for name in ("data.yaml", "data.yml", "dataset.yaml"):
        if (root / name).is_file():
            return root / name
    found = [path for path in sorted([*root.glob("*.yaml"), *root.glob("*.yml")]) if _is_description(path)]
    return found[0] if len(found) == 1 else None


def read(data: Data) -> Listing:
    """List the photos of one split with their boxes."""
    path = find_yaml(data.root)
    if path is None:
        raise DataError(f"{data.root}: no data.yaml, expected a YOLO data set (names, train, val)")
    description = read_description(path)
    ids, classes = _names(description, path)
    files, top = _photo_files(description, path, data.split)
    # If there is no label file at all, the labels are elsewhere: the photos are not all background.
    if files and not any(is_file(label_file(file)) for file in files):
        raise DataError(
            f"{path}: none of {len(files)} photos of {data.split!r} has labels ({label_file(files[0])})"
        )
    photos, problems = sort_out(_photos(data, files, top, ids))
    return Listing(root=data.root, classes=classes, photos=_with_empty_masks(photos), problems=problems)


def _photos(
    data: Data, files: list[Path], top: Path, ids: dict[int, int]
) -> Iterator[AnnotatedPhoto | Problem]:
    yield from _orphans(files)
    for file in files[: data.limit]:
        name = file.relative_to(top).with_suffix("").as_posix()
        photo = AnnotatedPhoto(id=name, image=file, source=label_file(file), normalised=True)
        yield from _with_objects(photo, ids)


def read_description(path: Path) -> dict[str, Any]:
    """The content of a data.yaml."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected keys names, train, val, got {type(content).__name__}")
    if isinstance(content.get("names"), (list, dict)):
        content["names"] = _as_written(text, content["names"])
    return content


def _as_written(text: str, names: list[Any] | dict[Any, Any]) -> list[Any] | dict[Any, Any]:
    """The names of classes in a data.yaml as text: YAML takes `no` for false and `1.10` for 1.1."""
    # Unlike `yaml.safe_load`, it makes no objects of any kind but texts, lists and mappings.
    written: Any = yaml.load(text, Loader=yaml.BaseLoader)["names"]
    if isinstance(names, list):
        return list(written)
    if len(written) != len(names):
        return names
    return dict(zip(names, written.values(), strict=True))


def start_description(root: Path, split: str, names: dict[int, str]) -> dict[str, Any]:
    """The content of data.yaml before a split is written: the existing one, or a new one."""
    if split not in SPLITS:
        raise DataError(f"split {split!r} has no place in data.yaml, expected one of {', '.join(SPLITS)}")
    path = root / "data.yaml"
    description: dict[str, Any] = read_description(path) if path.is_file() else {"names": names}
    if (there := description.get("names")) != names:
        raise DataError(f"{path} has other classes ({there}) than are to be written ({names})")
    return description


def finish_description(root: Path, split: str, description: dict[str, Any]) -> None:
    """Write data.yaml with an entry for a split, after the split's files."""
    entries = {**description, split: f"images/{split}"}
    write_text(root / "data.yaml", yaml.safe_dump(entries, sort_keys=False, allow_unicode=True))


def label_file(photo: Path) -> Path:
    """Where the labels of a photo are: the last folder `images` on its path becomes `labels`."""
    parts = list(photo.parts)
    places = [place for place, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return Path(*parts).with_suffix(".txt")


def _is_description(path: Path) -> bool:
    try:
        return {"names", "train"} <= read_description(path).keys()
    except DataError:
        return False


def _names(description: dict[str, Any], path: Path) -> tuple[dict[int, int], tuple[str, ...]]:
    names = description.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names or not all(str(key).isdigit() for key in names):
        raise DataError(f"{path}: expected names as a list or as numbers with names, got {names!r}")
    ordered = sorted((int(key), str(name)) for key, name in names.items())
    if len({name for _, name in ordered}) < len(ordered):
        raise DataError(f"{path}: two classes share a name in {[name for _, name in ordered]}")
    return {key: label for label, (key, _) in enumerate(ordered, start=1)}, tuple(name for _, name in ordered)


def _photo_files(description: dict[str, Any], path: Path, split: str) -> tuple[list[Path], Path]:
    """Photos of a split, and the folder that their IDs are relative to."""
    known = [name for name in SPLITS if description.get(name)]
    entry = description.get(split)
    if split not in SPLITS or not entry:
        there = ", ".join(known) or "none"
        raise DataError(f"{path} has no split {split!r}{did_you_mean(split, known)} (there are: {there})")
    top = path.parent / str(description.get("path") or "")
    # The `path` in a downloaded data.yaml often belongs to another machine.
    base = top if top.is_dir() else path.parent
    places = entry if isinstance(entry, list) else [entry]
    photos, folders = zip(*(_entry(base, str(place), path, split) for place in places), strict=True)
    return list(dict.fromkeys(itertools.chain(*photos))), Path(os.path.commonpath(folders))


def _entry(base: Path, entry: str, path: Path, split: str) -> tuple[list[Path], Path]:
    place = base / entry
    try:
        if not place.exists() and entry.startswith("../"):  # as exported by a widely used service
            place = base / entry[3:]
    except OSError as error:
        raise DataError(
            f"{path}: {split} names a path that this system cannot read ({error.strerror})"
        ) from error
    if place.is_dir():
        found = (path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        return sorted(found), place
    if place.is_file() and place.suffix == ".txt":
        # `./` is relative to the list itself.
        lines = [(place.parent if line.startswith("./") else base) / line for line in read_lines(place) if line]
        photos = [Path(os.path.normpath(line)) for line in lines]
        return photos, Path(os.path.commonpath([photo.parent for photo in photos])) if photos else base
    raise DataError(f"{path}: {split} names {entry}, which is neither a folder nor a .txt list ({place})")


def _with_objects(photo: AnnotatedPhoto, ids: dict[int, int]) -> Iterator[AnnotatedPhoto | Problem]:
    """The photo with the objects of its label file, and with ground truth if all are polygons."""
    source = photo.source
    if not is_file(source):
        missing = Problem.skipped(source, "image without label file", photo.image.name)
        yield replace(missing, action="kept as background")
        yield photo
        return
    try:
        lines = read_lines(source)
    except DataError as error:
        yield Problem.skipped(source, "label file cannot be read", str(error))
        return
    objects, problems = sort_out(_objects(lines, source, ids))
    yield from problems
    photo = replace(photo, boxes=[box for box, _ in objects])
    polygons = [polygon for _, polygon in objects if polygon is not None]
    if not problems and len(polygons) == len(objects):
        labels = tuple(box.label for box in photo.boxes)
        photo = replace(photo, ground_truth=partial(_mask, polygons, labels, str(source)))
    yield photo


def _mask(
    polygons: list[list[float]], labels: tuple[int, ...], source: str, width: int, height: int
) -> RegionMask:
    regions = tuple([[v * (height if i % 2 else width) for i, v in enumerate(polygon)]] for polygon in polygons)
    return RegionMask(regions, labels, source, width, height)


def _objects(
    lines: list[str], source: Path, ids: dict[int, int]
) -> Iterator[tuple[AnnotatedBox, list[float] | None] | Problem]:
    """Each object with its polygon x0 y0 x1 y1 …, if it has one, as shares of the photo."""
    for row, line in enumerate(lines, start=1):
        if not line:
            continue
        called = f"line {row}"
        word, *rest = line.split()
        try:
            key, values = float(word), [float(value) for value in rest]
        except ValueError:
            yield Problem.dropped(source, "not all numbers", called)
            continue
        if key not in ids:
            yield Problem.dropped(source, "class unknown", f"{word}, {called}")
        elif len(values) == 4:
            x, y, width, height = values
            corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            yield AnnotatedBox(corners, ids[int(key)], called), None
        elif len(values) >= 6 and len(values) % 2 == 0:
            across, down = values[::2], values[1::2]
            corners = (min(across), min(down), max(across), max(down))
            yield AnnotatedBox(corners, ids[int(key)], called), values
        else:
            kind = "neither a box (class cx cy w h) nor a polygon (class x0 y0 x1 y1 x2 y2 …)"
            yield Problem.dropped(source, kind, called)


def _orphans(photos: list[Path]) -> list[Problem]:
    wanted = {label_file(photo) for photo in photos}
    folders = {label_file(photo).parent: photo.parent for photo in photos if "images" in photo.parts}
    return [
        Problem.skipped(path, "annotation without photo", path.stem)
        for folder, images in folders.items()
        for path in sorted(set(folder.glob("*.txt")) - wanted - {folder / "classes.txt"})
        # Photos of another split may be in the same folder.
        if not any((images / f"{path.stem}{suffix}").is_file() for suffix in SUFFIXES)
    ]


def _with_empty_masks(photos: list[AnnotatedPhoto]) -> list[AnnotatedPhoto]:
    """Drop empty masks in a data set of boxes, where an empty label file says nothing about pixels."""
    if any(photo.boxes and photo.ground_truth for photo in photos):
        return photos
    return [replace(photo, ground_truth=None) for photo in photos]
