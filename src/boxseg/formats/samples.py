"""The samples of a data set of any size, held in columns: a `Sample` is made when somebody asks for it.

    samples = held(samples)           # from any samples, one at a time: of a few thousand, a tuple
    few = chosen(samples, [len(sample.labels) > 0 for sample in samples])  # shares the columns

A sample out of columns reads what it is asked for, and no more. It is equal to the same photo of the same data
set, and pickled as a plain `Sample`. What has no place in columns, such as ground truth of a kind that is not
known here, is kept as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from boxseg.dataset import IGNORE, Instance, Sample
from boxseg.formats.class_choice import ChosenMask
from boxseg.formats.columns import Whole, span, unpack_region
from boxseg.formats.masks import read_mask
from boxseg.formats.packing import Packer
from boxseg.formats.regions import RegionMask
from boxseg.formats.sample_columns import MASK_FILE, NO_ID, NO_TRUTH, NUMBER, Columns

# So many samples take little memory as objects, which need not be made each time.
FEW = 2000


class _Field:
    """A field that is read from the columns the first time."""

    def __init__(self, read: Callable[[Columns, int, dict[str, Any]], Any]) -> None:
        self._read = read

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, sample: _Kept | None, owner: type | None = None) -> Any:
        if sample is None:
            return self
        inside = sample.__dict__
        columns, place = inside["_columns"], inside["_place"]
        rare = columns.others.get(place) if columns.others else None
        if rare is not None and self._name in rare:
            value = rare[self._name]
        else:
            value = self._read(columns, place, inside)
        inside[self._name] = value
        return value


def _corners(values: NDArray[np.float64], ends: Whole, place: int) -> NDArray[np.float64]:
    start, end = span(ends, place)
    return np.array(values[4 * start : 4 * end].reshape(-1, 4))


def _wholes(values: Whole, ends: Whole, place: int) -> NDArray[np.int64]:
    start, end = span(ends, place)
    return values[start:end].astype(np.int64)


def _region(columns: Columns, place: int, inside: dict[str, Any]) -> Any:
    """An outline, the same object for the ground truth and the instances of a sample."""
    known = inside.setdefault("_regions", {})
    if place not in known:
        known[place] = unpack_region(columns.regions, place, columns.other_regions)
    return known[place]


def _image(columns: Columns, place: int, _: object) -> Path:
    return columns.folders[int(columns.folder[place])] / columns.names.text(place)


def _image_id(columns: Columns, place: int, _: object) -> int | str | None:
    text = columns.image_ids.text(place)
    if not text:
        return None
    return int(text[1:]) if text[0] == NUMBER else text[1:]


def _annotation_ids(columns: Columns, place: int, _: object) -> tuple[int | str, ...] | None:
    if not columns.has_annotation_ids[place]:
        return None
    return tuple(_wholes(columns.annotation_ids, columns.box_end, place).tolist())


def _truth(columns: Columns, place: int, inside: dict[str, Any]) -> Any:
    kind, choice = int(columns.truth_kind[place]), int(columns.truth_choice[place])
    if kind == NO_TRUTH:
        return None
    truth: Any
    if kind == MASK_FILE:
        folder, classes = columns.mask_places[int(columns.mask_place[place])]
        truth = partial(read_mask, folder / columns.mask_names.text(place), classes)
    else:
        start, end = span(columns.truth_end, place)
        regions = (_region(columns, each, inside) for each in columns.truth_region[start:end].tolist())
        labels = tuple(columns.truth_label[start:end].tolist())
        truth = RegionMask(tuple(regions), labels, *_frame(columns, place, columns.truth_source))
    return ChosenMask(truth, columns.choices[choice - 1]) if choice else truth


def _frame(columns: Columns, place: int, sources: Whole) -> tuple[str, int, int]:
    """Source, width and height of a mask."""
    source = columns.sources[int(sources[place])]
    named = f"{source}{columns.names.text(place)}" if source.endswith(": ") else source
    return named, int(columns.width[place]), int(columns.height[place])


def _ignored(columns: Columns, place: int, inside: dict[str, Any]) -> RegionMask | None:
    if not columns.has_ignored[place]:
        return None
    start, end = span(columns.ignored_end, place)
    regions = tuple(_region(columns, each, inside) for each in columns.ignored_region[start:end].tolist())
    return RegionMask(regions, (IGNORE,) * len(regions), *_frame(columns, place, columns.ignored_source))


def _instances(columns: Columns, place: int, inside: dict[str, Any]) -> tuple[Instance, ...] | None:
    if not columns.has_instances[place]:
        return None
    start, end = span(columns.instance_end, place)
    own = slice(start, end)
    ids = columns.others.get(place, {}).get("instance_ids")
    rows = zip(
        columns.instance_label[own].tolist(),
        columns.instance_region[own].tolist(),
        columns.instance_crowd[own].tolist(),
        columns.instance_area[own].tolist(),
        [None if number == NO_ID else number for number in columns.instance_id[own].tolist()]
        if ids is None
        else ids,
        strict=True,
    )
    return tuple(
        Instance(
            label=label,
            region=_region(columns, region, inside),
            crowd=crowd,
            area=None if area != area else area,
            annotation_id=number,
        )
        for label, region, crowd, area, number in rows
    )


class _Kept(Sample):
    """A sample out of columns. Its class is `Sample`: copies of it with other values are plain samples."""

    id = _Field(lambda columns, place, _: columns.ids.text(place))
    image = _Field(_image)
    width = _Field(lambda columns, place, _: int(columns.width[place]))
    height = _Field(lambda columns, place, _: int(columns.height[place]))
    boxes = _Field(lambda columns, place, _: _corners(columns.corners, columns.box_end, place))
    labels = _Field(lambda columns, place, _: _wholes(columns.labels, columns.box_end, place))
    difficult = _Field(lambda columns, place, _: columns.difficult[slice(*span(columns.box_end, place))].copy())
    crowds = _Field(lambda columns, place, _: _corners(columns.crowd_corners, columns.crowd_end, place))
    crowd_labels = _Field(lambda columns, place, _: _wholes(columns.crowd_labels, columns.crowd_end, place))
    ground_truth = _Field(_truth)
    ignored = _Field(_ignored)
    instances = _Field(_instances)
    image_id = _Field(_image_id)
    more_image_ids = _Field(lambda columns, place, _: ())
    annotation_ids = _Field(_annotation_ids)
    as_stored = _Field(lambda columns, place, _: bool(columns.as_stored[place]))
    corrections = _Field(lambda columns, place, _: {})

    @property  # type: ignore[misc]
    def __class__(self) -> type[Sample]:  # type: ignore[override]
        return Sample

    def __reduce__(self) -> tuple[Any, ...]:
        return _plain, ({each.name: getattr(self, each.name) for each in fields(Sample)},)

    def __eq__(self, other: object) -> bool:
        return self is other or (type(other) is _Kept and _key(self) == _key(other))

    def __hash__(self) -> int:
        return hash(_key(self))


def _key(sample: _Kept) -> tuple[int, int]:
    return id(sample.__dict__["_columns"]), sample.__dict__["_place"]


def _plain(values: dict[str, Any]) -> Sample:
    return Sample(**values)


class Samples(Sequence[Sample]):
    """Samples out of columns: all of them, or some in any order. Slices share the columns."""

    __slots__ = ("_columns", "_places")

    def __init__(self, columns: Columns, places: Whole | range | None = None) -> None:
        self._columns = columns
        self._places: Whole | range = range(len(columns)) if places is None else places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> Sample: ...

    @overload
    def __getitem__(self, place: slice) -> Samples: ...

    def __getitem__(self, place: int | slice) -> Sample | Samples:
        if isinstance(place, slice):
            return Samples(self._columns, self._places[place])
        return self._at(int(self._places[place]))

    def __iter__(self) -> Iterator[Sample]:
        return map(self._at, self._places if isinstance(self._places, range) else map(int, self._places))

    def _at(self, place: int) -> Sample:
        sample = object.__new__(_Kept)
        sample.__dict__.update(_columns=self._columns, _place=place)
        return sample

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Samples):
            return NotImplemented
        return self is other or (
            len(self) == len(other)
            and (not len(self) or self._columns is other._columns)
            and np.array_equal(self._places, other._places)
        )

    def __hash__(self) -> int:
        return hash((id(self._columns), len(self)))

    def __repr__(self) -> str:
        return f"Samples({len(self)} of {len(self._columns)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Samples, ((self if self.is_whole else packed(self))._columns,)

    @property
    def is_whole(self) -> bool:
        """Whether these are all samples of the columns, in their order."""
        return isinstance(self._places, range) and self._places == range(len(self._columns))

    @property
    def columns(self) -> Columns:
        """The columns, of these and perhaps of more samples."""
        return self._columns

    @property
    def places(self) -> Whole | range:
        """The places of these samples in the columns, in order."""
        return self._places


def chosen(samples: Sequence[Sample], keep: Iterable[object]) -> Sequence[Sample]:
    """The samples for which `keep` is true, in order; of samples out of columns without a copy."""
    if not isinstance(samples, Samples):
        return tuple(sample for sample, kept in zip(samples, keep, strict=True) if kept)
    flags = np.fromiter((bool(kept) for kept in keep), dtype=bool, count=len(samples))
    return samples if flags.all() else Samples(samples.columns, np.asarray(samples.places)[flags])


def held(samples: Iterable[Sample]) -> Sequence[Sample]:
    """Samples, taken one at a time: a tuple if they are few, else in columns."""
    made = Held()
    for sample in samples:
        made.add(sample)
    return made.done()


class Held:
    """Samples that come one at a time."""

    def __init__(self) -> None:
        self._few: list[Sample] = []
        self._many: Packer | None = None

    def add(self, sample: Sample) -> None:
        """Add a sample."""
        if self._many is not None:
            self._many.add(sample)
            return
        self._few.append(sample)
        if len(self._few) > FEW:
            self._many = Packer()
            for each in self._few:
                self._many.add(each)
            self._few.clear()

    def done(self, order: NDArray[np.int64] | None = None) -> Sequence[Sample]:
        """The samples, in the order in which they came, or in another one."""
        if self._many is not None:
            return Samples(self._many.done(), order)
        return tuple(self._few if order is None else [self._few[place] for place in order])


def packed(samples: Iterable[Sample]) -> Samples:
    """Samples in columns, taken one at a time."""
    made = Packer()
    for sample in samples:
        made.add(sample)
    return Samples(made.done())
