"""PASCAL VOC's annotation file: read and write the boxes of one photo as XML.

Coordinates are 1-based and inclusive, so (xmin, ymin, xmax, ymax) is (xmin - 1, ymin - 1, xmax, ymax) in
half-open pixel edges. Corners that are exchanged are put in order. A rotated box (roLabelImg's <robndbox>, or
the corners of a quadrilateral) is replaced by the upright box around it. An object without a class is ignored
with its box, and a photo with an object whose box cannot be read is left out: neither is background.
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from boxseg.dataset import VOC_CLASSES, Problem, Sample
from boxseg.documents import read_bytes
from boxseg.errors import DataError
from boxseg.formats.files import is_file
from boxseg.formats.images import SUFFIXES, without_path
from boxseg.formats.label_map import LABELMAP_TXT, read_label_map
from boxseg.formats.listing import NAMES_USED, READ_IN_SILENCE, AnnotatedBox, AnnotatedPhoto, Corners, LeftOut
from boxseg.formats.photo_names import PhotoIndex
from boxseg.formats.shapes import bounds, rotated_corners
from boxseg.formats.split_files import head
from boxseg.formats.xml_files import Xml, local_name, parse_xml, root_tag
from boxseg.progress import track
from boxseg.remote.hooks import ahead

# Those that nearly all photos have, which are looked for first.
USUAL_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_NAME = re.compile(rb"<name[^>]*>([^<]*)<")
_VOC_NAMES = frozenset(name.encode() for name in VOC_CLASSES)


def is_annotation(path: Path) -> bool:
    """Whether a file looks like VOC's XML."""
    return root_tag(head(path)) == "annotation"


def object_names(content: bytes) -> set[str]:
    """Names of the objects in an annotation file; none if it is not XML."""
    # Searching is ten times faster than parsing. It finds the same if only objects have a <name> (owners of
    # photos and parts of persons have one, too) and nothing can hide one (entities, CDATA, encodings).
    if b"<annotation" in content[:300] and not any(
        mark in content for mark in (b"&", b"<!", b"<part", b"<owner")
    ):
        found = {name.strip() for name in _NAME.findall(content)}
        if found <= _VOC_NAMES:
            return {name.decode() for name in found}
    try:
        objects = _parse(content).root.findall("object")
    except ValueError:
        return set()  # reported when its image is read
    return {(node.findtext("name") or "").strip() for node in objects} - {""}


def class_names(files: Iterable[Path], root: Path, usual: tuple[str, ...] = ()) -> tuple[tuple[str, ...], str]:
    """Names of classes 1..L, and where they are from.

    labelmap.txt's or `usual`, if they have all names used; else those, sorted.
    """
    names: set[str] = set()
    files = ahead(files, lambda file: [file], small=True)
    for file in track(files, "read the names of classes", after=READ_IN_SILENCE):
        names |= _names_in(file)
    for known, source in ((read_label_map(root / LABELMAP_TXT), LABELMAP_TXT), (usual, "VOC's own 20")):
        if known and names <= set(known):
            return known, source
    return tuple(sorted(names)), NAMES_USED


def _names_in(path: Path) -> set[str]:
    try:
        return object_names(read_bytes(path))
    except DataError:
        return set()  # reported when its image is read


def annotation_id(path: Path) -> str:
    """The ID of an annotation file: its name without .xml, and without the photo's suffix (photo.jpg.xml)."""
    stem = PurePosixPath(path.stem)
    return stem.stem if stem.suffix.lower() in SUFFIXES else str(stem)


def find_photos(
    sources: Mapping[str, Path], own: Callable[[str], Path | None], index: PhotoIndex
) -> dict[str, Path]:
    """Photos by ID, of the annotation files that have one.

    Args:
        sources: Annotation files by ID.
        own: Finds the photo that is called like an ID, at its usual place.
        index: All photos, for those that are elsewhere or that have another name than their annotation file,
            which then states it (<filename>, <path>).
    """
    found = {name: _exact(source, index) or own(name) for name, source in sources.items()}
    photos = {name: image for name, image in found.items() if image is not None}
    stated = {
        name: image for name in sources if name not in photos and (image := _stated(sources[name], index))
    }
    counts = Counter(stated.values())
    return photos | {name: image for name, image in stated.items() if counts[image] == 1}


def _exact(source: Path, index: PhotoIndex) -> Path | None:
    """The photo whose whole name an annotation file has: photo.png of photo.png.xml, not photo.jpg."""
    if source.stem == annotation_id(source):
        return None
    alike = [path for path in index.find(source.stem) if path.name == source.stem]
    return alike[0] if len(alike) == 1 else None


def _stated(source: Path, index: PhotoIndex) -> Path | None:
    """The photo that an annotation file states, unless another file is called like that photo."""
    try:
        texts = _children(_parse(read_bytes(source)).root)
    except (DataError, ValueError):
        texts = {}
    names = [annotation_id(source), *(texts.get(key, "").strip() for key in ("filename", "path"))]
    for alike in (index.find(name) for name in names if name):
        if len(alike) == 1:
            places = {folder / f"{alike[0].stem}.xml" for folder in (source.parent, alike[0].parent)}
            return None if any(is_file(place) for place in places - {source}) else alike[0]
    return None


