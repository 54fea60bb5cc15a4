"""Images and annotations of a COCO file in columns: what reading needs of them, read a piece at a time.

An annotation with an outline takes a kilobyte and more as JSON's objects, here its numbers. Entries of another
kind than nearly all, such as one whose id is text, are kept as they are.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from boxseg.documents import read_json
from boxseg.errors import DataError
from boxseg.formats.coco_categories import fields_of
from boxseg.formats.columns import Texts, TextsMade, fits, pack_region, unpack_region
from boxseg.formats.json_lists import Progress, object_parts
from boxseg.formats.loose_numbers import ById, Id
from boxseg.formats.regions import packed

LISTS = ("images", "annotations", "categories")
STREAMED = LISTS[:2]
# Bytes of a file that is read at once: as objects, it takes ten times as many.
SMALL = 1 << 25
# In place of a number that an entry does not have.
_MISSING = -(1 << 63)
# Whole numbers up to this one are the same as floats.
_EXACT = 1 << 53
_USED = ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation")
# Of annotations: kept as they are; or in columns, with area, `iscrowd` 0 or 1.
_ODD, _PLAIN, _AREA, _FLAG, _CROWD = 0, 1, 2, 4, 8


class Rows(Sequence[Any]):
    """Entries of a list; each is made, with the keys that are used, when it is asked for."""

    def __init__(self) -> None:
        self.odd: dict[int, Any] = {}

    @overload
    def __getitem__(self, place: int) -> Any: ...

    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...

    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return [self[each] for each in range(len(self))[place]]
        place = range(len(self))[place]
        return self.odd[place] if place in self.odd else self._at(place)

    def __iter__(self) -> Iterator[Any]:
        return (self.odd[place] if place in self.odd else self._at(place) for place in range(len(self)))

    def _at(self, place: int) -> Any:
        raise NotImplementedError


class Images(Rows):
    """Images: file_name, id, width and height."""

    def __init__(self) -> None:
        super().__init__()
        self._names = TextsMade()
        self._texts: Texts | None = None
        self._numbers = {key: array("q") for key in ("id", "width", "height")}

    def add(self, items: list[Any]) -> None:
        """Add images of the file."""
        ids, widths, heights = self._numbers.values()
        for item in items:
            number = name = None
            sides: list[int] = []
            if type(item) is dict:
                number, name = item.get("id"), item.get("file_name")
                sides = [item.get(key, _MISSING) for key in ("width", "height")]
            plain = (
                type(number) is int
                and fits(number)
                and type(name) is str
                and name
                and all(type(side) is int and (fits(side) or side == _MISSING) for side in sides)
            )
            if not plain:
                self.odd[len(ids)] = item
                number, name, sides = _MISSING, "", [_MISSING, _MISSING]
            self._names.add(name)  # type: ignore[arg-type]
            ids.append(number)  # type: ignore[arg-type]
            widths.append(sides[0])
            heights.append(sides[1])

    def __len__(self) -> int:
        return len(self._numbers["id"])

    def _at(self, place: int) -> dict[str, Any]:
        if self._texts is None:
            self._texts = self._names.done()
        numbers = {key: values[place] for key, values in self._numbers.items() if values[place] != _MISSING}
        return {"file_name": self._texts.text(place), **numbers}

    def numbers(self) -> NDArray[np.int64] | None:
        """(n,) the ids, if all are whole numbers, each once."""
        ids = _numbers(self._numbers["id"])
        return ids if not self.odd and len(np.unique(ids)) == len(ids) else None


class Annotations(Rows):
    """Annotations: id, image_id, category_id, bbox, area, iscrowd and segmentation, its polygons packed."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = {key: array("q") for key in ("id", "image_id", "category_id")}
        self._boxes, self._areas, self._kinds = array("d"), array("d"), bytearray()
        self._regions = TextsMade()
        self._texts: Texts | None = None
        self._other_regions: dict[int, Any] = {}

    def add(self, items: list[Any]) -> None:
        """Add annotations of the file."""
        for item in items:
            place = len(self._kinds)
            kind = self._plain(item)
            self._kinds.append(kind)
            if not kind:
                self.odd[place] = _slim(item)
                for values in self._numbers.values():
                    values.append(_MISSING)
                self._boxes.extend((0.0, 0.0, 0.0, 0.0))
                self._areas.append(0.0)
                self._regions.add_bytes()
                continue
            for key, values in self._numbers.items():
                values.append(item[key])
            self._boxes.extend(item["bbox"])
            self._areas.append(item["area"] if kind & _AREA else 0.0)
            region = item.get("segmentation")
            if region is None:
                self._regions.add_bytes()
            else:
                pack_region(packed(region), self._regions, self._other_regions)

    def _plain(self, item: Any) -> int:
        """How an annotation is kept in columns; `_ODD` if it has no place there."""
        if type(item) is not dict:
            return _ODD
        for key in self._numbers:
            number = item.get(key)
            if type(number) is not int or not fits(number):
                return _ODD
        box, area, flag = item.get("bbox"), item.get("area"), item.get("iscrowd")
        if type(box) is not list or len(box) != 4 or not all(map(_is_exact, box)):
            return _ODD
        if (area is not None and not _is_exact(area)) or (flag is not None and type(flag) is not int):
            return _ODD
        if flag not in (None, 0, 1):
            return _ODD
        kind = _PLAIN if area is None else _PLAIN | _AREA
        return kind if flag is None else kind | _FLAG | (_CROWD if flag else 0)

    def __len__(self) -> int:
        return len(self._kinds)

    def _at(self, place: int) -> dict[str, Any]:
        kind = self._kinds[place]
        found: dict[str, Any] = {key: values[place] for key, values in self._numbers.items()}
        found["bbox"] = self._boxes[4 * place : 4 * place + 4].tolist()
        if kind & _AREA:
            found["area"] = self._areas[place]
        if kind & _FLAG:
            found["iscrowd"] = int(bool(kind & _CROWD))
        if self._texts is None:
            self._texts = self._regions.done()
        if len(self._texts.raw(place)) or place in self._other_regions:
            found["segmentation"] = unpack_region(self._texts, place, self._other_regions)
        return found

    def column(self, key: str) -> Iterator[Any]:
        """The ids under a key; None where there is none."""
        values = self._numbers[key]
        if not self.odd:
            return iter(values)
        return (
            fields_of(self.odd[place]).get(key) if place in self.odd else value
            for place, value in enumerate(values)
        )

    def numbers(self, key: str) -> NDArray[np.int64] | None:
        """(n,) the ids under a key, if all are whole numbers."""
        return None if self.odd else _numbers(self._numbers[key])

    def has_regions(self) -> bool:
        """Whether any has a segmentation that is not empty."""
        if not self.odd and not self._regions.data and not self._other_regions:
            return False
        return any(fields_of(annotation).get("segmentation") for annotation in self)

    def crowds(self) -> Iterator[tuple[int, Any]]:
        """Places and contents of those that may be crowds."""
        kinds = np.frombuffer(self._kinds, dtype=np.uint8)
        for place in np.flatnonzero((kinds == _ODD) | (kinds & _CROWD > 0)).tolist():
            yield place, self[place]


