"""PASCAL VOC: the devkit layout.

    ROOT/JPEGImages/ID.jpg (.png, …)           photos
    ROOT/Annotations/ID.xml (ID.jpg.xml)       boxes
    ROOT/ImageSets/Segmentation/SPLIT.txt      one ID per line, or /JPEGImages/ID.jpg and the path of a mask
    ROOT/ImageSets/Main/SPLIT.txt              read if there is none in Segmentation; without any list, all
                                               photos are `train`, and so are those of a list `default`
    ROOT/SegmentationClass/ID.png              ground truth, optional: the mask that the list names, else one of
    ROOT/SegmentationClassAug/ID.png           these two: the first folder is preferred for train, val and
                                               trainval, the second for other splits
    ROOT/labelmap.txt                          names of the classes, optional

Without boxes, as for the test images, Annotations is not needed. ROOT may also be given as the folder above it
(VOCdevkit), or the one above that. `voc_loose` reads XML files without a devkit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from boxseg.config import Data
from boxseg.dataset import VOC_CLASSES, Problem
from boxseg.documents import read_lines
from boxseg.errors import DataError, did_you_mean
from boxseg.formats import voc_loose
from boxseg.formats.files import is_file, leads_out, listed
from boxseg.formats.images import SUFFIXES
from boxseg.formats.listing import AnnotatedPhoto, Listing, MaskReader, Stream, sort_out
from boxseg.formats.masks import read_mask
from boxseg.formats.photo_names import PhotoIndex
from boxseg.formats.voc_xml import USUAL_SUFFIXES, annotation_id, class_names, find_photos, read_photo

LOOKED_FOR = "JPEGImages/ with Annotations/ or ImageSets/, or VOC's XML files beside photos (voc)"
_LISTS = ("Segmentation", "Main")
_MASKS = ("SegmentationClass", "SegmentationClassAug")
_OWN_SPLITS = ("train", "val", "trainval")


def matches(root: Path) -> bool:
    """Whether a folder holds a devkit folder."""
    return find_root(root) is not None


def find_root(root: Path) -> Path | None:
    """The devkit folder: `root` itself or the only one, or VOC2012, up to two levels below it."""
    for pattern in ("", "*", "*/*"):
        found = [path for path in (sorted(listed(root, pattern)) if pattern else [root]) if _is_root(path)]
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
    """List the photos of one split with their boxes.

    The classes are those of labelmap.txt, VOC's own 20, or the sorted names of all files in Annotations: the
    first of these that has every name in Annotations. They do not depend on the split.
    """
    if find_root(data.root) is None and voc_loose.matches(data.root):
        return voc_loose.read(data)
    root = _root(data)
    classes, source = class_names(listed(root / "Annotations", "**/*.xml"), root, VOC_CLASSES)
    entries = dict(list(_entries(root, data.split).items())[: data.limit])
    photos = Stream(partial(_photos, root, data, entries, classes), len(entries))
    return Listing(root=root, classes=classes, photos=photos, problems=(), classes_from=source)


def read_photos(data: Data) -> Listing:
    """List the photos of one split without reading their annotations, which need not exist."""
    root = _root(data)
    return Listing(root=root, classes=(), photos=Stream(partial(_bare_photos, root, data)), problems=())


def _photos(
    root: Path, data: Data, entries: dict[str, str | None], classes: tuple[str, ...]
) -> Iterator[AnnotatedPhoto | Problem]:
    folders = _MASKS if data.split in _OWN_SPLITS else _MASKS[::-1]
    found = {name: _annotation(root, name) for name in entries if not leads_out(name)}
    sources = {name: source for name, source in found.items() if source is not None}
    index = PhotoIndex(root / "JPEGImages")
    images = find_photos(sources, partial(photo_file, root, index=index), index)
    images |= {
        name: image for name in entries if name not in sources and (image := photo_file(root, name, index))
    }
    for name, listed_mask in entries.items():
        photos, problems = sort_out(_photo(root, name, sources.get(name), images.get(name), classes))
        yield from problems
        for photo in photos:
            mask, problem = _mask_file(root, name, listed_mask, folders)
            if problem is not None:
                yield problem
            if mask is not None:
                photo = replace(photo, ground_truth=partial(_mask_reader, mask, len(classes)))
            yield photo


def _bare_photos(root: Path, data: Data) -> Iterator[AnnotatedPhoto | Problem]:
    index = PhotoIndex(root / "JPEGImages")
    for name in split_ids(root, data.split)[: data.limit]:
        image = photo_file(root, name, index)
        if image is None:
            yield Problem.skipped(root / "JPEGImages" / f"{name}.jpg", "listed without a photo", name)
        else:
            yield AnnotatedPhoto(id=name, image=image, source=image)


def _root(data: Data) -> Path:
    root = find_root(data.root)
    if root is None:
        raise DataError(f"{data.root} is not a VOC folder: looked for {LOOKED_FOR} in it and two levels below")
    return root


def photo_file(root: Path, name: str, index: PhotoIndex | None = None) -> Path | None:
    """The photo of an ID, or None; also None for an ID that leads out of the data set.

    The `index` of JPEGImages finds photos of rarer suffixes.
    """
    if leads_out(name):
        return None
    candidates = (root / "JPEGImages" / f"{name}{suffix}" for suffix in USUAL_SUFFIXES)
    if (usual := next(filter(is_file, candidates), None)) is not None:
        return usual
    alike = (index or PhotoIndex(root / "JPEGImages")).find(name)
    return alike[0] if len(alike) == 1 else None


def _annotation(root: Path, name: str) -> Path | None:
    """The annotation file of an ID."""
    path = root / "Annotations" / f"{name}.xml"
    if is_file(path):
        return path
    longer = (root / "Annotations" / f"{name}{suffix}.xml" for suffix in SUFFIXES)
    return next(filter(is_file, longer), None)


def split_ids(root: Path, split: str) -> list[str]:
    """IDs of a split of a devkit folder, in the order of its list."""
    return list(_entries(root, split))


def _entries(root: Path, split: str) -> dict[str, str | None]:
    folders = [root / "ImageSets" / name for name in _LISTS]
    known = sorted({path.stem for folder in folders for path in listed(folder, "*.txt")})
    # Tools that know of no splits write one list of all.
    name = "default" if split == "train" and known == ["default"] else split
    for path in (folder / f"{name}.txt" for folder in folders):
        if path.is_file():
            return read_list(root, path)
    annotations = root / "Annotations"
    annotated = sorted(listed(annotations, "**/*.xml")) if split == "train" and not known else []
    if annotated:  # without lists, every photo is for training
        return {
            path.relative_to(annotations).with_name(annotation_id(path)).as_posix(): None for path in annotated
        }
    there = f"there are: {', '.join(known)}" if known else "write one, an ID a line"
    raise DataError(
        f"{root} has no split {split!r}{did_you_mean(split, known)} "
        f"(looked for ImageSets/Segmentation/{split}.txt and ImageSets/Main/{split}.txt; {there})"
    )


def read_list(root: Path, path: Path) -> dict[str, str | None]:
    """IDs of a list, each with the path of its mask relative to the root, if the list names one."""
    entries: dict[str, str | None] = {}
    for line in filter(None, read_lines(path)):
        name, mask = _entry(root, line)
        entries.setdefault(name, mask)  # lists of some tools repeat an ID
    return entries


def _is_id(root: Path, text: str) -> bool:
    """Whether a file is called like an ID."""
    photos = (root / "JPEGImages" / f"{text}{suffix}" for suffix in USUAL_SUFFIXES)
    return _annotation(root, text) is not None or any(map(is_file, photos))


def _entry(root: Path, line: str) -> tuple[str, str | None]:
    """ID and mask of a line: `ID`, maybe with numbers beside it, or the paths of a photo and its mask."""
    words = line.split()
    if len(words) > 1 and _is_id(root, line):  # some IDs hold spaces
        words = [line]
    path = PurePosixPath(words[0])
    if path.suffix.lower() in SUFFIXES:
        path = path.with_suffix("")
    mask = words[1].lstrip("/") if len(words) > 1 and words[1].endswith(".png") else None
    return path.name if words[0].startswith("/") else str(path), mask


def _photo(
    root: Path, name: str, source: Path | None, image: Path | None, classes: tuple[str, ...]
) -> Iterator[AnnotatedPhoto | Problem]:
    if source is not None and image is not None:
        yield from read_photo(name, image, source, classes)
        return
    if leads_out(name):
        kind, detail = "ID leads out of the data set", name
    elif image is not None:
        kind, detail = "image without annotation file", name
    elif source is not None:
        kind, detail = "annotation without photo", f"no JPEGImages/{name}.jpg (.png, …), nor one that it names"
    else:
        kind, detail = "neither photo nor annotation", name
    yield Problem.skipped(source or root / "Annotations" / f"{name}.xml", kind, detail)


def _mask_file(
    root: Path, name: str, listed: str | None, folders: tuple[str, ...]
) -> tuple[Path | None, Problem | None]:
    """The mask of an ID: the one its list names, or that of the first folder that has one."""
    trusted = [listed] if listed and not leads_out(listed) else []
    paths = [root / place for place in (*trusted, *(f"{folder}/{name}.png" for folder in folders))]
    mask = next((path for path in paths if is_file(path)), None)
    if not listed or (trusted and mask == paths[0]):
        return mask, None
    kind = f"listed mask is {'not there' if trusted else 'outside the data set'}"
    action = f"{mask.parent.name}/{mask.name} taken" if mask else "kept without ground truth"
    return mask, Problem(file=paths[0], kind=kind, detail=listed, action=action)


def _mask_reader(mask: Path, classes: int, _width: int, _height: int) -> MaskReader:
    return partial(read_mask, mask, classes)