def read_photo(
    name: str, image: Path, source: Path, classes: tuple[str, ...]
) -> Iterator[AnnotatedPhoto | Problem]:
    """The photo `name` of the annotation file `source`, and a problem for each object that is dropped."""
    try:
        tree, guessed = _parse(read_bytes(source))
    except DataError as error:
        yield Problem.skipped(source, "annotation file cannot be read", without_path(error, source))
        return
    except ValueError as error:
        yield Problem.skipped(source, "annotation file is not valid XML", str(error))
        return
    if guessed:
        yield Problem(
            file=source, kind="text of no stated encoding", detail=guessed, action="kept, read by a guess"
        )
    boxes: list[AnnotatedBox] = []
    nameless: list[Corners] = []
    for position, node in enumerate(tree.findall("object"), start=1):
        texts = _children(node)
        label = texts.get("name", "").strip()
        called = f"object {position} ({label or 'no name'})"
        try:
            corners, note = _corners(node)
        except ValueError:
            yield Problem.skipped(source, "box without four numbers", called)
            return
        if note:
            yield Problem(file=source, kind=note[0], detail=called, action=note[1])
        if label in classes:
            boxes.append(
                AnnotatedBox(corners, classes.index(label) + 1, called, _is_yes(texts.get("difficult", "")))
            )
        else:
            nameless.append(corners)
            yield Problem(file=source, kind="class missing", detail=called, action="ignored with its box")
    left_out = [*map(LeftOut, nameless)]
    size = _stated_size(tree)
    yield AnnotatedPhoto(id=name, image=image, source=source, boxes=boxes, left_out=left_out, stated_size=size)


def _parse(content: bytes) -> Xml:
    """The content of an annotation file, with tags in lower case; ValueError if it is not XML."""
    xml = parse_xml(content)
    if xml.root.tag != "annotation":
        for node in xml.root.iter():
            node.tag = local_name(node.tag)
    return xml


def _corners(node: ET.Element) -> tuple[Corners, tuple[str, str] | None]:
    """The box of an object, with a note (kind, action) if it is not what is written; ValueError without one."""
    texts = _children(node.find("bndbox"))
    if all(key in texts for key in _CORNERS):
        x1, y1, x2, y2 = (float(texts[key]) for key in _CORNERS)
        if not math.isfinite(x1 + y1 + x2 + y2):
            raise ValueError("corners that are not finite")
        note = None if x1 <= x2 and y1 <= y2 else ("corners exchanged", "kept, put in order")
        return (min(x1, x2) - 1, min(y1, y2) - 1, max(x1, x2), max(y1, y2)), note
    rotated = ("rotated box", "kept, as the upright box around it")
    texts |= _children(node.find("robndbox"))
    if all(key in texts for key in ("cx", "cy", "w", "h", "angle")):
        x, y, width, height, angle = (_finite(texts[key]) for key in ("cx", "cy", "w", "h", "angle"))
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        return bounds(rotated_corners(box, math.degrees(angle), (x, y))), rotated
    return bounds(_points(texts)), rotated


def _points(texts: Mapping[str, str]) -> list[tuple[float, float]]:
    """The numbered corners (x1, y1, x2, y2, …) of a quadrilateral."""
    pairs = [(texts.get(f"x{number}"), texts.get(f"y{number}")) for number in range(5)]
    points = [(_finite(x), _finite(y)) for x, y in pairs if x is not None and y is not None]
    if len(points) != 4:
        raise ValueError("neither a box nor four corners")
    return points


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not finite")
    return value


def _is_yes(text: str) -> bool:
    """Whether a flag is set: a number other than 0, or a word for it; `Unspecified` and the like are none."""
    try:
        return float(text or 0) != 0
    except ValueError:
        return text.strip().lower() in ("true", "yes")


def _children(node: ET.Element | None) -> dict[str, str]:
    """The text of every child by its tag; of several with one tag, the first."""
    # One walk over the few children is several times faster than a search for each tag.
    return {child.tag: child.text or "" for child in reversed(node if node is not None else ())}


def _stated_size(tree: ET.Element) -> tuple[int, int] | None:
    size = _children(tree.find("size"))
    try:
        width, height = (int(float(size.get(key, ""))) for key in ("width", "height"))
    except (ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None  # some tools write zeros


def annotation_xml(sample: Sample, image: Path, classes: tuple[str, ...]) -> str:
    """The annotation file of a photo, segmented if it has ground truth; of `image`, only the name is used."""
    top = ET.Element("annotation")
    _add(top, filename=image.name)
    _add(ET.SubElement(top, "size"), width=sample.width, height=sample.height, depth=3)
    _add(top, segmented=int(sample.ground_truth is not None))
    for box, label, difficult in zip(sample.boxes, sample.labels, sample.difficult, strict=True):
        node = ET.SubElement(top, "object")
        _add(node, name=classes[label - 1], difficult=int(difficult))
        left, top_edge, right, bottom = box
        corners = (left + 1, top_edge + 1, right, bottom)
        _add(ET.SubElement(node, "bndbox"), **dict(zip(_CORNERS, map(_number, corners), strict=True)))
    ET.indent(top, "\t")
    return ET.tostring(top, encoding="unicode") + "\n"


def _add(parent: ET.Element, **texts: object) -> None:
    for name, text in texts.items():
        ET.SubElement(parent, name).text = str(text)


def _number(value: float) -> str:
    """The shortest decimal that reads back as the same float; whole numbers without a point."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))