def _is_exact(value: Any) -> bool:
    """Whether a number is the same as a float; NaN and infinity are not."""
    return (type(value) is float or type(value) is int) and -_EXACT <= value <= _EXACT


def _slim(item: Any) -> Any:
    """An annotation with the keys that are used."""
    if type(item) is not dict:
        return item
    found = {key: item[key] for key in _USED if key in item}
    if "segmentation" in found:
        found["segmentation"] = packed(found["segmentation"])
    return found


def _numbers(values: array[int]) -> NDArray[np.int64]:
    return np.frombuffer(values, dtype=np.int64) if len(values) else np.zeros(0, dtype=np.int64)


def column(annotations: Sequence[Any], key: str) -> Iterator[Any]:
    """What annotations have under the key of an id; None where there is none."""
    if isinstance(annotations, Annotations):
        return annotations.column(key)
    return (fields_of(annotation).get(key) for annotation in annotations)


def has_regions(annotations: Sequence[Any]) -> bool:
    """Whether any annotation has a segmentation that is not empty."""
    if isinstance(annotations, Annotations):
        return annotations.has_regions()
    return any(fields_of(annotation).get("segmentation") for annotation in annotations)


class ByImage:
    """Places of the annotations of each image, in the order of the file."""

    def __init__(self, images: Sequence[Any], annotations: Sequence[Any]) -> None:
        owners = _owners_at_once(images, annotations)
        self._known: dict[Id, int] | None = None
        if owners is None:
            self._known = {}
            for place, image in enumerate(images):
                self._known.setdefault(image["id"], place)
            known = ById(self._known)
            found = (known.find(number) for number in column(annotations, "image_id"))
            owners = np.fromiter((-1 if one is None else one for one in found), np.int64, len(annotations))
        self._images = images
        order = np.argsort(owners, kind="stable")
        ends = np.searchsorted(owners[order], np.arange(len(images)), side="right")
        self.strays: list[int] = order[: int((owners < 0).sum())].tolist()  # annotations without an image
        self._order, self._ends, self._strays = order, ends, len(self.strays)

    def of(self, place: int) -> list[int]:
        """Places of the annotations of the image at a place."""
        start = int(self._ends[place - 1]) if place else self._strays
        found: list[int] = self._order[start : int(self._ends[place])].tolist()
        return found

    def finder(self) -> ById[int]:
        """The places of images by their ids."""
        if self._known is None:
            self._known = {image["id"]: place for place, image in enumerate(self._images)}
        return ById(self._known)


