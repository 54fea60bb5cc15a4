"""COCO instances: one JSON file and a folder of photos.

    ROOT/annotations/instances_SPLIT.json      annotations (else instances_SPLIT2017.json and the like,
                                               SPLIT/_annotations.coco.json, SPLIT.json; data.annotations names
                                               any other)
    ROOT/SPLIT/FILE_NAME                       photos (else images/SPLIT, images, the folder of the annotations,
                                               ROOT itself, the only other folder; data.images names any other)

Classes 1..L are the categories by ascending ID. Crowds give no box and are ignored in the ground truth, which
is painted from the segmentations, smaller objects on top; an image has one when all of its objects have one.
"""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from boxseg.config import Data
from boxseg.dataset import Instance, Problem, Sample
from boxseg.errors import DataError, did_you_mean
from boxseg.formats.boxes import judge_boxes
from boxseg.formats.files import listed, read_json
from boxseg.formats.listing import AnnotatedBox, AnnotatedPhoto, Corners, Listing, sort_out
from boxseg.formats.photo_names import locate_photos
from boxseg.formats.regions import is_void, packed, painter
from boxseg.formats.split_files import annotations_option, head

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
    content = parse(path)
    labels, classes = _categories(content["categories"], path)
    photos, problems = sort_out(_photos(data, path, content, labels))
    return Listing(
        root=data.root,
        classes=classes,
        photos=photos,
        problems=problems,
        category_ids=tuple(int(number) for number in labels),
        annotations=path,
    )


def _photos(
    data: Data, path: Path, content: dict[str, list[Any]], labels: dict[float, int]
) -> Iterator[AnnotatedPhoto | Problem]:
    images, problems = sort_out(_images(content["images"], path))
    yield from problems
    yield from _repeated(content["annotations"], path)
    objects, problems = _by_image(content, path)
    yield from problems
    # Without any segmentation in the data set, a photo without objects has no ground truth either.
    segmented = any(annotation.get("segmentation") for found in objects.values() for _, annotation in found)
    split = _split_name(path)
    below = (split, f"images/{split}", data.split, f"images/{data.split}", "images")
    named = locate_photos(data, path, [image["file_name"] for image in images], below)
    for found, image in zip(named, images, strict=False):
        if isinstance(found, Problem):
            yield found
            continue
        photo = AnnotatedPhoto(
            id=found.id,
            image=found.image,
            source=path,
            stated_size=_stated_size(image),
            image_id=image["id"],
        )
        yield from _with_objects(photo, objects[image["id"]], labels, segmented)


def _by_image(
    content: dict[str, list[Any]], path: Path
) -> tuple[dict[int | str, list[_Numbered]], list[Problem]]:
    found: dict[int | str, list[_Numbered]] = {image["id"]: [] for image in content["images"]}
    problems = []
    for number, annotation in enumerate(content["annotations"]):
        image_id = annotation.get("image_id") if isinstance(annotation, dict) else None
        if isinstance(image_id, (int, str)) and image_id in found:
            found[image_id].append((number, annotation))
        else:
            problems.append(Problem.skipped(path, "annotation without photo", _called(annotation, number)))
    return found, problems


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


def parse(path: Path) -> dict[str, list[Any]]:
    """The content of an annotation file; a DataError if it is no COCO instances."""
    content = read_json(path)
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DataError(
                f"{path}: no list {key!r}, expected COCO instances (images, annotations, categories)"
            )
    for key in ("images", "categories"):
        if not content[key]:
            raise DataError(f"{path}: the list {key!r} is empty")
    return dict(content)


def _categories(categories: list[Any], path: Path) -> tuple[dict[float, int], tuple[str, ...]]:
    for category in categories:
        if not isinstance(category, dict) or not _is_number(category.get("id")) or not category.get("name"):
            raise DataError(f"{path}: a category without id or name: {category}")
    for key in ("id", "name"):
        (value, count), *_ = Counter(category[key] for category in categories).most_common(1)
        if count > 1:
            raise DataError(f"{path}: {count} categories of {key} {value!r}, expected one")
    ordered = sorted(categories, key=lambda category: category["id"])
    labels = {category["id"]: label for label, category in enumerate(ordered, start=1)}
    return labels, tuple(str(category["name"]) for category in ordered)


def _images(images: list[Any], path: Path) -> Iterator[dict[str, Any] | Problem]:
    for number, image in enumerate(images):
        name = image.get("file_name") if isinstance(image, dict) else None
        if not isinstance(name, str) or not name or not isinstance(image.get("id"), (int, str)):
            raise DataError(f"{path}: image number {number} has no id or no file_name: {image}")
        yield image
    (value, count), *_ = Counter(image["id"] for image in images).most_common(1)
    if count > 1:
        raise DataError(f"{path}: {count} images of id {value!r}, expected one")


