"""Where a YOLO data set says what its classes and photos are.

    data.yaml                                  names, path, and train, val, test: a folder, a list of folders,
                                               or a .txt list of photos
    obj.data, obj.names, train.txt             the same for darknet, as CVAT exports it
    classes.txt (_darknet.labels, X.names)     names alone, beside images/ and labels/ (Label Studio, which also
                                               writes notes.json), or in one folder with photos and labels

Entries and lists often come from another computer: of a path that is not there, the last parts are looked for.
Nothing is read from outside of the data set's folder, unless `data.outside` allows it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from boxseg.dataset import Problem
from boxseg.documents import parse_yaml, read_json, read_lines, read_text
from boxseg.errors import DataError, did_you_mean, shown
from boxseg.formats.files import is_below, is_file, listed, normal
from boxseg.formats.images import SUFFIXES
from boxseg.formats.photo_names import find_files
from boxseg.remote.address import commonpath, normpath
from boxseg.wording import counted

SPLITS = ("train", "val", "test")
# Other names of folders and entries of splits.
_OTHER_NAMES = {"valid": "val", "validation": "val"}
_NUMBER = re.compile(r"[0-9]{1,9}")
_CLASS_LISTS = ("classes.txt", "_darknet.labels", "*.names")


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a data set says of itself.

    Attributes:
        file: Where it says so.
        base: Folder that the entries are relative to.
        names: Names of the classes by their numbers, as found in the file.
        entries: Folders of photos, or lists of them, by split.
        inside: The folder that all of it must be in; None if it may be anywhere.
        refused: A folder outside of that which `path` names, and which was not taken as `base`.
        keypoints: How many numbers of key points follow each box.
        whole: Whether a photo without a label file is one without objects, and not one that nobody has
            annotated.
    """

    file: Path
    base: Path
    names: Any
    entries: dict[str, list[str]]
    inside: Path | None
    refused: Path | None = None
    keypoints: int = 0
    whole: bool = True


@dataclass
class Photos:
    """The photos of a split, the folders that their IDs are relative to, and what is there but is no photo."""

    files: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def ids(self) -> dict[Path, str]:
        """The ID of each photo: its path below all of the folders, without suffix."""
        top = commonpath([normal(folder) for folder in self.folders])
        names = (normal(file).relative_to(top) for file in self.files)
        return {file: name.with_suffix("").as_posix() for file, name in zip(self.files, names, strict=True)}


def find_yaml(root: Path) -> Path | None:
    """The description of a YOLO data set: data.yaml, data.yml, or the only YAML that looks like one."""
    for name in ("data.yaml", "data.yml", "dataset.yaml"):
        if (root / name).is_file():
            return root / name
    files = sorted([*listed(root, "*.yaml"), *listed(root, "*.yml")])
    found = [path for path in files if _is_description(path)]
    return found[0] if len(found) == 1 else None


def find_without_yaml(root: Path) -> Path | None:
    """What describes a data set without data.yaml: a file for darknet, or a list of classes beside labels."""
    for path in sorted(listed(root, "*.data")):
        if {"names", "train"} <= _darknet(path).keys():
            return path
    if not any(_labels(root)):
        return None
    patterns = (place + name for place in ("", "labels/", "*/", "labels/*/") for name in _CLASS_LISTS)
    found = next((path for pattern in patterns for path in sorted(listed(root, pattern))), None)
    return found or (root / "notes.json" if _names_in_notes(root / "notes.json") else None)


def describe(root: Path, file: Path, *, outside: bool) -> Description:
    """The description that a file gives, as found by `find_yaml` or `find_without_yaml`."""
    inside = None if outside else root
    if file.suffix in (".yaml", ".yml"):
        content = read_description(file)
        shape = content.get("kpt_shape")
        # The `path` in a downloaded data.yaml often belongs to another computer.
        top = file.parent / str(content.get("path") or "")
        there, allowed = _is_folder(top), _allowed(top, inside)
        return Description(
            file=file,
            base=top if there and allowed else file.parent,
            refused=top if there and not allowed else None,
            names=content.get("names"),
            entries=_entries(content),
            inside=inside,
            keypoints=math.prod(shape) if isinstance(shape, list) and all(map(_is_count, shape)) else 0,
        )
    if file.suffix == ".data":
        content = _darknet(file)
        listing = _located(file.parent, content["names"], is_file, inside)
        if listing is None:
            raise DataError(f"{file}: names {content['names']}, which is not there")
        names = _class_names(listing)
        return Description(file=file, base=file.parent, names=names, entries=_entries(content), inside=inside)
    named: Any = _names_in_notes(file) if file.suffix == ".json" else _class_names(file)
    return Description(file=file, base=root, names=named, entries=_folders(root), inside=inside, whole=False)


