"""COCO instances: one JSON file and a folder of photos, read and written.

    ROOT/annotations/instances_SPLIT.json      annotations (else instances_SPLIT2017.json and the like,
                                               SPLIT/_annotations.coco.json, SPLIT.json; data.annotations names
                                               any other)
    ROOT/SPLIT/FILE_NAME                       photos (else images/SPLIT, images, the folder of the annotations,
                                               ROOT itself; data.images names any other)

Classes 1..L are the categories by ascending ID. Crowds give no box and are ignored in the ground truth, which
is painted from the segmentations, smaller objects on top; an image has one when all of its objects have one.
"""

from __future__ import annotations

import glob
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

from boxseg.atomic import write_text
from boxseg.config import Data
from boxseg.dataset import IGNORE, BoxDataset, Instance, Problem
from boxseg.errors import DataError, did_you_mean
from boxseg.formats.assemble import Item, Listing
from boxseg.formats.files import is_file, leads_out, place_photo
from boxseg.formats.images import SUFFIXES
from boxseg.formats.regions import RegionMask, is_void, packed
from boxseg.formats.split_files import annotations_option

LOOKED_FOR = "annotations/instances_*.json or */_annotations.coco.json (coco)"
_PATTERNS = ("annotations/instances_*.json", "*/_annotations.coco.json", "annotations/*.json", "*.json")


def annotation_files(root: Path) -> list[Path]:
    """Every file below `root` that by its place may hold COCO annotations, the likeliest first."""
    return list(dict.fromkeys(path for pattern in _PATTERNS for path in sorted(root.glob(pattern))))


def matches(root: Path) -> bool:
    """Whether a folder looks like a COCO data set, by file names alone."""
    return any(any(root.glob(pattern)) for pattern in _PATTERNS[:2])


def read(data: Data) -> Listing:
    """List the images of one annotation file with their boxes.

    Raises:
        DataError: No such split, or the file is no COCO instances file.
    """
    path = find_annotations(data)
    content = _parse(path)
    labels, classes = _categories(content["categories"], path)
    ids = tuple(int(number) for number in labels)
    listing = Listing(root=data.root, classes=classes, items=[], problems=[], category_ids=ids)
    images = _images(content["images"], path, listing.problems)
    by_image: dict[int | str, list[_Object]] = {image["id"]: [] for image in content["images"]}
    segmented = False
    listing.problems.extend(_repeated(content["annotations"], path))
    for number, annotation in enumerate(content["annotations"]):
        place = annotation.get("image_id") if isinstance(annotation, dict) else None
        if isinstance(place, (int, str)) and place in by_image:
            by_image[place].append((number, annotation))
            segmented |= bool(annotation.get("segmentation"))
        else:
            what = f"annotation without photo: {_called(annotation, number)}"
            listing.problems.append(Problem(file=path, what=what, action="skipped"))
    images = images[: data.limit]
    folder = _image_folder(data, path, images)
    for image in images:
        item = Item(
            id=str(PurePosixPath(image["file_name"]).with_suffix("")),
            image=folder / image["file_name"],
            source=path,
            boxes=[],
            labels=[],
            names=[],
            stated_size=_stated_size(image),
            image_id=image["id"],
        )
        listing.items.append(_with_objects(item, by_image[image["id"]], labels, segmented, listing.problems))
    return listing


