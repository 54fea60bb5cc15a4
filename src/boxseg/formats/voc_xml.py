"""PASCAL VOC's annotation file: read and write the boxes of one photo as XML.

Coordinates are 1-based and inclusive, so (xmin, ymin, xmax, ymax) is (xmin - 1, ymin - 1, xmax, ymax) in
half-open pixel edges.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from pathlib import Path

from boxseg.dataset import VOC_CLASSES, Problem, Sample
from boxseg.formats.label_map import LABELMAP_TXT, read_label_map
from boxseg.formats.listing import AnnotatedBox, AnnotatedPhoto, sort_out

CASED_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_NAME = re.compile(rb"<name[^>]*>([^<]*)<")
_VOC_NAMES = frozenset(name.encode() for name in VOC_CLASSES)


def object_names(content: bytes) -> set[str]:
    """Names of the objects in an annotation file; none if it is not XML."""
    # Searching is ten times faster than parsing. It finds the same if only objects have a <name> (owners of
    # photos and parts of persons have one, too) and nothing can hide one (entities, CDATA, encodings).
    if content[:1] == b"<" and not any(mark in content for mark in (b"&", b"<!", b"<part", b"<owner")):
        found = {name.strip() for name in _NAME.findall(content)}
        if found <= _VOC_NAMES:
            return {name.decode() for name in found}
    try:
        objects = ET.fromstring(content).findall("object")
    except (ET.ParseError, ValueError, LookupError):
        return set()  # reported when its image is read
    return {(node.findtext("name") or "").strip() for node in objects} - {""}


def class_names(files: Iterable[Path], root: Path, usual: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Names of classes 1..L: labelmap.txt's or `usual`, if they have all names used; else those, sorted."""
    names = set().union(*(object_names(path.read_bytes()) for path in files))
    for known in (read_label_map(root / LABELMAP_TXT), usual):
        if known and names <= set(known):
            return known
    return tuple(sorted(names))


def read_photo(
    name: str, image: Path, source: Path, classes: tuple[str, ...]
) -> Iterator[AnnotatedPhoto | Problem]:
    """The photo `name` of the annotation file `source`, and a problem for each object that is dropped."""
    try:
        tree = ET.parse(source).getroot()
    except (ET.ParseError, ValueError, LookupError) as error:  # ValueError, LookupError: encodings
        yield Problem.skipped(source, "annotation file is not valid XML", str(error))
        return
    boxes, problems = sort_out(_boxes(tree, source, classes))
    yield from problems
    yield AnnotatedPhoto(id=name, image=image, source=source, boxes=boxes, stated_size=_stated_size(tree))


def _boxes(tree: ET.Element, source: Path, classes: tuple[str, ...]) -> Iterator[AnnotatedBox | Problem]:
    for position, node in enumerate(tree.findall("object"), start=1):
        texts, corners = _texts(node), _texts(node.find("bndbox"))
        name = texts.get("name", "").strip()
        called = f"object {position} ({name or 'no name'})"
        try:
            left, top, right, bottom = (float(corners.get(key, "")) for key in _CORNERS)
            label = classes.index(name) + 1
        except ValueError:
            yield Problem.dropped(source, "box without four numbers" if name else "class missing", called)
            continue
        difficult = texts.get("difficult", "").strip() not in ("0", "")
        yield AnnotatedBox((left - 1, top - 1, right, bottom), label, called, difficult)


def _texts(node: ET.Element | None) -> dict[str, str]:
    """The text of every child by its tag; of several with one tag, the first."""
    # One walk over the few children is several times faster than a search for each tag.
    return {child.tag: child.text or "" for child in reversed(node if node is not None else ())}


def _stated_size(tree: ET.Element) -> tuple[int, int] | None:
    size = _texts(tree.find("size"))
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
