"""Objects of the ground truth and masks to score, as COCO's codes with images and classes numbered from 1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import DataError
from boxseg.formats import run_lengths
from boxseg.formats.coco_results import image_id
from boxseg.formats.regions import UNREADABLE_REGION, encode_region
from boxseg.scoring.label_scores import report_unreadable


@dataclass(frozen=True, kw_only=True, eq=False)
class TrueObjects:
    """The objects of some images.

    Attributes:
        classes: Names of classes 1..L.
        labels: Class 1..L by the ids that results call them by; 0 for classes that are left out.
        samples: The images; number n is the n-th of them.
        objects: COCO annotations: id, image_id, category_id, iscrowd, area, segmentation (a code), bbox.
    """

    classes: tuple[str, ...]
    labels: Mapping[int, int]
    samples: tuple[Sample, ...]
    objects: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundMasks:
    """Results on these images.

    Attributes:
        masks: image_id, category_id, segmentation (a code), score.
        elsewhere: Number of results on other images, which are left out.
    """

    masks: list[dict[str, Any]]
    elsewhere: int


def true_objects(dataset: BoxDataset, samples: Sequence[Sample]) -> TrueObjects:
    """The objects of images of a data set, which all have `instances`.

    Images with a region that cannot be read are left out.

    Raises:
        DataError: No image is left.
    """
    # Equal scores are ranked by image: by its id, so that AP is COCO's to the last digit.
    ordered = sorted(samples, key=lambda sample: (isinstance(image_id(sample), str), image_id(sample)))
    read = {sample.id: _codes(sample) for sample in ordered}
    codes = {name: found for name, found in read.items() if isinstance(found, list)}
    unreadable = {name: found for name, found in read.items() if isinstance(found, str)}
    report_unreadable(unreadable, len(ordered))
    ordered = [sample for sample in ordered if sample.id in codes]
    objects: list[dict[str, Any]] = []
    for number, sample in enumerate(ordered, start=1):
        for instance, code in zip(sample.instances or (), codes[sample.id], strict=True):
            area = float(run_lengths.area(code)) if instance.area is None else instance.area
            objects.append(
                {
                    "id": len(objects) + 1,
                    "image_id": number,
                    "category_id": instance.label,
                    "iscrowd": int(instance.crowd),
                    "area": area,
                    "segmentation": code,
                    "bbox": list(run_lengths.bounds(code)),
                }
            )
    return TrueObjects(
        classes=dataset.classes,
        labels=dataset.labels_by_category,
        samples=tuple(ordered),
        objects=objects,
    )


def _codes(sample: Sample) -> list[dict[str, Any]] | str:
    """The codes of an image's objects, or why one cannot be read."""
    try:
        return [encode_region(one.region, sample.width, sample.height) for one in sample.instances or ()]
    except UNREADABLE_REGION as error:
        return f"{sample.image.name}: segmentation cannot be read ({error})"


def found_masks(results: Sequence[Mapping[str, Any]], truth: TrueObjects, source: object) -> FoundMasks:
    """The results on the images of the truth.

    Args:
        results: COCO results: image_id and category_id of the data's own, segmentation, score.
        truth: The images.
        source: Where the results are, as errors name it.

    Raises:
        DataError: A result has an unknown class, no finite score or no mask that fits its image.
    """
    numbers = {
        name: number
        for number, sample in enumerate(truth.samples, start=1)
        for name in (image_id(sample), *sample.more_image_ids)
    }
    masks, others = [], 0
    for place, result in enumerate(results):
        if (number := numbers.get(result["image_id"])) is not None:
            if truth.labels.get(result["category_id"]) == 0:
                others += 1
                continue
            sample = truth.samples[number - 1]
            masks.append(
                {"image_id": number, **_mask(result, truth.labels, sample, f"{source}: result {place}")}
            )
    return FoundMasks(masks=masks, elsewhere=len(results) - len(masks) - others)


def _mask(result: Mapping[str, Any], labels: Mapping[int, int], sample: Sample, name: str) -> dict[str, Any]:
    """A result on an image: its class 1..L, its code and its score."""
    category, score = result["category_id"], result["score"]
    if category not in labels:
        raise DataError(f"{name}: category_id {category} is not a class of the data")
    if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score):
        raise DataError(f"{name}: score {score} is not a finite number")
    try:
        code = encode_region(result["segmentation"], sample.width, sample.height)
    except UNREADABLE_REGION as error:
        raise DataError(f"{name}: segmentation is not a mask of {sample.image.name} ({error})") from error
    return {"category_id": labels[category], "segmentation": code, "score": float(score)}
