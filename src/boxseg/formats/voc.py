"""PASCAL VOC: the devkit layout, read and written.

    ROOT/JPEGImages/ID.jpg (.jpeg, .png)       photos
    ROOT/Annotations/ID.xml                    boxes
    ROOT/ImageSets/Segmentation/SPLIT.txt      one ID a line, or /JPEGImages/ID.jpg and the path of a mask (else
                                               ImageSets/Main/SPLIT.txt)
    ROOT/SegmentationClass/ID.png              ground truth, not needed: the mask that the list names; else this
    ROOT/SegmentationClassAug/ID.png           one first for train, val and trainval, that one first for others
    ROOT/labelmap.txt                          names of the classes, not needed

Where only photos are asked for, as for the test images whose annotations are not public, Annotations is not
needed. ROOT may also be given as the folder above it (VOCdevkit), or above that. Coordinates in VOC files are
1-based and inclusive, so (xmin, ymin, xmax, ymax) is (xmin - 1, ymin - 1, xmax, ymax) in half-open pixel edges.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from boxseg.atomic import write_text
from boxseg.config import Data
from boxseg.dataset import VOC_CLASSES, BoxDataset, Problem, Sample
from boxseg.errors import DataError, did_you_mean
from boxseg.formats.assemble import GroundTruth, Item, Listing
from boxseg.formats.files import is_file, leads_out, number, place_photo, read_lines
from boxseg.formats.label_map import LABEL_MAP, read_label_map
from boxseg.formats.masks import read_mask, write_mask

LOOKED_FOR = "JPEGImages/ with Annotations/ or ImageSets/ (voc)"
SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")
_LISTS = ("Segmentation", "Main")
_MASKS = ("SegmentationClass", "SegmentationClassAug")
_OWN_SPLITS = ("train", "val", "trainval")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_NAME = re.compile(rb"<name[^>]*>([^<]*)<")
_VOC_NAMES = frozenset(name.encode() for name in VOC_CLASSES)


def find_root(root: Path) -> Path | None:
    """The devkit folder at, below or two below `root`, or None.

    Raises:
        DataError: There are several and none is VOC2012.
    """
    for pattern in ("", "*", "*/*"):
        found = [root] if not pattern else sorted(path for path in root.glob(pattern) if path.is_dir())
        found = [path for path in found if _is_root(path)]
        if len(found) > 1:
            found = [path for path in found if path.name == "VOC2012"] or found
        if len(found) > 1:
            names = ", ".join(str(path.relative_to(root)) for path in found)
            raise DataError(f"{root} holds several VOC data sets ({names}); give one of them as data.root")
        if found:
            return found[0]
    return None


def _is_root(path: Path) -> bool:
    lists = (path / name for name in ("Annotations", "ImageSets"))
    return (path / "JPEGImages").is_dir() and any(folder.is_dir() for folder in lists)


def read(data: Data) -> Listing:
    """List the images of one split with their boxes.

    The classes are those of labelmap.txt where there is one, as CVAT and others write it; else VOC's own 20, in
    their order, when every name in Annotations is among them; else the sorted names of all files in
    Annotations. They do not depend on the split.

    Raises:
        DataError: No VOC folder, or no such split.
    """
    root = _root(data)
    classes = class_names(root / "Annotations")
    folders = _MASKS if data.split in _OWN_SPLITS else _MASKS[::-1]
    listing = Listing(root=root, classes=classes, items=[], problems=[])
    for name, named in list(_entries(root, data.split).items())[: data.limit]:
        found = _item(root, name, classes, listing.problems)
        if isinstance(found, Item):
            mask = _mask_file(root, name, named, folders, listing.problems)
            listing.items.append(replace(found, ground_truth=_mask_reader(mask, len(classes))))
        else:
            path = root / "Annotations" / f"{name}.xml"
            listing.problems.append(Problem(file=path, what=found, action="skipped"))
    return listing


def read_photos(data: Data) -> Listing:
    """List the photos of one split without a look at their annotations, which need not exist.

    Raises:
        DataError: No VOC folder, or no such split.
    """
    root = _root(data)
    listing = Listing(root=root, classes=(), items=[], problems=[])
    for name in split_ids(root, data.split)[: data.limit]:
        image = photo_file(root, name)
        if image is None:
            path = root / "JPEGImages" / f"{name}.jpg"
            listing.problems.append(
                Problem(file=path, what=f"listed without a photo: {name}", action="skipped")
            )
        else:
            listing.items.append(Item(id=name, image=image, source=image, boxes=[], labels=[], names=[]))
    return listing


def _root(data: Data) -> Path:
    root = find_root(data.root)
    if root is None:
        raise DataError(f"{data.root} is no VOC folder: looked for {LOOKED_FOR} in it and two levels below")
    return root


def photo_file(root: Path, name: str) -> Path | None:
    """The photo of an ID, or None; an ID that leads out of the data set has none."""
    if leads_out(name):
        return None
    candidates = (root / "JPEGImages" / f"{name}{suffix}" for suffix in SUFFIXES)
    return next((path for path in candidates if is_file(path)), None)


def class_names(annotations: Path) -> tuple[str, ...]:
    """Names of classes 1..L of a folder of VOC annotation files."""
    names: set[str] = set()
    for path in annotations.rglob("*.xml"):
        names |= _object_names(path.read_bytes())
    listed = read_label_map(annotations.parent / LABEL_MAP)
    if listed and names <= set(listed):
        return listed
    return VOC_CLASSES if names <= set(VOC_CLASSES) else tuple(sorted(names))


def _object_names(content: bytes) -> set[str]:
    # A search is ten times faster than a parse, and as good where nothing but objects can hold a <name> (owners
    # of photos and parts of persons have one too) and nothing can hide one (entities, CDATA, encodings).
    if content[:1] == b"<" and not any(mark in content for mark in (b"&", b"<!", b"<part", b"<owner")):
        found = {name.strip() for name in _NAME.findall(content)}
        if found <= _VOC_NAMES:
            return {name.decode() for name in found}
    try:
        objects = ET.fromstring(content).findall("object")
    except (ET.ParseError, ValueError, LookupError):
        return set()  # listed when its image is read
    return {(node.findtext("name") or "").strip() for node in objects} - {""}


def splits(root: Path) -> list[str]:
    """Names of the splits of a devkit folder."""
    return sorted({path.stem for name in _LISTS for path in (root / "ImageSets" / name).glob("*.txt")})


def write(dataset: BoxDataset, root: Path) -> None:
    """Write one split as a devkit folder: photos, XML, masks where there is ground truth, and last the list.

    Several splits may be written to one folder, one after the other. Photos that are in place already stay.

    Raises:
        DataError: A photo is neither JPEG nor PNG.
    """
    for sample in dataset.samples:
        image = place_photo(sample, root / "JPEGImages", SUFFIXES)
        write_text(root / "Annotations" / f"{sample.id}.xml", annotation_xml(sample, image, dataset.classes))
        if sample.ground_truth is not None:
            write_mask(root / "SegmentationClass" / f"{sample.id}.png", sample.ground_truth())
    ids = "".join(f"{sample.id}\n" for sample in dataset.samples)
    write_text(root / "ImageSets" / "Segmentation" / f"{dataset.split}.txt", ids)


def annotation_xml(sample: Sample, image: Path, classes: tuple[str, ...]) -> str:
    """The annotation file of a photo.

    Args:
        sample: With its boxes; it counts as segmented where it has ground truth.
        image: Where the photo is in the data set; its name is written.
        classes: Names of classes 1..L.
    """
    top = ET.Element("annotation")
    _add(top, filename=image.name)
    _add(ET.SubElement(top, "size"), width=sample.width, height=sample.height, depth=3)
    _add(top, segmented=int(sample.ground_truth is not None))
    for box, label, difficult in zip(sample.boxes, sample.labels, sample.difficult, strict=True):
        node = ET.SubElement(top, "object")
        _add(node, name=classes[label - 1], difficult=int(difficult))
        left, top_edge, right, bottom = box
        corners = (left + 1, top_edge + 1, right, bottom)
        _add(ET.SubElement(node, "bndbox"), **dict(zip(_CORNERS, map(number, corners), strict=True)))
    ET.indent(top, "\t")
    return ET.tostring(top, encoding="unicode") + "\n"


def _add(parent: ET.Element, **texts: object) -> None:
    for name, text in texts.items():
        ET.SubElement(parent, name).text = str(text)


def split_ids(root: Path, split: str) -> list[str]:
    """IDs of a split of a devkit folder, in the order of its list.

    Raises:
        DataError: There is no such list, or it cannot be read.
    """
    return list(_entries(root, split))


def _entries(root: Path, split: str) -> dict[str, str | None]:
    for folder in _LISTS:
        path = root / "ImageSets" / folder / f"{split}.txt"
        if path.is_file():
            return read_list(root, path)
    known = splits(root)
    there = f"there are: {', '.join(known)}" if known else "write one, an ID a line"
    raise DataError(
        f"{root} has no split {split!r}{did_you_mean(split, known)} "
        f"(looked for ImageSets/Segmentation/{split}.txt and ImageSets/Main/{split}.txt; {there})"
    )


def read_list(root: Path, path: Path) -> dict[str, str | None]:
    """IDs of a list, each with the path of its mask relative to the root where the list names one.

    Raises:
        DataError: The list cannot be read.
    """
    entries: dict[str, str | None] = {}
    for line in filter(None, read_lines(path)):
        name, mask = _entry(root, line)
        entries.setdefault(name, mask)  # lists of other tools repeat an ID
    return entries


def _entry(root: Path, line: str) -> tuple[str, str | None]:
    """ID and mask of a line: `ID`, with or without numbers beside it, or the paths of a photo and its mask."""
    words = [line] if is_file(root / "Annotations" / f"{line}.xml") else line.split()  # some IDs hold spaces
    path = PurePosixPath(words[0])
    if path.suffix in SUFFIXES:
        path = path.with_suffix("")
    mask = words[1].lstrip("/") if len(words) > 1 and words[1].endswith(".png") else None
    return path.name if words[0].startswith("/") else str(path), mask


def _item(root: Path, name: str, classes: tuple[str, ...], problems: list[Problem]) -> Item | str:
    """The image of an ID, or what is wrong with it."""
    source = root / "Annotations" / f"{name}.xml"
    if leads_out(name):
        return f"ID leads out of the data set: {name}"
    image = photo_file(root, name)
    if not is_file(source):
        return f"image without annotation file: {name}" if image else f"neither photo nor annotation: {name}"
    if image is None:
        return f"annotation without photo: no JPEGImages/{name}.jpg (.jpeg, .png)"
    try:
        tree = ET.parse(source).getroot()
    except (ET.ParseError, ValueError, LookupError) as error:  # the last two: encodings
        return f"annotation file is no XML: {error}"
    size = _stated_size(tree)
    item = Item(id=name, image=image, source=source, boxes=[], labels=[], names=[], stated_size=size)
    for position, node in enumerate(tree.findall("object"), start=1):
        _add_object(item, node, position, classes, problems)
    return item


def _add_object(
    item: Item, node: ET.Element, number: int, classes: tuple[str, ...], problems: list[Problem]
) -> None:
    name = (node.findtext("name") or "").strip()
    called = f"object {number} ({name or 'no name'})"
    try:
        left, top, right, bottom = (float(node.findtext(f"bndbox/{key}") or "") for key in _CORNERS)
        label = classes.index(name) + 1
    except ValueError:
        what = "class missing" if not name else "box without four numbers"
        problems.append(Problem(file=item.source, what=f"{what}: {called}", action="dropped"))
        return
    item.boxes.append((left - 1, top - 1, right, bottom))
    item.labels.append(label)
    item.names.append(called)
    item.difficult.append((node.findtext("difficult") or "0").strip() not in ("0", ""))


def _stated_size(tree: ET.Element) -> tuple[int, int] | None:
    try:
        width, height = (int(float(tree.findtext(f"size/{key}") or "")) for key in ("width", "height"))
    except (ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None  # some tools write zeros


def _mask_file(
    root: Path, name: str, named: str | None, folders: tuple[str, ...], problems: list[Problem]
) -> Path | None:
    """The mask of an ID: the one its list names, or that of the first folder that has one."""
    trusted = [named] if named and not leads_out(named) else []
    paths = [root / place for place in (*trusted, *(f"{folder}/{name}.png" for folder in folders))]
    mask = next((path for path in paths if is_file(path)), None)
    if named and mask is None:
        what = f"listed mask is {'not there' if trusted else 'outside the data set'}: {named}"
        problems.append(Problem(file=paths[0], what=what, action="kept without ground truth"))
    return mask


def _mask_reader(mask: Path | None, classes: int) -> Callable[[int, int], GroundTruth] | None:
    if mask is None:
        return None
    reader = partial(read_mask, mask, classes)
    return lambda width, height: reader
