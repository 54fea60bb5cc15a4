"""COCO's average precision of masks: AP over ten overlaps, AP50, AP75, and by size of the object.

faster-coco-eval computes it; this module checks its input and reads its output.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from faster_coco_eval.core import COCO, COCOeval_faster
from faster_coco_eval.core import mask as coco_mask
from numpy.typing import NDArray

from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import DataError
from boxseg.formats.coco_results import image_id
from boxseg.formats.regions import UNREADABLE_REGION, encode_region


@dataclass(frozen=True, kw_only=True)
class Means:
    """Average precisions, each a share 0..1; None if the ground truth has no such object.

    Attributes:
        ap: Mean over overlaps 0.5, 0.55 … 0.95.
        ap50: At overlap 0.5.
        ap75: At overlap 0.75.
        ap_small: As `ap`, of objects smaller than 32² pixels.
        ap_medium: Of objects from there to 96² pixels.
        ap_large: Of larger ones.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None


@dataclass(frozen=True, kw_only=True)
class Precision:
    """Average precision of a results file.

    Attributes:
        images: Images of the ground truth that were scored.
        results: Results on these images.
        elsewhere: Results on other images, not scored.
        mean: Means over the classes that the ground truth has.
        classes: By class name.
    """

    images: int
    results: int
    elsewhere: int
    mean: Means
    classes: dict[str, Means]

    def as_dict(self) -> dict[str, Any]:
        """For metrics.json."""
        return {
            "images": self.images,
            "results": self.results,
            "results_elsewhere": self.elsewhere,
            **asdict(self.mean),
            "classes": {name: asdict(part) for name, part in self.classes.items()},
        }


def average_precision(
    results: Sequence[Mapping[str, Any]], dataset: BoxDataset, samples: Sequence[Sample], source: Path
) -> Precision:
    """COCO mask AP of results on these images.

    Args:
        results: COCO results: image_id and category_id of the data's own, run-length segmentation, score.
        dataset: The data set they are of.
        samples: Its images to score; all have `instances`.
        source: File of the results, named in errors.

    Raises:
        DataError: A result has an unknown class, no finite score or no mask that fits its image; or a region of
            the ground truth is broken.

    Source: COCO, Detection Evaluation (https://cocodataset.org/#detection-eval).
    """
    # Equal scores are ranked by image id, as in COCO's own code, so that numbers agree to the last digit.
    ordered = sorted(samples, key=lambda sample: (isinstance(image_id(sample), str), image_id(sample)))
    numbers = {image_id(sample): number for number, sample in enumerate(ordered, start=1)}
    ids = dataset.category_ids or range(1, len(dataset.classes) + 1)
    labels = {category: label for label, category in enumerate(ids, start=1)}
    found = []
    for place, result in enumerate(results):
        if (number := numbers.get(result["image_id"])) is not None:
            found.append(_detection(result, number, labels, ordered[number - 1], f"{source}: result {place}"))
    table = _precision_table(_truth(dataset, ordered), found)
    return Precision(
        images=len(samples),
        results=len(found),
        elsewhere=len(results) - len(found),
        mean=_means(table),
        classes={name: _means(table[:, :, [place]]) for place, name in enumerate(dataset.classes)},
    )


def _truth(dataset: BoxDataset, samples: Sequence[Sample]) -> dict[str, Any]:
    """COCO instances of these images: images, classes and objects numbered from 1."""
    images = [{"id": n, "height": s.height, "width": s.width} for n, s in enumerate(samples, start=1)]
    annotations: list[dict[str, Any]] = []
    for number, sample in enumerate(samples, start=1):
        for instance in sample.instances or ():
            try:
                code = encode_region(instance.region, sample.width, sample.height)
            except UNREADABLE_REGION as error:
                raise DataError(f"{sample.image.name}: segmentation cannot be read ({error})") from error
            area = float(coco_mask.area(code)) if instance.area is None else instance.area
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": instance.label,
                    "iscrowd": int(instance.crowd),
                    "area": area,
                    "segmentation": code,
                    "bbox": [float(side) for side in coco_mask.toBbox(code)],
                }
            )
    categories = [{"id": label, "name": name} for label, name in enumerate(dataset.classes, start=1)]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}


def _detection(
    result: Mapping[str, Any], number: int, labels: Mapping[int, int], sample: Sample, name: str
) -> dict[str, Any]:
    """A result with images and classes numbered as in `_truth`."""
    category, score = result["category_id"], result["score"]
    if category not in labels:
        raise DataError(f"{name}: category_id {category} is not a class of the data")
    if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score):
        raise DataError(f"{name}: score {score} is not a finite number")
    try:
        code = encode_region(result["segmentation"], sample.width, sample.height)
    except UNREADABLE_REGION as error:
        raise DataError(f"{name}: segmentation is not a mask of {sample.image.name} ({error})") from error
    return {"image_id": number, "category_id": labels[category], "segmentation": code, "score": float(score)}


def _precision_table(truth: dict[str, Any], detections: list[dict[str, Any]]) -> NDArray[np.float64]:
    """COCO's precisions by (overlap, recall, class, size), -1 where the truth has no such object."""
    known = COCO(truth)
    evaluation = COCOeval_faster(known, known.loadRes(detections), iouType="segm")
    evaluation.evaluate()
    evaluation.accumulate()
    most_detections: NDArray[np.float64] = np.asarray(evaluation.eval["precision"])[..., -1]  # <= 100 an image
    return most_detections


def _means(table: NDArray[np.float64]) -> Means:
    """Means of a table (overlap, recall, class, size) over the classes with objects."""
    whole, small, medium, large = (table[..., size] for size in range(4))
    return Means(
        ap=_mean(whole),
        ap50=_mean(whole[0]),  # of the overlaps 0.5, 0.55 … 0.95
        ap75=_mean(whole[5]),
        ap_small=_mean(small),
        ap_medium=_mean(medium),
        ap_large=_mean(large),
    )


def _mean(precisions: NDArray[np.float64]) -> float | None:
    counted = precisions[precisions > -1]
    return float(counted.mean()) if counted.size else None
