"""Label Studio: the JSON export (a list of tasks) and the photos, anywhere below the folder.

    ROOT/project-1-at-….json   annotations (else SPLIT.json, SPLIT/….json; data.annotations names any other)
    ROOT/…/NAME                photos, found by their names (data.images names their folder)

Boxes are in percent of the photo. A rotated rectangle is replaced by the upright box around it. Polygons and
brushed masks are ground truth (see `formats.shapes`). Classes 1..L are the names used, sorted.

A task names its photo as an upload (/data/upload/1/3fa85f64-photo.jpg), in local storage
(/data/local-files/?d=dir/photo.jpg), by a URL or by a path. The name is looked up below the folder; for an
upload also without the eight digits in front.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from boxseg.config import Data
from boxseg.dataset import Problem
from boxseg.documents import read_json
from boxseg.errors import DataError
from boxseg.formats import label_studio_storage
from boxseg.formats.images import SUFFIXES, read_header
from boxseg.formats.label_studio_regions import (
    REGIONS,
    PhotoSize,
    label_of,
    labels_of,
    place_of,
    read_region,
    rotation,
    stated_size,
)
from boxseg.formats.listing import NAMES_USED, AnnotatedPhoto, LeftOut, Listing, sort_out
from boxseg.formats.photo_names import find_files, readings, without_upload_digits
from boxseg.formats.shapes import Shape, with_shapes
from boxseg.formats.split_files import find_split_file, head, images_option, split_files
from boxseg.formats.unsupported import unsupported_json
from boxseg.remote.address import commonpath

LOOKED_FOR = "a JSON list of tasks (label-studio)"

Task = dict[str, Any]

# A list of objects, or of none; not of names, as a list of classes is.
_TASKS = re.compile(rb"\[\s*[{\]]")
# Names of label values, which `label` writes beside its masks: these may lie in the data folder.
_CLASS_NAMES = re.compile(rb'\[\s*\{\s*"value"\s*:\s*\d+\s*,\s*"name"')


def is_export(path: Path) -> bool:
    """Whether a file looks like an export of Label Studio, its JSON-MIN, or an annotation from its storage."""
    start = head(path).lstrip(b"\xef\xbb\xbf \t\r\n")
    whole = bool(_TASKS.match(start)) and b'"category_id"' not in start and not _CLASS_NAMES.match(start)
    # Tasks have `data`, whose keys may be anything, those of other formats, too.
    whole = whole and (b'"data"' in start or not unsupported_json(path))
    return whole or label_studio_storage.is_annotation(path)


def matches(root: Path) -> bool:
    """Whether a folder holds an export of Label Studio."""
    return bool(_files(root))


def _files(root: Path) -> list[Path]:
    return [*split_files(root, ".json", is_export), *label_studio_storage.files_without_suffix(root)]


def read(data: Data) -> Listing:
    """List the photos of one split with their boxes."""
    path, tasks = _tasks(data)
    every = [result for found in tasks.values() for task in found for result in _results(task)]
    drawn = [result for result in every if REGIONS[result["type"]] != "other"]
    classes = tuple(sorted({name for result in drawn if (name := label_of(result))}))
    outlined = any(REGIONS[result["type"]] != "rectangle" for result in drawn)
    photos, problems = sort_out(_photos(data, path, tasks[path], classes, outlined))
    return Listing(root=data.root, classes=classes, photos=photos, classes_from=NAMES_USED, problems=problems)


def _tasks(data: Data) -> tuple[Path, dict[Path, list[Task]]]:
    """Where the tasks of a split are, and the tasks of all splits by their places."""
    files = _files(data.root)
    if data.annotations is None and files and all(map(label_studio_storage.is_annotation, files)):
        return label_studio_storage.read_tasks(data, files)
    path = find_split_file(data, ".json", is_export, "Label Studio, .json")
    tasks = {path: _parse(path)}
    for file in files:
        if file != path:
            with suppress(*[DataError] if data.annotations is not None else []):  # another list of objects
                tasks[file] = _parse(file)
    return path, tasks


def _photos(
    data: Data, path: Path, tasks: list[Task], classes: tuple[str, ...], outlined: bool
) -> Iterator[AnnotatedPhoto | Problem]:
    found, problems = sort_out(_photo_files(data, tasks, path))
    yield from problems
    top = commonpath([file.parent for _, file in found]) if found else data.root
    files = set(list(dict.fromkeys(file for _, file in found))[: data.limit])
    for task, file in found:
        if file not in files:
            continue
        photo = AnnotatedPhoto(id=file.relative_to(top).with_suffix("").as_posix(), image=file, source=path)
        yield from _with_objects(photo, task, classes, outlined, partial(_photo_size, data, file))


def _parse(path: Path) -> list[Task]:
    if label_studio_storage.is_annotation(path):
        return label_studio_storage.joined([path])
    content = read_json(path)
    if not isinstance(content, list) or not content:
        raise DataError(f"{path}: expected the JSON export of Label Studio, a list of tasks")
    for number, task in enumerate(content, start=1):
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
            raise DataError(
                f"{path}: task number {number} has no data: export it from Label Studio as JSON, not JSON-MIN"
            )
    return content


def _photo_files(data: Data, tasks: list[Task], path: Path) -> Iterator[tuple[Task, Path] | Problem]:
    addressed = [(task, address) for task in tasks if (address := _address(task["data"])) is not None]
    for number, task in enumerate(tasks, start=1):
        if _address(task["data"]) is None:
            yield Problem.skipped(path, "task without photo", f"number {number}")
    files = find_files([address for _, address in addressed], images_option(data) or data.root, path)
    plain = {file.name: file for file in files if isinstance(file, Path)}
    for (task, address), file in zip(addressed, files, strict=True):
        if isinstance(file, Problem) and (name := without_upload_digits(address)) in plain:
            yield task, plain[name]  # a second task of a photo, which was uploaded in between
        else:
            yield file if isinstance(file, Problem) else (task, file)


def _address(fields: dict[str, Any]) -> str | None:
    """Where a task says its photo is: the field `image`, or else the only field that names a photo."""
    if isinstance(fields.get("image"), str):
        return str(fields["image"])
    texts = [value for value in fields.values() if isinstance(value, str)]
    named = [text for text in texts if any(place.suffix.lower() in SUFFIXES for place in readings(text))]
    return named[0] if len(named) == 1 else None


def _annotations(task: Task) -> list[dict[str, Any]]:
    """The annotations of a task, the one to use last: one marked as ground truth, else the latest."""
    known = task.get("annotations") or task.get("completions")
    usable = [one for one in known if isinstance(one, dict)] if isinstance(known, list) else []
    usable = [one for one in usable if not one.get("was_cancelled") and isinstance(one.get("result"), list)]
    return sorted(usable, key=lambda one: (bool(one.get("ground_truth")), str(one.get("updated_at", ""))))


def _results(task: Task) -> list[dict[str, Any]]:
    """The regions drawn in a task, without choices, texts etc.; labels stored apart are put into them."""
    annotations = _annotations(task)
    found = [one for one in annotations[-1]["result"] if isinstance(one, dict)] if annotations else []
    apart: defaultdict[str, list[str]] = defaultdict(list)
    for one in found:
        if one.get("type") == "labels":
            apart[str(one.get("id"))] += labels_of(one)
    drawn = []
    for one in found:
        if isinstance(one.get("type"), str) and one["type"] in REGIONS and isinstance(one.get("value"), dict):
            labels = labels_of(one) or apart.get(str(one.get("id")), [])
            drawn.append({**one, "value": {**one["value"], "labels": labels}})
    return drawn


def _photo_size(data: Data, image: Path) -> PhotoSize:
    """The size of a photo as the tool shows it, for regions that do not state it; ValueError if unreadable."""
    try:
        return read_header(image, data.max_pixels).size(as_stored=data.exif == "ignore")
    except DataError:
        raise ValueError("region without the size of its photo, which cannot be read") from None


def _size(results: list[dict[str, Any]], photo_size: Callable[[], PhotoSize]) -> PhotoSize | None:
    """The size of the photo that the coordinates of its regions are made with."""
    stated = next(filter(None, map(stated_size, results)), None)
    try:
        return stated or (photo_size() if results else None)
    except ValueError:
        return None


def _with_objects(
    photo: AnnotatedPhoto,
    task: Task,
    classes: tuple[str, ...],
    outlined: bool,
    photo_size: Callable[[], PhotoSize],
) -> Iterator[AnnotatedPhoto | Problem]:
    """The photo with its objects; without annotations the task is skipped, as it may not be background."""
    source, name = photo.source, photo.image.name
    count = len(_annotations(task))
    if count == 0:
        yield Problem.skipped(source, "task not annotated", name)
        return
    if count > 1:
        yield Problem(
            file=source,
            kind="several annotations of one photo",
            detail=f"{count} of {name}",
            action="ground truth, else the latest kept",
        )
    results = _results(task)
    regions, problems = sort_out(_regions(photo, results, classes, photo_size))
    yield from problems
    shapes = [region for region in regions if isinstance(region, Shape)]
    photo = replace(
        photo,
        stated_size=_size(results, photo_size),
        left_out=[region for region in regions if isinstance(region, LeftOut)],
        unusable=any(problem.action == "skipped" for problem in problems),
    )
    yield from with_shapes(photo, shapes, complete=len(shapes) == len(results), outlined=outlined)


def _regions(
    photo: AnnotatedPhoto,
    results: list[dict[str, Any]],
    classes: tuple[str, ...],
    photo_size: Callable[[], PhotoSize],
) -> Iterator[Shape | LeftOut | Problem]:
    """The regions of a photo. One that cannot be read leaves its place out, or the photo if that is unknown."""
    source = photo.source
    for number, result in enumerate(results, start=1):
        names = labels_of(result)
        called = f"{result['type']} {number} ({', '.join(names) or 'no label'}) of {photo.image.name}"
        label = classes.index(names[0]) + 1 if names and names[0] in classes else 0
        try:
            shape = read_region(result, label, called, photo_size)
            degrees = rotation(result)
        except ValueError as error:
            place = place_of(result, photo_size)
            yield (Problem.dropped if place else Problem.skipped)(source, str(error), called)
            if place:
                yield LeftOut(place)
            continue
        if not label:
            yield Problem.dropped(source, "class missing", called)
            yield LeftOut(shape.box, shape.region)
            continue
        if len(names) > 1:
            action = f"kept as {names[0]}"
            yield Problem(file=source, kind="region with several labels", detail=called, action=action)
        if degrees:
            detail = f"{called}, by {degrees:g} degrees"
            action = "kept, as the upright box around it"
            yield Problem(file=source, kind="rotated rectangle", detail=detail, action=action)
        own_id = result.get("id")
        own_id = own_id if isinstance(own_id, str) else None
        parent = own_id if shape.region is None else result.get("parentID")
        group = parent if isinstance(parent, str) else None
        yield replace(shape, annotation_id=own_id, group=group)
