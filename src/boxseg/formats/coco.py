"""COCO instances: one JSON file and a folder of photos.

    ROOT/annotations/instances_SPLIT.json      annotations (else instances_SPLIT2017.json and the like,
                                               SPLIT/_annotations.coco.json, SPLIT.json; data.annotations names
                                               any other)
    ROOT/SPLIT/FILE_NAME                       photos (else images/SPLIT, images, the folder of the annotations,
                                               ROOT itself, the only other folder; data.images names any other)

Classes 1..L are the categories by ascending ID. Crowds give no box and are ignored in the ground truth, which
is painted from the segmentations, smaller objects on top; an image has one when all of its objects have one.
Ids and numbers may be text where they are unambiguous; a box that is missing is that around the segmentation.
"""

from __future__ import annotations

import contextlib
import glob
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from boxseg.config import Data
from boxseg.dataset import BoxDataset, Instance, Problem, Sample
from boxseg.errors import DataError, did_you_mean
from boxseg.formats.boxes import judge_boxes
from boxseg.formats.coco_categories import fields_of, list_categories, number_of
from boxseg.formats.coco_rows import Annotations, ByImage, Images, column, has_regions, read_content
from boxseg.formats.files import is_file, listed
from boxseg.formats.joining import new_boxes
from boxseg.formats.listing import (
    READ_IN_SILENCE,
    AnnotatedBox,
    AnnotatedPhoto,
    Corners,
    LeftOut,
    Listing,
    Stream,
    sort_out,
)
from boxseg.formats.loose_numbers import ById, Id, as_id, is_set, number
from boxseg.formats.photo_names import NamedPhoto, locate_photos
from boxseg.formats.regions import is_void, packed, painter, region_bounds
from boxseg.formats.split_files import annotations_option, head
from boxseg.progress import Progress
from boxseg.wording import counted, counted_of

_PLAIN = {int, float}
LOOKED_FOR = "annotations/instances_*.json or */_annotations.coco.json (coco)"
_PATTERNS = ("annotations/instances_*.json", "*/_annotations.coco.json", "annotations/*.json", "*.json")


def annotation_files(root: Path) -> list[Path]:
    """Files below `root` that, by their place and start, may hold COCO annotations, the likeliest first."""
    sure = [path for pattern in _PATTERNS[:2] for path in sorted(listed(root, pattern))]
    others = [path for pattern in _PATTERNS[2:] for path in sorted(listed(root, pattern)) if _looks_right(path)]
    return list(dict.fromkeys([*sure, *others]))


def _looks_right(path: Path) -> bool:
    start = head(path)
    return b'"images"' in start or b'"annotations"' in start


def matches(root: Path) -> bool:
    """Whether a folder looks like a COCO data set, by file names alone."""
    return any(any(listed(root, pattern)) for pattern in _PATTERNS[:2])


