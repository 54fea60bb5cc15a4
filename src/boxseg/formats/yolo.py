"""YOLO detection and segmentation folders: data.yaml and labels/*.txt, read and written.

    ROOT/data.yaml             names (list or dict), path, and train, val, test: a folder, a list of folders, or
                               a .txt list of photos
    …/images/…/NAME.jpg        photos
    …/labels/…/NAME.txt        one object a line: class cx cy width height, as shares of the photo (or class
                               x0 y0 x1 y1 x2 y2 …, a polygon)

A photo without label file shows no object: the format's own rule. An object given as a polygon has the
polygon's bounds as its box, and where all objects of a file are polygons they are the photo's ground truth.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from boxseg.atomic import write_text
from boxseg.config import Data
from boxseg.dataset import BoxDataset, Problem
from boxseg.errors import DataError, did_you_mean
from boxseg.formats.assemble import Item, Listing
from boxseg.formats.files import is_file, number, place_photo, read_lines
from boxseg.formats.images import SUFFIXES
from boxseg.formats.regions import RegionMask

LOOKED_FOR = "data.yaml (yolo)"
SPLITS = ("train", "val", "test")


def find_yaml(root: Path) -> Path | None:
    """The description of a YOLO data set: data.yaml, data.yml, or the only YAML that looks like one."""
    for name in ("data.yaml", "data.yml", "dataset.yaml"):
        if (root / name).is_file():
            return root / name
    found = [path for path in sorted([*root.glob("*.yaml"), *root.glob("*.yml")]) if _is_description(path)]
    return found[0] if len(found) == 1 else None


def read(data: Data) -> Listing:
    """List the images of one split with their boxes.

    Raises:
        DataError: No data.yaml, no such split in it, or no names.
    """
    path = find_yaml(data.root)
    if path is None:
        raise DataError(f"{data.root}: no data.yaml, expected a YOLO data set (names, train, val)")
    description = _parse(path)
    ids, classes = _names(description, path)
    photos, top = _photos(description, path, data.split)
    # A data set without any label file is not one full of empty photos, but one whose labels lie elsewhere.
    if photos and not any(is_file(label_file(photo)) for photo in photos):
        raise DataError(
            f"{path}: none of {len(photos)} photos of {data.split!r} has labels ({label_file(photos[0])})"
        )
    listing = Listing(root=data.root, classes=classes, items=[], problems=_orphans(photos))
    for photo in photos[: data.limit]:
        name = photo.relative_to(top).with_suffix("").as_posix()
        item = Item(
            id=name, image=photo, source=label_file(photo), boxes=[], labels=[], names=[], normalised=True
        )
        try:
            listing.items.append(_with_objects(item, ids, listing.problems))
        except DataError as error:
            what = f"label file cannot be read: {error}"
            listing.problems.append(Problem(file=item.source, what=what, action="skipped"))
    return replace(listing, items=_complete(listing.items))


def write(dataset: BoxDataset, root: Path) -> None:
    """Write one split: photos to images/SPLIT, boxes to labels/SPLIT, and its entry in data.yaml.

    Raises:
        DataError: The split has no place in data.yaml, or other classes are in it already.
    """
    description = start_description(root, dataset.split, dict(enumerate(dataset.classes)))
    for sample in dataset.samples:
        photo = place_photo(sample, root / "images" / dataset.split, SUFFIXES)
        shares = sample.boxes / np.array([sample.width, sample.height, sample.width, sample.height])
        lines = []
        for (x1, y1, x2, y2), label in zip(shares, sample.labels, strict=True):
            values = ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)
            lines.append(f"{label - 1} {' '.join(map(number, values))}\n")
        write_text(label_file(photo), "".join(lines))
    finish_description(root, dataset.split, description)


def start_description(root: Path, split: str, names: dict[int, str]) -> dict[str, Any]:
    """The content of data.yaml before a split is written: that of the splits there, or a new one.

    Raises:
        DataError: The split has no place in data.yaml, or other classes are in it already.
    """
    if split not in SPLITS:
        raise DataError(f"split {split!r} has no place in data.yaml, expected one of {', '.join(SPLITS)}")
    path = root / "data.yaml"
    description: dict[str, Any] = _parse(path) if path.is_file() else {"names": names}
    if description.get("names") != names:
        raise DataError(
            f"{path} has other classes ({description.get('names')}) than are to be written ({names})"
        )
    return description


def finish_description(root: Path, split: str, description: dict[str, Any]) -> None:
    """Write data.yaml with an entry for a split whose files are there."""
    entries = {**description, split: f"images/{split}"}
    write_text(root / "data.yaml", yaml.safe_dump(entries, sort_keys=False, allow_unicode=True))


def label_file(photo: Path) -> Path:
    """Where the labels of a photo are: the last folder `images` on its path becomes `labels`."""
    parts = list(photo.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _parse(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected keys names, train, val, got {type(content).__name__}")
    return content


def _is_description(path: Path) -> bool:
    try:
        return {"names", "train"} <= _parse(path).keys()
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
        raise DataError(f"{path}: two classes of one name in {[name for _, name in ordered]}")
    return {key: label for label, (key, _) in enumerate(ordered, start=1)}, tuple(name for _, name in ordered)


def _photos(description: dict[str, Any], path: Path, split: str) -> tuple[list[Path], Path]:
    """Photos of a split, and the folder that their IDs are relative to."""
    known = [name for name in SPLITS if description.get(name)]
    entry = description.get(split)
    if split not in SPLITS or not entry:
        there = ", ".join(known) or "none"
        raise DataError(f"{path} has no split {split!r}{did_you_mean(split, known)} (there are: {there})")
    top = path.parent / str(description.get("path") or "")
    # The `path` of a downloaded data.yaml often is another machine's.
    base = top if top.is_dir() else path.parent
    photos: list[Path] = []
    folders: list[Path] = []
    for one in entry if isinstance(entry, list) else [entry]:
        found, folder = _entry(base, str(one), path, split)
        photos += found
        folders.append(folder)
    return list(dict.fromkeys(photos)), Path(os.path.commonpath(folders))


def _entry(base: Path, entry: str, path: Path, split: str) -> tuple[list[Path], Path]:
    place = base / entry
    try:
        if not place.exists() and entry.startswith("../"):  # as exported by a widely used service
            place = base / entry[3:]
    except OSError as error:
        raise DataError(f"{path}: {split} names a place that cannot be ({error.strerror})") from error
    if place.is_dir():
        return sorted(
            photo for photo in place.rglob("*") if photo.suffix.lower() in SUFFIXES and photo.is_file()
        ), place
    if place.is_file() and place.suffix == ".txt":
        photos = [Path(os.path.normpath(_listed(base, place, line))) for line in read_lines(place) if line]
        return photos, Path(os.path.commonpath([photo.parent for photo in photos])) if photos else base
    raise DataError(f"{path}: {split} names {entry}, which is neither a folder nor a .txt list ({place})")


def _listed(base: Path, place: Path, line: str) -> Path:
    if line.startswith("./"):  # relative to the list itself
        return place.parent / line
    return base / line


def _with_objects(item: Item, ids: dict[int, int], problems: list[Problem]) -> Item:
    if not is_file(item.source):
        what = f"image without label file: {item.image.name}"
        problems.append(Problem(file=item.source, what=what, action="kept as background"))
        return item
    polygons: list[list[float]] = []
    complete = True
    for row, line in enumerate(read_lines(item.source), start=1):
        if not line:
            continue
        try:
            label, values = _line(line, ids)
        except ValueError as error:
            problems.append(Problem(file=item.source, what=f"{error}: line {row}", action="dropped"))
            complete = False
            continue
        if len(values) == 4:
            x, y, width, height = values
            item.boxes.append((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
            complete = False
        else:
            item.boxes.append((min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])))
            polygons.append(values)
        item.labels.append(label)
        item.names.append(f"line {row}")
    if not complete:
        return item
    labels = tuple(item.labels)

    def ground_truth(width: int, height: int) -> RegionMask:
        regions = tuple(
            [[v * (height if i % 2 else width) for i, v in enumerate(polygon)]] for polygon in polygons
        )
        return RegionMask(regions, labels, width, height, str(item.source))

    return replace(item, ground_truth=ground_truth)


def _line(line: str, ids: dict[int, int]) -> tuple[int, list[float]]:
    words = line.split()
    try:
        key, values = float(words[0]), [float(word) for word in words[1:]]
    except ValueError:
        raise ValueError("not all numbers") from None
    if key not in ids:
        raise ValueError(f"class unknown {words[0]}")
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise ValueError("neither a box (class cx cy w h) nor a polygon (class x0 y0 x1 y1 x2 y2 …)")
    return ids[int(key)], values


def _orphans(photos: list[Path]) -> list[Problem]:
    wanted = {label_file(photo) for photo in photos}
    folders = {label_file(photo).parent: photo.parent for photo in photos if "images" in photo.parts}
    alone = [
        path
        for folder, images in folders.items()
        for path in sorted(set(folder.glob("*.txt")) - wanted - {folder / "classes.txt"})
        # Photos of another split may lie in the same folder.
        if not any((images / f"{path.stem}{suffix}").is_file() for suffix in SUFFIXES)
    ]
    return [
        Problem(file=path, what=f"annotation without photo: {path.stem}", action="skipped") for path in alone
    ]


def _complete(items: list[Item]) -> list[Item]:
    # An empty label file is ground truth only among files of polygons; among boxes it says nothing of pixels.
    if any(item.boxes and item.ground_truth for item in items):
        return items
    return [replace(item, ground_truth=None) for item in items]
