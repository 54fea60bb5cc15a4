"""PASCAL VOC: the devkit layout, read and written.

    ROOT/JPEGImages/ID.jpg (.jpeg, .png)       photos
    ROOT/Annotations/ID.xml                    boxes
    ROOT/ImageSets/Segmentation/SPLIT.txt      one ID a line, or /JPEGImages/ID.jpg and the path of a mask (else
                                               ImageSets/Main/SPLIT.txt); without any list all are `train`
    ROOT/SegmentationClass/ID.png              ground truth, not needed: the mask that the list names; else this
    ROOT/SegmentationClassAug/ID.png           one first for train, val and trainval, that one first for others
    ROOT/labelmap.txt                          names of the classes, not needed

Where only photos are asked for, as for the test images whose annotations are not public, Annotations is not
needed. ROOT may also be given as the folder above it (VOCdevkit), or above that. XML files without a devkit
around them are read by `voc_loose`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from boxseg.atomic import write_text
from boxseg.config import Data
from boxseg.dataset import VOC_CLASSES, BoxDataset, Problem
from boxseg.errors import DataError, did_you_mean
from boxseg.formats import voc_loose
from boxseg.formats.assemble import GroundTruth, Item, Listing
from boxseg.formats.files import is_file, leads_out, place_photo, read_lines
from boxseg.formats.label_map import LABEL_MAP, read_label_map
from boxseg.formats.masks import read_mask, write_mask
from boxseg.formats.voc_xml import SUFFIXES, annotation_xml, object_names, read_item

LOOKED_FOR = "JPEGImages/ with Annotations/ or ImageSets/, or VOC's XML files beside photos (voc)"
_LISTS = ("Segmentation", "Main")
_MASKS = ("SegmentationClass", "SegmentationClassAug")
_OWN_SPLITS = ("train", "val", "trainval")


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
    if find_root(data.root) is None and voc_loose.matches(data.root):
        return voc_loose.read(data)
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
        names |= object_names(path.read_bytes())
    listed = read_label_map(annotations.parent / LABEL_MAP)
    if listed and names <= set(listed):
        return listed
    return VOC_CLASSES if names <= set(VOC_CLASSES) else tuple(sorted(names))


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
    annotated = sorted((root / "Annotations").glob("*.xml")) if split == "train" and not known else []
    if annotated:  # nothing to tell photos to train on from others
        return {path.stem: None for path in annotated}
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
    words = line.split()
    if len(words) > 1 and is_file(root / "Annotations" / f"{line}.xml"):  # some IDs hold spaces
        words = [line]
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
    return read_item(name, image, source, classes, problems)


def _mask_file(
    root: Path, name: str, named: str | None, folders: tuple[str, ...], problems: list[Problem]
) -> Path | None:
    """The mask of an ID: the one its list names, or that of the first folder that has one."""
    trusted = [named] if named and not leads_out(named) else []
    paths = [root / place for place in (*trusted, *(f"{folder}/{name}.png" for folder in folders))]
    mask = next((path for path in paths if is_file(path)), None)
    if named and (not trusted or mask != paths[0]):
        what = f"listed mask is {'not there' if trusted else 'outside the data set'}: {named}"
        action = f"{mask.parent.name}/{mask.name} taken" if mask else "kept without ground truth"
        problems.append(Problem(file=paths[0], what=what, action=action))
    return mask


def _mask_reader(mask: Path | None, classes: int) -> Callable[[int, int], GroundTruth] | None:
    if mask is None:
        return None
    reader = partial(read_mask, mask, classes)
    return lambda width, height: reader