def write(dataset: BoxDataset, root: Path) -> None:
    """Write one split: photos to ROOT/SPLIT, boxes to annotations/instances_SPLIT.json.

    Crowds are written as boxes without segmentation. `difficult` has no place in COCO, nor have label masks,
    which do not tell one object from another.
    """
    folder = root / dataset.split
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, sample in enumerate(dataset.samples, start=1):
        name = place_photo(sample, folder, SUFFIXES).relative_to(folder).as_posix()
        images.append({"id": number, "file_name": name, "width": sample.width, "height": sample.height})
        boxes = [(box, label, 0) for box, label in zip(sample.boxes, sample.labels, strict=True)]
        # The class of a crowd is not kept; it gives no box in any case.
        for box, label, crowd in [*boxes, *((box, 1, 1) for box in sample.crowds)]:
            x1, y1, x2, y2 = map(float, box)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": int(label),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": crowd,
                    "segmentation": [],
                }
            )
    categories = [{"id": label, "name": name} for label, name in enumerate(dataset.classes, start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    write_text(root / "annotations" / f"instances_{dataset.split}.json", json.dumps(content, indent=1) + "\n")


def find_annotations(data: Data) -> Path:
    """The annotation file of a split.

    Raises:
        DataError: There is none, or no telling which.
    """
    if (path := annotations_option(data)) is not None:
        return path
    exact = ("annotations/instances_{}.json", "{}/_annotations.coco.json", "annotations/{}.json", "{}.json")
    for pattern in exact:
        if (path := data.root / pattern.format(data.split)).is_file():
            return path
    dated = sorted(data.root.glob(f"annotations/instances_{glob.escape(data.split)}[0-9]*.json"))
    if len(dated) == 1:
        return dated[0]
    found = annotation_files(data.root)
    # A file that names no split is all there is to train on. Taking it for any other split would score a
    # network on its own training photos.
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


def _parse(path: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: annotation file is no JSON ({error})") from error
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


def _images(images: list[Any], path: Path, problems: list[Problem]) -> list[dict[str, Any]]:
    usable = []
    for number, image in enumerate(images):
        name = image.get("file_name") if isinstance(image, dict) else None
        if not isinstance(name, str) or not name or not isinstance(image.get("id"), (int, str)):
            raise DataError(f"{path}: image number {number} has no id or no file_name: {image}")
        # An annotation file may come from anywhere; it must not make us read, or name files, elsewhere.
        if leads_out(name):
            problems.append(
                Problem(file=path, what=f"file_name leads out of the image folder: {name}", action="skipped")
            )
        else:
            usable.append(image)
    counts = Counter(image["id"] for image in images)
    if counts and max(counts.values()) > 1:
        value, count = counts.most_common(1)[0]
        raise DataError(f"{path}: {count} images of id {value!r}, expected one")
    return usable


def _repeated(annotations: list[Any], path: Path) -> list[Problem]:
    """IDs of several annotations: nothing to us, but tools that go by them see one of these only."""
    ids = (annotation.get("id") for annotation in annotations if isinstance(annotation, dict))
    counts = Counter(number for number in ids if isinstance(number, (int, str)))
    return [
        Problem(file=path, what=f"annotation ID used {count} times: {number}", action="kept")
        for number, count in counts.items()
        if count > 1
    ]


def _holds(folder: Path, images: list[dict[str, Any]]) -> bool:
    """Whether any of the first photos is there."""
    return any(is_file(folder / image["file_name"]) for image in images[:50])


def _image_folder(data: Data, path: Path, images: list[dict[str, Any]]) -> Path:
    if data.images is not None:
        if not (data.root / data.images).is_dir():
            raise DataError(
                f"{data.root / data.images}: no such image folder (data.images, relative to data.root)"
            )
        return data.root / data.images
    split = _split_name(path)
    below = (split, f"images/{split}", data.split, f"images/{data.split}", "images")
    folders = [*(data.root / name for name in below), path.parent, data.root]
    for folder in folders:
        if _holds(folder, images):
            return folder
    if not images:
        return data.root
    others = [path for pattern in ("*/", "*/*/") for path in data.root.glob(pattern) if _holds(path, images)]
    if len(others) == 1:
        return others[0]
    raise DataError(
        f"{path}: no photo found ({images[0]['file_name']} and others looked for in {data.root}: "
        f"{', '.join(below)}); name their folder by data.images"
    )


_Object = tuple[int, dict[str, Any]]


def _with_objects(
    item: Item, objects: list[_Object], labels: dict[float, int], segmented: bool, problems: list[Problem]
) -> Item:
    instances: list[Instance] = []
    ignored: list[Any] = []
    bare: list[str] = []
    for number, annotation in objects:
        called = f"{_called(annotation, number)} of {item.image.name}"
        category = annotation.get("category_id")
        label = labels.get(category) if _is_number(category) else None
        box = annotation.get("bbox")
        if label is None or not isinstance(box, list) or len(box) != 4 or not all(_is_number(v) for v in box):
            what = f"class unknown: id {category}," if label is None else "box without four numbers:"
            problems.append(Problem(file=item.source, what=f"{what} {called}", action="dropped"))
            segmented = False  # with an object missing, the mask would call it background
            continue
        region, area = packed(annotation.get("segmentation")), annotation.get("area")
        region = None if is_void(region) else region
        crowd = bool(annotation.get("iscrowd"))
        instances.append(Instance(label, region, crowd, float(area) if _is_number(area) else None))
        bare += [called] if region is None else []
        x, y, width, height = box
        if crowd:
            item.crowds.append((x, y, x + width, y + height))
            ignored.append(region or [[x, y, x + width, y, x + width, y + height, x, y + height]])
            continue
        item.boxes.append((x, y, x + width, y + height))
        item.labels.append(label)
        item.names.append(called)
    source = f"{item.source}: {item.image.name}"
    if ignored:
        item = replace(item, ignored=_painter(ignored, [IGNORE] * len(ignored), source))
    if not segmented:
        return item
    if bare:
        more = f" and {len(bare) - 1} more" if len(bare) > 1 else ""
        what = f"object without segmentation: {bare[0]}{more}"
        problems.append(Problem(file=item.source, what=what, action="image kept without ground truth"))
        return item
    values = [IGNORE if instance.crowd else instance.label for instance in instances]
    painter = _painter([instance.region for instance in instances], values, source)
    return replace(item, ground_truth=painter, instances=tuple(instances))


def _painter(regions: Sequence[Any], values: Sequence[int], source: str) -> Callable[[int, int], RegionMask]:
    return lambda width, height: RegionMask(tuple(regions), tuple(values), width, height, source)


def _stated_size(image: dict[str, Any]) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    if not _is_number(width) or not _is_number(height) or not (0 < width < 1e6 and 0 < height < 1e6):
        return None
    return int(width), int(height)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _called(annotation: Any, number: int) -> str:
    return (
        f"annotation {annotation['id']}"
        if isinstance(annotation, dict) and "id" in annotation
        else f"number {number}"
    )
