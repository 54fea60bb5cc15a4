"""COCO's average precision of masks: AP over ten overlaps, AP50, AP75, and by size of the object.

faster-coco-eval counts; what is here hands it clean numbers and reads its answer.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from faster_coco_eval.core import COCO, COCOeval_faster
from numpy.typing import NDArray

from boxseg.scoring.coco_masks import FoundMasks, TrueObjects


@dataclass(frozen=True, kw_only=True)
class Means:
    """Average precisions, each a share 0..1; None where the ground truth has no such object.

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


def average_precision(truth: TrueObjects, found: FoundMasks) -> Precision:
    """COCO mask AP of results.

    Source: COCO, Detection Evaluation (https://cocodataset.org/#detection-eval).
    """
    table = _precision_table(truth, found)
    return Precision(
        images=len(truth.samples),
        results=len(found.masks),
        elsewhere=found.elsewhere,
        mean=_means(table),
        classes={name: _means(table[:, :, [place]]) for place, name in enumerate(truth.classes)},
    )


def _precision_table(truth: TrueObjects, found: FoundMasks) -> NDArray[np.float64]:
    """COCO's precisions by (overlap, recall, class, size), -1 where the truth has no such object."""
    # The evaluation writes into what it is given, and the truth serves several results.
    content: dict[str, Any] = {
        "info": {},
        "images": [{"id": n, "height": s.height, "width": s.width} for n, s in enumerate(truth.samples, 1)],
        "annotations": [dict(item) for item in truth.objects],
        "categories": [{"id": label, "name": name} for label, name in enumerate(truth.classes, start=1)],
    }
    known = COCO(content)
    evaluation = COCOeval_faster(known, known.loadRes([dict(mask) for mask in found.masks]), iouType="segm")
    evaluation.evaluate()
    evaluation.accumulate()
    most_detections: NDArray[np.float64] = np.asarray(evaluation.eval["precision"])[..., -1]  # 100 an image
    return most_detections


def _means(table: NDArray[np.float64]) -> Means:
    """Means of a table (overlap, recall, class, size) over the classes that have an object."""
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