def read_description(path: Path) -> dict[str, Any]:
    """The content of a data.yaml."""
    text = read_text(path)
    content = parse_yaml(text, path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected keys names, train, val, got {type(content).__name__}")
    if isinstance(content.get("names"), (list, dict)):
        content["names"] = _as_written(text, path, content["names"])
    return content


def _as_written(text: str, path: Path, names: list[Any] | dict[Any, Any]) -> list[Any] | dict[Any, Any]:
    """The names of classes in a data.yaml as text: YAML takes `no` for false and `1.10` for 1.1."""
    # Unlike `yaml.safe_load`, it makes no objects of any kind but texts, lists and mappings.
    written: Any = parse_yaml(text, path, loader=yaml.BaseLoader).get("names")
    if type(written) is not type(names) or len(written) != len(names):
        return names  # of a kind that only the usual loader knows
    return dict(zip(names, written.values(), strict=True)) if isinstance(written, dict) else list(written)


def find_photos(description: Description, split: str) -> Photos:
    """The photos of a split.

    Raises:
        DataError: There is no such split, or no photo where it says.
    """
    path, entries = description.file, description.entries
    split = _OTHER_NAMES.get(split, split)
    if split not in entries:
        there = ", ".join(entries) or "none"
        raise DataError(
            f"{path} has no split {split!r}{did_you_mean(split, list(entries))} (there are: {there})"
        )
    photos = Photos()
    for entry in entries[split]:
        _add_entry(photos, description, entry, split)
    photos.files = list(dict.fromkeys(photos.files))
    if photos.problems and not photos.files:
        first = photos.problems[0]
        raise DataError(
            f"{path}: none of {counted(len(photos.problems), 'photo')} of {split!r} is there "
            f"({first.file.name} names "
            f"{first.detail}, looked for in {description.base} and below)"
        )
    return photos


def _add_entry(photos: Photos, description: Description, entry: str, split: str) -> None:
    path, base, inside = description.file, description.base, description.inside
    try:
        place = _located(base, entry, Path.exists, inside)
    except OSError as error:
        raise DataError(
            f"{path}: {split} names a path that this system cannot read ({error.strerror})"
        ) from error
    if place is not None and place.is_dir():
        if place.resolve() == Path(place.resolve().anchor):
            raise DataError(
                f"{path}: {split} names {entry}, all files of this computer: name a folder of photos"
            )
        found = [file for file in sorted(listed(place, "**/*")) if file.suffix.lower() in SUFFIXES]
        photos.files += filter(is_file, found)
        photos.problems += [
            Problem.skipped(file, "no file, but a folder, pipe or broken link", file.name)
            for file in found
            if not is_file(file)
        ]
        photos.folders.append(place)
    elif place is not None and place.suffix == ".txt":
        files, problems = _listed_photos(place, base, inside)
        photos.files += files
        photos.problems += problems
        photos.folders.append(commonpath([file.absolute().parent for file in files] or [base]))
    else:
        where = place or (description.refused or base) / entry
        if place is None and not _allowed(where, inside) and where.exists():
            raise DataError(
                f"{path}: {split} names {where}, outside of {inside}, where nothing is read: give the folder "
                "of the photos as data.root, or data.outside=true if you trust this file"
            )
        raise DataError(f"{path}: {split} names {entry}, which is neither a folder nor a .txt list ({where})")


def _listed_photos(file: Path, base: Path, inside: Path | None) -> tuple[list[Path], list[Problem]]:
    """The photos of a list, in its order, and a problem for each that is not there, or outside."""
    lines = [line.replace("\\", "/") for line in read_lines(file) if line]
    # `./` is relative to the list itself.
    places = [(file.parent if line.startswith("./") else base) / line for line in lines]
    written = {line: normpath(place) for line, place in zip(lines, places, strict=True)}
    lost = [line for line, place in written.items() if not _allowed(place, inside) or not is_file(place)]
    found = dict(zip(lost, find_files(lost, base, file), strict=True)) if lost else {}
    every = [found.get(line, written[line]) for line in dict.fromkeys(lines)]
    outside = {line for line in lost if not _allowed(written[line], inside) and is_file(written[line])}
    problems = [
        replace(one, kind="photo outside of the data set (data.outside=true reads it)")
        if line in outside
        else one
        for line, one in zip(dict.fromkeys(lines), every, strict=True)
        if isinstance(one, Problem)
    ]
    return [one for one in every if isinstance(one, Path)], problems


def _located(base: Path, entry: str, there: Callable[[Path], bool], inside: Path | None) -> Path | None:
    """The path that an entry names, or the one below the base with as many of its last parts as are there."""
    if _allowed(base / entry, inside) and there(base / entry):
        return base / entry
    parts = [
        part for part in PurePosixPath(entry.replace("\\", "/")).parts if part.strip("/") not in ("..", "")
    ]
    for start, part in enumerate(parts):
        if there(place := base.joinpath(*parts[start:])):
            return place
        if part in (*SPLITS, *_OTHER_NAMES):
            break  # the folder of another split is not meant
    return None


def _allowed(path: Path, inside: Path | None) -> bool:
    return inside is None or is_below(path, inside)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that the system does not allow
        return False


def _entries(content: dict[str, Any]) -> dict[str, list[str]]:
    """The entries of the splits that a description has, each as a list."""
    entries: dict[str, list[str]] = {}
    for name in (*SPLITS, *_OTHER_NAMES):
        if entry := content.get(name):
            places = entry if isinstance(entry, list) else [entry]
            entries.setdefault(_OTHER_NAMES.get(name, name), [str(place) for place in places])
    return entries


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and value > 0


def _folders(root: Path) -> dict[str, list[str]]:
    """The splits of a data set without description: folders of their names, else all photos as `train`."""
    top = "images" if (root / "images").is_dir() else "."
    named = {name: [f"{top}/{name}"] for name in (*SPLITS, *_OTHER_NAMES) if (root / top / name).is_dir()}
    return _entries(named) or {"train": [top]}


def _labels(root: Path) -> Iterator[Path]:
    """Label files of photos, by their places."""
    folders = ("labels", "labels/*", "*/labels")
    yield from (path for folder in folders for path in listed(root, f"{folder}/*.txt"))
    for pattern in ("*.txt", "*/*.txt"):
        for path in listed(root, pattern):
            if any(is_file(path.with_suffix(suffix)) for suffix in SUFFIXES):
                yield path


def _darknet(path: Path) -> dict[str, str]:
    """The `key = value` lines of a file for darknet."""
    try:
        pairs = [line.partition("=") for line in read_lines(path)]
    except DataError:
        return {}
    return {key.strip(): value.strip() for key, equals, value in pairs if equals and value.strip()}


def _class_names(path: Path) -> list[str]:
    lines = read_lines(path)
    while lines and not lines[-1]:
        del lines[-1]
    return lines


def _names_in_notes(path: Path) -> dict[int, str]:
    """Names of the classes in Label Studio's notes.json; empty if it is none."""
    try:
        content = read_json(path)
        return {int(category["id"]): str(category["name"]) for category in content["categories"]}
    except (DataError, KeyError, TypeError, ValueError):
        return {}


def _is_description(path: Path) -> bool:
    try:
        return {"names", "train"} <= read_description(path).keys()
    except DataError:
        return False


def numbered(names: Any, path: Path) -> tuple[dict[int, int], tuple[str, ...]]:
    """Class 1..L of each number, and the names of the classes, from a list or mapping of names."""
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names or not all(_NUMBER.fullmatch(str(key)) for key in names):
        raise DataError(f"{path}: expected names as a list or as numbers with names, got {shown(names)}")
    ordered = sorted((int(key), str(name)) for key, name in names.items())
    if len({name for _, name in ordered}) < len(ordered):
        raise DataError(f"{path}: two classes share a name in {shown([name for _, name in ordered])}")
    return {key: label for label, (key, _) in enumerate(ordered, start=1)}, tuple(name for _, name in ordered)


def class_lists(folder: Path) -> Iterable[Path]:
    """Lists of classes in a folder, which are no label files."""
    return (path for name in _CLASS_LISTS for path in folder.glob(name))