def _repeated(annotations: list[Any], path: Path) -> Iterator[Problem]:
    """Report repeated annotation IDs: boxseg ignores IDs, but other tools keep only one annotation of each."""
    ids = (annotation.get("id") for annotation in annotations if isinstance(annotation, dict))
    for number, count in Counter(found for found in ids if isinstance(found, (int, str))).items():
        if count > 1:
            kind = "annotation ID used several times"
            yield Problem(file=path, kind=kind, detail=f"{number}, {count} times", action="kept")


_Numbered = tuple[int, dict[str, Any]]  # place in the file, annotation
_Object = tuple[AnnotatedBox, Instance]


def _with_objects(
    photo: AnnotatedPhoto, annotations: list[_Numbered], labels: dict[float, int], segmented: bool
) -> Iterator[AnnotatedPhoto | Problem]:
    """The photo with its objects, and with ground truth if all of them have a segmentation."""
    objects, problems = sort_out(_objects(photo, annotations, labels))
    yield from problems
    crowds = [(box, instance) for box, instance in objects if instance.crowd]
    boxes = [box for box, instance in objects if not instance.crowd]
    photo = replace(photo, boxes=boxes, crowds=[box.corners for box, _ in crowds])
    source = f"{photo.source}: {photo.image.name}"
    if crowds:
        photo = replace(photo, ignored=painter([_drawn(*crowd) for crowd in crowds], source))
    bare = [box.name for box, instance in objects if instance.region is None]
    # If an object was dropped, the mask would show it as background.
    segmented = segmented and not problems
    if segmented and bare:
        more = f" and {len(bare) - 1} more" if len(bare) > 1 else ""
        yield Problem(
            file=photo.source,
            kind="object without segmentation",
            detail=f"{bare[0]}{more}",
            action="image kept without ground truth",
        )
    elif segmented:
        instances = tuple(instance for _, instance in objects)
        photo = replace(photo, ground_truth=painter(instances, source), instances=instances)
    yield photo


def _objects(
    photo: AnnotatedPhoto, annotations: list[_Numbered], labels: dict[float, int]
) -> Iterator[_Object | Problem]:
    for number, annotation in annotations:
        called = f"{_called(annotation, number)} of {photo.image.name}"
        label, corners = _label(annotation, labels), _corners(annotation)
        if label is None:
            detail = f"id {annotation.get('category_id')}, {called}"
            yield Problem.dropped(photo.source, "class unknown", detail)
        elif corners is None:
            yield Problem.dropped(photo.source, "box without four numbers", called)
        else:
            region, area = packed(annotation.get("segmentation")), annotation.get("area")
            known = annotation.get("id")
            own_id = known if isinstance(known, (int, str)) else None
            instance = Instance(
                label,
                None if is_void(region) else region,
                bool(annotation.get("iscrowd")),
                float(area) if _is_number(area) else None,
                own_id,
            )
            yield AnnotatedBox(corners, label, called, annotation_id=own_id), instance


def _label(annotation: dict[str, Any], labels: dict[float, int]) -> int | None:
    category = annotation.get("category_id")
    return labels.get(category) if _is_number(category) else None


def _corners(annotation: dict[str, Any]) -> Corners | None:
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value) for value in box):
        return None
    x, y, width, height = box
    return x, y, x + width, y + height


def _drawn(box: AnnotatedBox, crowd: Instance) -> Instance:
    """A crowd with its region, or its box if it has none."""
    left, top, right, bottom = box.corners
    return replace(crowd, region=crowd.region or [[left, top, right, top, right, bottom, left, bottom]])


def places_of_boxes(
    content: dict[str, list[Any]], samples: Sequence[Sample], path: Path
) -> Iterator[list[int]]:
    """For each sample, where its boxes' annotations are in the list of annotations, in the order of the boxes.

    Args:
        content: Of the annotation file.
        samples: What was read from it.
        path: The file, named in errors.

    Raises:
        DataError: The samples were read from another content.
    """
    labels, _ = _categories(content["categories"], path)
    by_image, _ = _by_image(content, path)
    for sample in samples:
        found = []
        assert sample.image_id is not None
        for number, annotation in by_image.get(sample.image_id, []):
            label, corners = _label(annotation, labels), _corners(annotation)
            if label is not None and corners is not None and not annotation.get("iscrowd"):
                found.append((number, label, corners))
        boxes = np.array([corners for *_, corners in found], dtype=np.float64).reshape(-1, 4)
        clipped, keep, _ = judge_boxes(boxes, sample.width, sample.height)
        own = np.array([label for _, label, _ in found], dtype=np.int64)[keep]
        if not np.array_equal(clipped[keep], sample.boxes) or not np.array_equal(own, sample.labels):
            raise DataError(f"{path}: the boxes of {sample.id} have changed since it was read")
        yield [number for (number, *_), kept in zip(found, keep.tolist(), strict=True) if kept]


def _stated_size(image: dict[str, Any]) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    if not _is_number(width) or not _is_number(height) or not (0 < width < 1e6 and 0 < height < 1e6):
        return None
    return int(width), int(height)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _called(annotation: Any, number: int) -> str:
    has_id = isinstance(annotation, dict) and "id" in annotation
    return f"annotation {annotation['id']}" if has_id else f"number {number}"