def _owners_at_once(images: Sequence[Any], annotations: Sequence[Any]) -> NDArray[np.int64] | None:
    """(n,) the place of each annotation's image, -1 for none; None if ids are not all whole numbers."""
    if not isinstance(images, Images) or not isinstance(annotations, Annotations):
        return None
    ids, wanted = images.numbers(), annotations.numbers("image_id")
    if ids is None or wanted is None:
        return None
    order = np.argsort(ids)
    place = np.searchsorted(ids, wanted, sorter=order).clip(max=len(ids) - 1)
    found = order[place]
    return np.where(ids[found] == wanted, found, -1)


def read_content(
    path: Path, progress: Progress | None = None, repeated: set[str] | None = None
) -> dict[str, Any]:
    """The content of an annotation file; of a large one, images and annotations are in columns.

    Args:
        path: The file.
        progress: Told of the bytes read, and of all bytes.
        repeated: Keys that come more than once are added to it; the last counts.

    Raises:
        DataError: It is no COCO instances, or damaged.
    """
    if path.is_file() and path.stat().st_size <= SMALL:
        whole: dict[str, Any] = read_json(path)
        refuse_content(whole, path)
        return whole
    content: dict[str, Any] = {}
    for part in object_parts(path, STREAMED, progress):
        if part.key in content and part.begins and repeated is not None:
            repeated.add(part.key)
        if part.key is None:
            refuse_content(part.value, path)
        elif not part.is_items:
            content[part.key] = part.value
        else:
            if part.begins:
                content[part.key] = Images() if part.key == "images" else Annotations()
            content[part.key].add(part.value)
    refuse_content(content, path)
    return content


def refuse_content(content: Any, path: Path) -> None:
    """Check that a content is one of COCO instances.

    Raises:
        DataError: It is not.
    """
    for key in LISTS:
        if not isinstance(content, dict) or not isinstance(content.get(key), (list, Rows)):
            found = ", ".join(list(content)[:8]) if isinstance(content, dict) else type(content).__name__
            raise DataError(
                f"{path}: no list {key!r}, expected COCO instances (images, annotations, categories), found "
                f"{found or 'nothing'}: name the right file by data.annotations, or the format by data.format"
            )
    for key in ("images", "categories"):
        if not content[key]:
            raise DataError(f"{path}: the list {key!r} is empty")
