"""YOLO detection and segmentation folders: labels/*.txt beside images/, and a file that describes them.

    ROOT/data.yaml             names and splits (or what `yolo_places` lists)
    …/images/…/NAME.jpg        photos
    …/labels/…/NAME.txt        one object per line (see `yolo_rows`); or NAME.txt beside the photo

A photo without a label file shows no object, as the format defines; without data.yaml, nobody annotated it:
it is left out. An object given as a polygon has the polygon's bounds as its box. If all objects of a file are
polygons, they are the photo's ground truth. If all polygons of a split have four corners, they are rotated
boxes: these are replaced by the upright boxes around them, and are no ground truth. An object of unknown class
is ignored with its box, and a photo with a line that cannot be read is left out: neither is background.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import yaml

from boxseg.atomic import write_text
from boxseg.config import Data
from boxseg.config.data import DESCRIPTIONS
from boxseg.dataset import Problem
from boxseg.documents import read_lines
from boxseg.errors import DataError
from boxseg.formats.files import is_file, listed
from boxseg.formats.images import SUFFIXES
from boxseg.formats.listing import READ_IN_SILENCE, AnnotatedPhoto, LeftOut, Listing, sort_out
from boxseg.formats.regions import RegionMask
from boxseg.formats.split_files import annotations_option
from boxseg.formats.yolo_places import (
    SPLITS,
    Description,
    class_lists,
    describe,
    find_photos,
    find_without_yaml,
    find_yaml,
    numbered,
    read_description,
)
from boxseg.formats.yolo_rows import Outlined, UnreadableRow, four_corners, read_rows
from boxseg.progress import track
from boxseg.remote.hooks import ahead
from boxseg.wording import counted

LOOKED_FOR = "data.yaml, obj.data, or classes.txt with label files (yolo)"

_Read = tuple[AnnotatedPhoto, list[Outlined]]


def matches(root: Path) -> bool:
    """Whether a folder has the data.yaml of a YOLO data set."""
    return find_yaml(root) is not None


def matches_without_yaml(root: Path) -> bool:
    """Whether a folder is a YOLO data set without data.yaml."""
    return find_without_yaml(root) is not None


def read(data: Data) -> Listing:
    """List the photos of one split with their boxes."""
    named = annotations_option(data)
    path = named if named and named.suffix in DESCRIPTIONS else find_yaml(data.root)
    path = path or find_without_yaml(data.root)
    if path is None:
        raise DataError(
            f"{data.root}: no data.yaml, expected a YOLO data set (names, train, val); obj.data or classes.txt "
            "with label files would do"
        )
    description = describe(data.root, path, outside=data.outside)
    ids, classes = numbered(description.names, path)
    found = find_photos(description, data.split)
    names = found.ids()
    sources = {file: label_file(file) for file in names}
    # If there is no label file at all, the labels are elsewhere: the photos are not all background.
    if sources and not any(map(is_file, sources.values())):
        first = next(iter(sources.values()))
        raise DataError(
            f"{path}: none of {counted(len(sources), 'photo')} of {data.split!r} has labels ({first})"
        )
    read, problems = sort_out(_photos(data, description, sources, names, ids))
    photos, notes = sort_out(_with_ground_truth(read, path))
    problems = [*found.problems, *problems, *notes]
    return Listing(
        root=data.root,
        classes=classes,
        photos=photos,
        problems=problems,
        classes_from=f"the names in {path.name}",
    )


def _photos(
    data: Data, description: Description, sources: dict[Path, Path], names: dict[Path, str], ids: dict[int, int]
) -> Iterator[_Read | Problem]:
    yield from _orphans(sources)
    wanted = ahead(list(sources.items())[: data.limit], itemgetter(slice(1, 2)), small=True)
    for file, source in track(wanted, f"read labels of {data.split}", after=READ_IN_SILENCE):
        photo = AnnotatedPhoto(id=names[file], image=file, source=source, normalised=True)
        yield from _with_objects(photo, description, ids)


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
    """Where the labels of a photo are: the last folder `images` on its path becomes `labels`, or beside it."""
    parts = list(photo.parts)
    beside = photo.with_suffix(".txt")
    places = [place for place, part in enumerate(parts[:-1]) if part == "images"]
    if not places:
        return beside
    parts[places[-1]] = "labels"
    usual = type(photo)(*parts).with_suffix(".txt")
    return beside if not is_file(usual) and is_file(beside) else usual


def _with_objects(
    photo: AnnotatedPhoto, description: Description, ids: dict[int, int]
) -> Iterator[_Read | Problem]:
    """The photo with the objects of its label file, and their polygons."""
    source = photo.source
    if not is_file(source):
        if source.is_symlink() or source.exists():  # not missing: what it says is lost
            yield Problem.skipped(source, "label file that is no file, but a folder, pipe or broken link")
            return
        missing = Problem.skipped(source, "image without label file", photo.image.name)
        if description.whole:
            yield replace(missing, action="kept as background")
            yield photo, []
        else:
            yield missing
        return
    try:
        rows = read_rows(read_lines(source), source, ids, description.keypoints)
    except UnreadableRow as error:
        yield Problem.skipped(source, *error.args)
        return
    except DataError as error:
        yield Problem.skipped(source, "label file cannot be read", str(error))
        return
    yield from rows.notes
    boxes = [each.box for each in rows.objects]
    yield replace(photo, boxes=boxes, left_out=[*map(LeftOut, rows.unknown)]), rows.objects


def _with_ground_truth(read: list[_Read], path: Path) -> Iterator[AnnotatedPhoto | Problem]:
    """The photos, with the polygons of their objects as ground truth; `path` is named in problems."""
    polygons = [each.polygon for _, objects in read for each in objects if each.polygon is not None]
    if polygons and all(map(four_corners, polygons)):
        files = [photo.source for photo, objects in read if any(each.polygon for each in objects)]
        yield Problem(
            file=path,
            kind="rotated boxes",
            detail=f"{len(polygons)} of four corners in {counted(len(files), 'label file')}, as are all "
            f"polygons of the split; the first in {files[0].name}",
            action="kept, as the upright boxes around them; no ground truth",
        )
        polygons = []
    for photo, objects in read:
        own = [each.polygon for each in objects if each.polygon is not None]
        # In a data set of boxes, an empty label file says nothing about pixels.
        if polygons and len(own) == len(objects) and not photo.left_out and is_file(photo.source):
            labels = tuple(each.box.label for each in objects)
            photo = replace(photo, ground_truth=partial(_mask, own, labels, str(photo.source)))
        yield photo


def _mask(
    polygons: list[list[float]], labels: tuple[int, ...], source: str, width: int, height: int
) -> RegionMask:
    regions = tuple([[v * (height if i % 2 else width) for i, v in enumerate(polygon)]] for polygon in polygons)
    return RegionMask(regions, labels, source, width, height)


def _orphans(sources: dict[Path, Path]) -> list[Problem]:
    wanted = set(sources.values())
    folders = {
        source.parent: photo.parent for photo, source in sources.items() if source.parent != photo.parent
    }
    return [
        Problem.skipped(path, "annotation without photo", path.stem)
        for folder, images in folders.items()
        for path in sorted(set(listed(folder, "*.txt")) - wanted - set(class_lists(folder)))
        # Photos of another split may be in the same folder.
        if not any((images / f"{path.stem}{suffix}").is_file() for suffix in SUFFIXES)
    ]
