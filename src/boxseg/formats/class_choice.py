"""Some classes of a data set in place of all: chosen by `data.classes`, merged by `data.merge`.

This is the last step of reading, and the same for every format: no reader, and no rule for broken items, knows
of it. All that has classes changes together: boxes, crowds, outlines, and the values of masks.

An object of a class that is left out is background, like anything else of which the chosen classes say
nothing: the annotators have looked at it, and it is none of these. So it is unlike an object that cannot be
read, which may be of any class, and is ignored. A photo that keeps no box stays: it shows what is none of the
classes. To keep objects apart from the background, merge their classes into one of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from boxseg.config import Data
from boxseg.dataset import BACKGROUND, IGNORE, BoxDataset, ClassChoice, Instance, Sample
from boxseg.errors import ConfigError, did_you_mean
from boxseg.formats.regions import RegionMask
from boxseg.wording import listed

_SHOWN = 20  # names in an error


@dataclass(frozen=True)
class ChosenMask:
    """Ground truth by other classes: 255 stays."""

    read: Callable[[], NDArray[np.uint8]]
    labels: tuple[int, ...]  # class 1..L of each value from 0

    def __call__(self) -> NDArray[np.uint8]:
        """The (H, W) uint8 mask; errors as of `read`."""
        table = np.full(256, IGNORE, dtype=np.uint8)
        known = self.labels[:IGNORE]
        table[: len(known)] = known
        return table[self.read()]


def choose_classes(
    dataset: BoxDataset, data: Data, held: Callable[[Iterable[Sample]], Sequence[Sample]] = tuple
) -> BoxDataset:
    """The data set with the classes that `data` asks for; as it is, if all are asked for.

    `held` makes the sequence of the new samples, which are made one at a time.

    Raises:
        ConfigError: `data` names a class that there is not.
    """
    # Photos may be read without classes, where no boxes are needed.
    if not dataset.classes or not (data.classes or data.merge):
        return dataset
    classes, labels = _plan(dataset, data)
    table = np.array([BACKGROUND, *labels], dtype=np.int64)
    boxes = Counter(label for sample in dataset.samples for label in sample.labels.tolist())
    choice = ClassChoice(
        own=dataset.classes,
        labels=labels,
        boxes=tuple(boxes[label] for label in range(1, len(labels) + 1)),
        category_ids=dataset.category_ids,
    )
    return replace(
        dataset,
        classes=classes,
        samples=held(_chosen(sample, table) for sample in dataset.samples),
        category_ids=_category_ids(classes, choice),
        choice=choice,
    )


def _plan(dataset: BoxDataset, data: Data) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names of the classes 1..L, and the class of each of the data set's own; 0 for those left out."""
    own, merge = dataset.classes, data.merge or {}
    for name in merge:
        _check(name, own, "data.merge", dataset)
    becomes = [merge.get(name, name) for name in own]
    # A class that takes others in stands at its own place, a new one at that of the first of its parts.
    there = dict.fromkeys(new for name, new in zip(own, becomes, strict=True) if new == name or new not in own)
    for name in data.classes:
        _check(name, tuple(there), "data.classes", dataset)
    classes = data.classes or tuple(there)
    numbers = {name: number for number, name in enumerate(classes, start=1)}
    return classes, tuple(numbers.get(new, BACKGROUND) for new in becomes)


def _check(name: str, known: Sequence[str], option: str, dataset: BoxDataset) -> None:
    if name in known:
        return
    merged = ", after merging" if option == "data.classes" and tuple(known) != dataset.classes else ""
    raise ConfigError(
        f"{option}: split {dataset.split} of {dataset.root} has no class {name!r}{did_you_mean(name, known)} "
        f"(its classes{merged}: {listed(known, _SHOWN)})"
    )


def _category_ids(classes: Sequence[str], choice: ClassChoice) -> tuple[int, ...]:
    """COCO's ids: that of the class of the same name, of a new one the lowest of its parts."""
    if not choice.category_ids:
        return ()
    parts = list(zip(choice.own, choice.labels, choice.category_ids, strict=True))
    named = {name: number for name, label, number in parts if label and classes[label - 1] == name}
    lowest = {
        name: min(number for _, label, number in parts if label == place)
        for place, name in enumerate(classes, start=1)
    }
    return tuple(named.get(name, lowest[name]) for name in classes)


def _chosen(sample: Sample, table: NDArray[np.int64]) -> Sample:
    """A photo with the class that `table` (K + 1,) has for each of the data set's own, from 0."""
    labels = table[sample.labels]
    keep = labels != BACKGROUND
    ids = sample.annotation_ids
    unknown = np.zeros(len(sample.crowds), dtype=np.int64)
    owners = sample.crowd_labels if len(sample.crowd_labels) else unknown
    left = (owners == 0) | (table[owners] != BACKGROUND)
    return replace(
        sample,
        boxes=sample.boxes[keep],
        labels=labels[keep],
        difficult=sample.difficult[keep],
        crowds=sample.crowds[left],
        crowd_labels=table[owners[left]],
        ground_truth=_truth(sample, table.tolist()),
        ignored=_ignored(sample, left),
        instances=_instances(sample, table),
        annotation_ids=None if ids is None else tuple(np.array(ids, dtype=object)[keep].tolist()),
    )


def _ignored(sample: Sample, left: NDArray[np.bool_]) -> Callable[[], NDArray[np.uint8]] | None:
    """The mask of the crowds that are left."""
    mask = sample.ignored
    if not isinstance(mask, RegionMask):
        return mask
    regions = tuple(region for region, stays in zip(mask.regions, left.tolist(), strict=True) if stays)
    return replace(mask, regions=regions, labels=(IGNORE,) * len(regions)) if regions else None


def _instances(sample: Sample, table: NDArray[np.int64]) -> tuple[Instance, ...] | None:
    if sample.instances is None:
        return None
    return tuple(replace(one, label=int(table[one.label])) for one in sample.instances if table[one.label])


def _truth(sample: Sample, table: Sequence[int]) -> Callable[[], NDArray[np.uint8]] | None:
    truth = sample.ground_truth
    if not isinstance(truth, RegionMask):
        return None if truth is None else ChosenMask(truth, tuple(table))
    # Objects that are left out are painted as background: they may lie in front of others. Their crowds are
    # not, as crowds lie below all objects.
    if sample.instances is not None and len(sample.instances) == len(truth.labels):
        owners = [(one.label, one.crowd) for one in sample.instances]
    else:
        # Of 255 classes and more, number 255 is a class.
        crowd = IGNORE if len(table) <= IGNORE else None
        owners = [(0 if label == crowd else label, label == crowd) for label in truth.labels]
    kept = [place for place, (own, crowd) in enumerate(owners) if not crowd or not own or table[own]]
    return replace(
        truth,
        regions=tuple(truth.regions[place] for place in kept),
        labels=tuple(IGNORE if owners[place][1] else table[owners[place][0]] for place in kept),
    )
