"""VOC's annotation files without the devkit around them, as from labelImg, Roboflow and many data sets.

    ROOT/ID.xml, ROOT/ID.jpg                         files beside their photos
    ROOT/SPLIT/ID.xml, ROOT/SPLIT/ID.jpg             likewise, a folder for each split
    ROOT/annotations/ID.xml, ROOT/images/ID.jpg      two folders, or two of each split: ROOT/annotations/SPLIT

An annotation file may also be called ID.jpg.xml, or name a photo that is called otherwise. Files that name no
split are `train`. Classes are those of labelmap.txt if there is one, else the names used, sorted; they do not
depend on the split.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from boxseg.config import Data
from boxseg.dataset import Problem
from boxseg.errors import DataError, did_you_mean
from boxseg.formats.files import is_file, listed
from boxseg.formats.images import SUFFIXES
from boxseg.formats.listing import AnnotatedPhoto, Listing, sort_out
from boxseg.formats.photo_names import PhotoIndex
from boxseg.formats.split_files import images_option
from boxseg.formats.voc_xml import (
    USUAL_SUFFIXES,
    annotation_id,
    class_names,
    find_photos,
    is_annotation,
    read_photo,
)

_ANNOTATIONS = ("annotations", "Annotations", "xml", "xmls", "labels")
_LOOKED_AT = 20  # files of a folder, at most, to recognise it
_PHOTOS = ("images", "Images", "JPEGImages", "photos", "data")


def matches(root: Path) -> bool:
    """Whether a folder holds such files."""
    return any(_is_folder(folder) for folder in _folders(root))


def read(data: Data) -> Listing:
    """List the photos of one split with their boxes."""
    every = [folder for folder in _folders(data.root) if _is_folder(folder)]
    folder = _of_split(data, every)
    classes, source = class_names((path for each in every for path in listed(each, "*.xml")), data.root)
    photos, problems = sort_out(_photos(data, folder, classes))
    return Listing(root=data.root, classes=classes, photos=photos, problems=problems, classes_from=source)


def _photos(data: Data, folder: Path, classes: tuple[str, ...]) -> Iterator[AnnotatedPhoto | Problem]:
    sources: dict[str, Path] = {}
    for path in sorted(listed(folder, "*.xml")):
        if sources.setdefault(annotation_id(path), path) != path:  # a.jpg.xml and a.png.xml
            yield Problem.skipped(path, "two annotation files of one name", annotation_id(path))
    index = PhotoIndex(images_option(data) or data.root)
    images = find_photos(sources, partial(_photo_file, _photo_folders(data, folder)), index)
    for name, source in list(sources.items())[: data.limit]:
        if name in images:
            yield from read_photo(name, images[name], source, classes)
        else:
            missing = f"no {name}.jpg (.png, …) beside it or in images/, nor one that it names"
            yield Problem.skipped(source, "annotation without photo", missing)
    used = set(images.values())
    for image in sorted(path for path in listed(folder, "*") if path.suffix.lower() in SUFFIXES):
        if image not in used and image.stem not in sources:
            yield Problem.skipped(image, "photo without annotation file", image.name)


def _folders(root: Path) -> list[Path]:
    """Where annotation files may be, folders that name no split first."""
    above = [root, *(root / name for name in _ANNOTATIONS)]
    below = [path for folder in above if folder.is_dir() for path in sorted(folder.iterdir()) if path.is_dir()]
    return list(dict.fromkeys([*above, *below]))


def _is_folder(folder: Path) -> bool:
    # CVAT's files, each for many photos, have another root; files of other kinds may lie between VOC's.
    return any(map(is_annotation, islice(listed(folder, "*.xml"), _LOOKED_AT)))


def _of_split(data: Data, folders: list[Path]) -> Path:
    whole = (data.root, *(data.root / name for name in _ANNOTATIONS))
    named = [folder for folder in folders if folder not in whole]
    chosen = [folder for folder in named if folder.name == data.split]
    if not chosen and data.split == "train":
        chosen = [folder for folder in folders if folder in whole]
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        several = ", ".join(str(folder) for folder in chosen)
        raise DataError(
            f"{data.root} has several folders of VOC's XML files ({several}): give one as data.root"
        )
    known = [folder.name for folder in named]
    raise DataError(
        f"{data.root} has no split {data.split!r}{did_you_mean(data.split, known)} "
        f"(looked for XML files in {data.split}/ and annotations/{data.split}/; "
        f"there are: {', '.join(known) or 'files of no split, which are train'})"
    )


def _photo_folders(data: Data, folder: Path) -> list[Path]:
    """Where the photos of annotation files in a folder may be: beside them, or in folders of photos."""
    folders = [] if data.images is None else [data.root / data.images]
    folders.append(folder)
    for name in _PHOTOS:
        folders += [folder / name, folder.parent / name, data.root / name / data.split, data.root / name]
    return [path for path in dict.fromkeys(folders) if path.is_dir()]


def _photo_file(folders: list[Path], name: str) -> Path | None:
    candidates = (folder / f"{name}{suffix}" for folder in folders for suffix in USUAL_SUFFIXES)
    return next(filter(is_file, candidates), None)
