"""VOC's annotation files without the devkit around them, as from labelImg, Roboflow and many data sets.

    ROOT/ID.xml, ROOT/ID.jpg                         files beside their photos
    ROOT/SPLIT/ID.xml, ROOT/SPLIT/ID.jpg             likewise, a folder for each split
    ROOT/annotations/ID.xml, ROOT/images/ID.jpg      two folders, or two of each split: ROOT/annotations/SPLIT

Files that name no split are `train`. Classes are those of labelmap.txt if there is one, else the names used,
sorted; they do not depend on the split.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from boxseg.config import Data
from boxseg.dataset import Problem
from boxseg.errors import DataError, did_you_mean
from boxseg.formats.files import is_file
from boxseg.formats.listing import AnnotatedPhoto, Listing, sort_out
from boxseg.formats.split_files import head
from boxseg.formats.voc_xml import CASED_SUFFIXES, class_names, read_photo

_ANNOTATIONS = ("annotations", "Annotations", "xml", "xmls")
_PHOTOS = ("images", "Images", "JPEGImages", "photos")


def matches(root: Path) -> bool:
    """Whether a folder holds such files."""
    return any(_is_folder(folder) for folder in _folders(root))


def read(data: Data) -> Listing:
    """List the photos of one split with their boxes."""
    every = [folder for folder in _folders(data.root) if _is_folder(folder)]
    folder = _of_split(data, every)
    classes = class_names((path for each in every for path in each.glob("*.xml")), data.root)
    photos, problems = sort_out(_photos(data, folder, classes))
    return Listing(root=data.root, classes=classes, photos=photos, problems=problems)


def _photos(data: Data, folder: Path, classes: tuple[str, ...]) -> Iterator[AnnotatedPhoto | Problem]:
    annotated = sorted(folder.glob("*.xml"))
    for source in annotated[: data.limit]:
        image = _photo_file(data, source)
        if image is None:
            missing = f"no {source.stem}.jpg (.jpeg, .png) beside it or in images/"
            yield Problem.skipped(source, "annotation without photo", missing)
        else:
            yield from read_photo(source.stem, image, source, classes)
    names = {source.stem for source in annotated}
    for image in sorted(path for suffix in CASED_SUFFIXES for path in folder.glob(f"*{suffix}")):
        if image.stem not in names:
            yield Problem.skipped(image, "photo without annotation file", image.name)


def _folders(root: Path) -> list[Path]:
    """Where annotation files may be, folders that name no split first."""
    above = [root, *(root / name for name in _ANNOTATIONS)]
    below = [path for folder in above if folder.is_dir() for path in sorted(folder.iterdir()) if path.is_dir()]
    return list(dict.fromkeys([*above, *below]))


def _is_folder(folder: Path) -> bool:
    first = next(folder.glob("*.xml"), None)
    # CVAT's files, each for many photos, begin with <annotations>.
    return first is not None and b"<annotation>" in head(first)


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


def _photo_file(data: Data, source: Path) -> Path | None:
    """The photo of an annotation file: beside it, or in the folder of photos of its split, or of all splits."""
    folders = [] if data.images is None else [data.root / data.images]
    folders.append(source.parent)
    for name in _PHOTOS:
        folders += [source.parent / name, source.parent.parent / name]
        folders += [data.root / name / data.split, data.root / name]
    candidates = (folder / f"{source.stem}{suffix}" for folder in folders for suffix in CASED_SUFFIXES)
    return next((path for path in candidates if is_file(path)), None)