def read(data: Data) -> Listing:
    """List the photos of one split with their boxes."""
    path = find_annotations(data)
    megabyte = 1 << 20
    size = path.stat().st_size if is_file(path) else 0  # what is wrong is said when it is read
    with Progress(f"read {path.name}, MB", size // megabyte, after=READ_IN_SILENCE) as bar:
        content = read_content(path, lambda done, _: bar.update(done // megabyte))
    others = partial(_other_files, data.root, path)
    categories, problems = sort_out(list_categories(content, path, others))
    ids = tuple(number_of(category) for category in categories)
    photos = Stream(partial(_photos, data, path, content, _classes(ids)), len(content["images"]))
    return Listing(
        root=data.root,
        classes=tuple(str(category["name"]) for category in categories),
        photos=photos,
        problems=problems,
        category_ids=ids,
        annotations=path,
        classes_from=f"the categories of {path.name}, by ascending id",
    )


def _classes(ids: Sequence[int]) -> ById[int]:
    """Classes 1..L by the ids of their categories."""
    return ById({number: label for label, number in enumerate(ids, start=1)})


def _other_files(root: Path, path: Path) -> Iterator[dict[str, Any]]:
    """The other annotation files of a data set, as far as they can be read."""
    for other in annotation_files(root):
        if other.resolve() != path.resolve():
            with contextlib.suppress(DataError):
                yield read_content(other)


def _photos(
    data: Data, path: Path, content: dict[str, Any], labels: ById[int]
) -> Iterator[AnnotatedPhoto | Problem]:
    places, problems = sort_out(_images(content["images"], path))
    yield from problems
    yield from _repeated(content["annotations"], path)
    by_image = ByImage(content["images"], content["annotations"])
    yield from _strays(content, by_image, path)
    # Without any segmentation in the data set, a photo without objects has no ground truth either.
    segmented = has_regions(content["annotations"])
    crowds = _has_crowds(content)
    yield from _doubtful_crowds(content, path)
    # It shows photos upright, but states the size of the stored pixels; to be removed when it no longer does:
    # https://github.com/HumanSignal/label-studio/issues/6608
    info: Any = content.get("info")
    size_tells = fields_of(info).get("contributor") != "Label Studio"
    split = _split_name(path)
    below = (split, f"images/{split}", data.split, f"images/{data.split}", "images")
    names = [content["images"][place]["file_name"] for place in places]
    named = locate_photos(data, path, names, below)
    yield from (found for found in named.values() if isinstance(found, Problem))
    for place, name in zip(places, names, strict=True):
        found = named.get(name)
        if not isinstance(found, NamedPhoto):
            continue
        image = content["images"][place]
        photo = AnnotatedPhoto(
            id=found.id,
            image=found.image,
            source=path,
            stated_size=_stated_size(image),
            size_tells=size_tells,
            image_id=as_id(image["id"]),
        )
        own = [(number, content["annotations"][number]) for number in by_image.of(place)]
        yield from _with_objects(photo, own, labels, segmented=segmented, crowds=crowds)


_Numbered = tuple[int, dict[str, Any]]  # place in the file, annotation


def _strays(content: dict[str, Any], by_image: ByImage, path: Path) -> Iterator[Problem]:
    """Annotations of images that there are not."""
    for place in by_image.strays:
        annotation = content["annotations"][place]
        detail = f"image_id {fields_of(annotation).get('image_id')!r}, {_called(annotation, place)}"
        yield Problem.skipped(path, "annotation without photo", detail)


def find_annotations(data: Data) -> Path:
    """The annotation file of a split."""
    if (path := annotations_option(data)) is not None:
        return path
    exact = ("annotations/instances_{}.json", "{}/_annotations.coco.json", "annotations/{}.json", "{}.json")
    for pattern in exact:
        if (path := data.root / pattern.format(data.split)).is_file():
            return path
    dated = sorted(listed(data.root, f"annotations/instances_{glob.escape(data.split)}[0-9]*.json"))
    if len(dated) == 1:
        return dated[0]
    found = annotation_files(data.root)
    # The only file is `train` if it names no split: else networks would be scored on their training photos.
    if data.split == "train" and len(found) == 1 and not any(word in found[0].stem for word in ("val", "test")):
        return found[0]
    there = sorted({_split_name(path) for path in found})
    raise DataError(
        f"{data.root} has no COCO split {data.split!r}{did_you_mean(data.split, there)} (looked for "
        f"annotations/instances_{data.split}.json and {data.split}/_annotations.coco.json; there are: "
        f"{', '.join(there) or 'no annotation files'}); name the file by data.annotations"
    )


def _split_name(path: Path) -> str:
    return path.parent.name if path.name == "_annotations.coco.json" else path.stem.removeprefix("instances_")


def _images(images: Sequence[Any], path: Path) -> Iterator[int | Problem]:
    """Places of the images that may be read, each id once."""
    if isinstance(images, Images) and images.numbers() is not None:  # as nearly always
        yield from range(len(images))
        return
    names: dict[Id, str] = {}
    for place, image in enumerate(images):
        name, number = fields_of(image).get("file_name"), as_id(fields_of(image).get("id"))
        if not isinstance(name, str) or not name:
            raise DataError(f"{path}: image number {place} has no file_name: {image}")
        if number is None:
            raise DataError(f"{path}: image number {place} has no id that is a whole number or a text: {image}")
        if number in names:
            if names[number] != name:
                raise DataError(f"{path}: 2 images of id {number!r}, {names[number]} and {name}: renumber one")
            yield Problem(
                file=path, kind="image listed twice", detail=f"id {number!r}, {name}", action="read once"
            )
            continue
        names[number] = name
        yield place


def _repeated(annotations: Sequence[Any], path: Path) -> Iterator[Problem]:
    """Report repeated annotation IDs: boxseg ignores IDs, but other tools keep only one annotation of each."""
    numbers = annotations.numbers("id") if isinstance(annotations, Annotations) else None
    if numbers is not None and len(np.unique(numbers)) == len(numbers):
        return
    ids = column(annotations, "id")
    for own_id, count in Counter(found for found in ids if isinstance(found, (int, str))).items():
        if count > 1:
            kind = "annotation ID used several times"
            yield Problem(file=path, kind=kind, detail=f"{own_id}, {counted(count, 'time')}", action="kept")


_Object = tuple[AnnotatedBox, Instance]


def _with_objects(
    photo: AnnotatedPhoto,
    annotations: list[_Numbered],
    labels: ById[int],
    *,
    segmented: bool,
    crowds: bool,
) -> Iterator[AnnotatedPhoto | Problem]:
    """The photo with its objects, and with ground truth if all of them have a segmentation."""
    objects: list[_Object] = []
    left_out: list[LeftOut] = []
    complete = True
    for place, annotation in annotations:
        called = f"{_called(annotation, place)} of {photo.image.name}"
        label, corners = labels.find(annotation.get("category_id")), _corners(annotation)
        if corners is None:
            complete = False
            yield Problem.skipped(photo.source, "box without four numbers", called)
            photo = replace(photo, unusable=True)
        elif label is None:
            complete = False
            detail = f"category_id {annotation.get('category_id')!r}, {called}"
            yield Problem.dropped(photo.source, "class unknown", detail)
            left_out.append(LeftOut(corners, annotation.get("segmentation")))
        else:
            crowd = crowds and _is_crowd(annotation)
            objects.append(_object(annotation, label, corners, called, crowd=crowd))
    boxes = [box for box, instance in objects if not instance.crowd]
    left_out += [
        LeftOut(box.corners, instance.region, instance.label) for box, instance in objects if instance.crowd
    ]
    bare = [box.name for box, instance in objects if instance.region is None]
    # If an object was dropped, the mask would show it as background.
    segmented = segmented and complete
    if segmented and bare:
        more = f" and {len(bare) - 1} more" if len(bare) > 1 else ""
        yield Problem(
            file=photo.source,
            kind="object without segmentation",
            detail=f"{bare[0]}{more}",
            action="image kept without ground truth",
        )
    instances, truth = None, None
    if segmented and not bare:
        instances = tuple(instance for _, instance in objects)
        truth = painter(instances, f"{photo.source}: {photo.image.name}")
    yield replace(photo, boxes=boxes, left_out=left_out, ground_truth=truth, instances=instances)


def _object(annotation: dict[str, Any], label: int, corners: Corners, called: str, *, crowd: bool) -> _Object:
    region, area = packed(annotation.get("segmentation")), annotation.get("area")
    own_id = as_id(annotation.get("id"))
    instance = Instance(label, None if is_void(region) else region, crowd, number(area), own_id)
    return AnnotatedBox(corners, label, called, annotation_id=own_id), instance


def _has_crowds(content: dict[str, Any]) -> bool:
    """Whether `iscrowd` means a crowd in this file: some tools set it for every object drawn as a mask.

    Crowds are the exception. If most objects were crowds, the set would be nearly without objects.
    """
    return 2 * len(_crowds(content)) <= len(content["annotations"])


def _crowds(content: dict[str, Any]) -> list[Any]:
    """The annotations that are said to be crowds."""
    annotations = content["annotations"]
    some = annotations.crowds() if isinstance(annotations, Annotations) else enumerate(annotations)
    return [annotation for _, annotation in some if _is_crowd(annotation)]


def _doubtful_crowds(content: dict[str, Any], path: Path) -> Iterator[Problem]:
    """Crowds that are none, or may be none: real ones are drawn as run-length codes."""
    found = _crowds(content)
    if not _has_crowds(content):
        detail = "a set of crowds alone would be without objects"
        yield Problem(file=path, kind="most annotations are iscrowd", detail=detail, action="read as objects")
        return
    drawn = [annotation for annotation in found if isinstance(annotation.get("segmentation") or {}, list)]
    if drawn:
        every = len(content["annotations"])
        yield Problem(
            file=path,
            kind="iscrowd on polygons, not on run-length codes",
            detail=f"{counted_of(len(drawn), every, 'annotation')}; if these are objects, set iscrowd to 0",
            action="read as crowds: no boxes, 255 in labels and scores",
        )


def _is_crowd(annotation: Any) -> bool:
    flag = fields_of(annotation).get("iscrowd")
    return flag != 0 and is_set(flag)


def states_box(annotation: dict[str, Any]) -> bool:
    """Whether an annotation has a box of four numbers; some tools write zeros for one that they do not have."""
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not _PLAIN.issuperset(map(type, box)):
        return False
    try:
        return any(box) and math.isfinite(sum(box))
    except OverflowError:  # whole numbers of hundreds of digits
        return False


def _corners(annotation: dict[str, Any]) -> Corners | None:
    """The box of an annotation; where it has none, that around its segmentation, or None."""
    box = annotation.get("bbox")
    if states_box(annotation):  # as nearly all do
        x, y, width, height = annotation["bbox"]
        return x, y, x + width, y + height
    values = [number(value) for value in box] if isinstance(box, list) and len(box) == 4 else []
    if not values or None in values or not any(values):
        around = region_bounds(packed(annotation.get("segmentation")))
        if around is not None or not values or None in values:
            return around
    x, y, width, height = (value or 0.0 for value in values)
    return x, y, x + width, y + height


def places_of_boxes(
    content: dict[str, Any], dataset: BoxDataset, samples: Sequence[Sample]
) -> Iterator[list[int]]:
    """For each sample, where its boxes' annotations are in the list of annotations, in the order of the boxes.

    Args:
        content: Of the annotation file.
        dataset: What was read from it.
        samples: Some of its samples.

    Raises:
        DataError: The samples were read from another content.
    """
    path, choice = dataset.annotations, dataset.choice
    assert path is not None
    labels = _classes(choice.category_ids if choice else dataset.category_ids)
    table = np.array([0, *(choice.labels if choice else range(1, len(dataset.classes) + 1))], dtype=np.int64)
    by_image, crowds = ByImage(content["images"], content["annotations"]), _has_crowds(content)
    images = by_image.finder()

    def boxes_of(image: Id) -> Iterator[tuple[int, AnnotatedBox]]:
        own = images.find(image)
        for place in by_image.of(own) if own is not None else []:
            annotation = content["annotations"][place]
            label, corners = labels.find(annotation.get("category_id")), _corners(annotation)
            if label is not None and corners is not None and not (crowds and _is_crowd(annotation)):
                yield place, AnnotatedBox(corners, label, "")

    for sample in samples:
        assert sample.image_id is not None
        found = list(boxes_of(sample.image_id))
        for more in sample.more_image_ids:
            others = list(boxes_of(more))
            new = new_boxes([box for _, box in found], [box for _, box in others])
            found += [one for one, is_new in zip(others, new, strict=True) if is_new]
        boxes = np.array([box.corners for _, box in found], dtype=np.float64).reshape(-1, 4)
        clipped, keep, _ = judge_boxes(boxes, sample.width, sample.height)
        own = table[np.array([box.label for _, box in found], dtype=np.int64)]
        keep &= own > 0
        if not np.array_equal(clipped[keep], sample.boxes) or not np.array_equal(own[keep], sample.labels):
            raise DataError(f"{path}: the boxes of {sample.id} have changed since it was read")
        yield [place for (place, _), kept in zip(found, keep.tolist(), strict=True) if kept]


def _stated_size(image: dict[str, Any]) -> tuple[int, int] | None:
    width, height = number(image.get("width")), number(image.get("height"))
    if width is None or height is None or not (0 < width < 1e6 and 0 < height < 1e6):
        return None
    return int(width), int(height)


def _called(annotation: Any, place: int) -> str:
    has_id = "id" in fields_of(annotation)
    return f"annotation {annotation['id']}" if has_id else f"number {place}"
