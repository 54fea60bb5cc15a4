"""Samples on their way into columns."""

from __future__ import annotations

from array import array
from functools import partial
from typing import Any

import numpy as np

from boxseg.dataset import IGNORE, Instance, Sample
from boxseg.formats.class_choice import ChosenMask
from boxseg.formats.columns import Table, TextsMade, decimals, fits, narrow, pack_region
from boxseg.formats.masks import read_mask
from boxseg.formats.regions import RegionMask
from boxseg.formats.sample_columns import (
    MASK_FILE,
    NO_ID,
    NO_TRUTH,
    NUMBER,
    OTHER_TRUTH,
    OUTLINES,
    TEXT,
    Columns,
)

# Fields that tell of single photos only.
_RARE = ("more_image_ids", "corrections")


class Packer:
    """Columns that grow by a sample at a time."""

    def __init__(self) -> None:
        self._texts = {name: TextsMade() for name in ("ids", "names", "image_ids", "mask_names", "regions")}
        wholes = (name for name, kind in Columns.__annotations__.items() if kind == "Whole")
        self._wholes = {name: array("q") for name in wholes}
        bools = (name for name, kind in Columns.__annotations__.items() if kind == "NDArray[np.bool_]")
        self._bools = {name: bytearray() for name in bools}
        self._decimals = {name: array("d") for name in ("corners", "crowd_corners", "instance_area")}
        self._folders, self._mask_places, self._sources, self._choices = Table(), Table(), Table(), Table()
        self._others: dict[int, dict[str, Any]] = {}
        self._other_regions: dict[int, Any] = {}
        self._parents: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._texts["ids"].ends)

    def add(self, sample: Sample) -> None:
        """Add a sample."""
        whole, place = self._wholes, len(self)
        others: dict[str, Any] = {name: value for name in _RARE if (value := getattr(sample, name))}
        known: dict[int, int] = {}
        self._texts["ids"].add(sample.id)
        self._texts["names"].add(sample.image.name)
        whole["folder"].append(self._folders.number(sample.image.parent))
        whole["width"].append(sample.width)
        whole["height"].append(sample.height)
        self._bools["as_stored"].append(sample.as_stored)
        number = sample.image_id
        said = "" if number is None else f"{TEXT if isinstance(number, str) else NUMBER}{number}"
        self._texts["image_ids"].add(said)
        self._add_boxes(sample, others)
        self._add_truth(sample, others, known)
        self._add_ignored(sample, others, known)
        self._add_instances(sample, others, known)
        if others:
            self._others[place] = others

    def _add_boxes(self, sample: Sample, others: dict[str, Any]) -> None:
        whole, count = self._wholes, len(sample.labels)
        self._decimals["corners"].frombytes(sample.boxes.astype(np.float64, copy=False).tobytes())
        whole["labels"].frombytes(sample.labels.astype(np.int64, copy=False).tobytes())
        self._bools["difficult"] += sample.difficult.astype(np.bool_, copy=False).tobytes()
        ids = sample.annotation_ids
        numbered = ids is not None and len(ids) == count and all(type(n) is int and fits(n) for n in ids)
        whole["annotation_ids"].extend(ids if numbered and ids is not None else [0] * count)  # type: ignore[arg-type]
        self._bools["has_annotation_ids"].append(numbered)
        if ids is not None and not numbered:
            others["annotation_ids"] = ids
        whole["box_end"].append(len(whole["labels"]))
        self._decimals["crowd_corners"].frombytes(sample.crowds.astype(np.float64, copy=False).tobytes())
        owners = sample.crowd_labels.astype(np.int64, copy=False)
        if len(owners) != len(sample.crowds):
            others["crowd_labels"] = sample.crowd_labels
            owners = np.zeros(len(sample.crowds), dtype=np.int64)
        whole["crowd_labels"].frombytes(owners.tobytes())
        whole["crowd_end"].append(len(whole["crowd_labels"]))

    def _add_truth(self, sample: Sample, others: dict[str, Any], known: dict[int, int]) -> None:
        truth, whole = sample.ground_truth, self._wholes
        choice = source = mask_place = 0
        kind, mask_name = NO_TRUTH, ""
        if type(truth) is ChosenMask:
            choice = self._choices.number(truth.labels) + 1
            truth = truth.read
        if type(truth) is RegionMask and (truth.width, truth.height) == (sample.width, sample.height):
            kind, source = OUTLINES, self._source(truth.source, sample)
            whole["truth_region"].extend(self._region(region, known) for region in truth.regions)
            whole["truth_label"].extend(truth.labels)
        elif (
            type(truth) is partial
            and truth.func is read_mask
            and not truth.keywords
            and [*map(type, truth.args)] == [type(sample.image), int]
        ):
            path, classes = truth.args
            kind, mask_name = MASK_FILE, path.name
            mask_place = self._mask_places.number((path.parent, classes))
        elif truth is not None:
            kind, others["ground_truth"] = OTHER_TRUTH, sample.ground_truth
        whole["truth_kind"].append(kind)
        whole["truth_choice"].append(choice)
        whole["truth_source"].append(source)
        whole["truth_end"].append(len(whole["truth_label"]))
        whole["mask_place"].append(mask_place)
        self._texts["mask_names"].add(mask_name)

    def _add_ignored(self, sample: Sample, others: dict[str, Any], known: dict[int, int]) -> None:
        mask, whole, source = sample.ignored, self._wholes, 0
        packable = (
            type(mask) is RegionMask
            and set(mask.labels) == {IGNORE}
            and (mask.width, mask.height) == (sample.width, sample.height)
        )
        if packable and isinstance(mask, RegionMask):
            source = self._source(mask.source, sample)
            whole["ignored_region"].extend(self._region(region, known) for region in mask.regions)
        elif mask is not None:
            others["ignored"] = mask
        self._bools["has_ignored"].append(packable)
        whole["ignored_source"].append(source)
        whole["ignored_end"].append(len(whole["ignored_region"]))

    def _add_instances(self, sample: Sample, others: dict[str, Any], known: dict[int, int]) -> None:
        instances, whole = sample.instances, self._wholes
        packable = instances is not None and all(map(_is_plain, instances))
        for one in instances if packable and instances is not None else ():
            whole["instance_region"].append(self._region(one.region, known))
            whole["instance_label"].append(one.label)
            self._bools["instance_crowd"].append(one.crowd)
            self._decimals["instance_area"].append(np.nan if one.area is None else one.area)
            number = one.annotation_id
            whole["instance_id"].append(number if type(number) is int and fits(number) else NO_ID)
        ids = tuple(one.annotation_id for one in instances or ())
        if packable and not all(number is None or (type(number) is int and fits(number)) for number in ids):
            others["instance_ids"] = ids
        if instances is not None and not packable:
            others["instances"] = instances
        self._bools["has_instances"].append(packable)
        whole["instance_end"].append(len(whole["instance_label"]))

    def _region(self, region: Any, known: dict[int, int]) -> int:
        """Place of an outline, which the ground truth and the instances of a sample share."""
        if id(region) not in known:
            known[id(region)] = pack_region(region, self._texts["regions"], self._other_regions)
        return known[id(region)]

    def _source(self, source: str, sample: Sample) -> int:
        start = source.removesuffix(sample.image.name)
        return self._sources.number(start if start.endswith(": ") else source)

    def done(self) -> Columns:
        """The columns."""
        columns: dict[str, Any] = {name: made.done() for name, made in self._texts.items()}
        for name in list(self._wholes):
            columns[name] = narrow(self._wholes.pop(name))
        for name, flags in self._bools.items():
            columns[name] = np.frombuffer(flags, dtype=np.bool_) if flags else np.zeros(0, dtype=np.bool_)
        columns |= {name: decimals(values) for name, values in self._decimals.items()}
        columns |= {
            "folders": self._folders.done(),
            "mask_places": self._mask_places.done(),
            "sources": self._sources.done(),
            "choices": self._choices.done(),
        }
        return Columns(**columns, others=self._others, other_regions=self._other_regions)


def _is_plain(one: Instance) -> bool:
    """Whether an object has a place in columns."""
    return type(one.crowd) is bool and (one.area is None or (type(one.area) is float and one.area == one.area))
