"""AP equals pycocotools', which is COCO's own."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from boxseg.dataset import BoxDataset, Instance, Sample
from boxseg.errors import DataError
from boxseg.formats.coco_results import encode_mask
from boxseg.scoring.average_precision import Precision, average_precision
from boxseg.scoring.coco_masks import found_masks, true_objects

reference_mask = pytest.importorskip("pycocotools.mask")
COCO = pytest.importorskip("pycocotools.coco").COCO
COCOeval = pytest.importorskip("pycocotools.cocoeval").COCOeval

CLASSES = ("cup", "book", "unseen in the truth", "person")
IDS = (3, 17, 44, 90)
SIZE = (150, 200)
SOURCE = Path("results.json")


def rectangle(left: int, top: int, right: int, bottom: int) -> NDArray[np.bool_]:
    mask = np.zeros(SIZE, dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def scene(seed: int, images: int = 6) -> tuple[BoxDataset, list[dict[str, Any]]]:
    """Objects from 6 to 140 pixels a side, some of them crowds, and results that hit them more or less well."""
    random = np.random.default_rng(seed)
    samples, results = [], []
    numbers = random.permutation(1000)[:images].tolist()
    for number in numbers:
        instances = []
        for _ in range(random.integers(0, 9)):
            side = int(random.choice([6, 20, 31, 33, 60, 95, 97, 140]))
            left, top = (int(random.integers(0, limit - min(side, limit) + 1)) for limit in (SIZE[1], SIZE[0]))
            label = int(random.choice([1, 2, 4]))
            mask = rectangle(left, top, left + side, top + side)
            crowd = bool(random.random() < 0.2)
            x2, y2 = min(left + side, SIZE[1]), min(top + side, SIZE[0])
            polygon = [[left, top, x2, top, x2, y2, left, y2]]
            region = encode_mask(mask) if crowd or random.random() < 0.5 else polygon
            instances.append(Instance(label, region, crowd, float(mask.sum())))
            for _ in range(random.integers(0, 3)):
                shift = int(random.integers(-side // 5, side // 5 + 1))
                found = rectangle(max(left + shift, 0), top, left + shift + side, top + side - abs(shift) // 2)
                results.append(
                    {
                        "image_id": number,
                        "category_id": IDS[(label if random.random() < 0.9 else 3) - 1],
                        "segmentation": encode_mask(found),
                        "score": round(float(random.random()), 1),  # with ties
                    }
                )
        samples.append(
            Sample(
                id=f"photo {number}", image=Path(f"{number}.jpg"), width=SIZE[1], height=SIZE[0],
                boxes=np.zeros((0, 4)), labels=np.zeros(0, np.int64), difficult=np.zeros(0, bool),
                instances=tuple(instances), image_id=number,
            )
        )  # fmt: skip
    dataset = BoxDataset(
        root=Path("data"),
        format="coco",
        split="train",
        classes=CLASSES,
        samples=tuple(samples),
        category_ids=IDS,
    )
    return dataset, results


def by_pycocotools(dataset: BoxDataset, results: list[dict[str, Any]]) -> Any:
    """COCO's own evaluation, of an annotation file as COCO publishes them."""
    annotations: list[dict[str, Any]] = []
    for sample in dataset.samples:
        for instance in sample.instances or ():
            region = instance.region
            if isinstance(region, list):
                code = reference_mask.merge(reference_mask.frPyObjects(region, *SIZE))
            else:
                code = {**region, "counts": region["counts"].encode()}
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": sample.image_id,
                    "category_id": IDS[instance.label - 1], "iscrowd": int(instance.crowd),
                    "area": instance.area, "segmentation": region, "bbox": reference_mask.toBbox(code).tolist(),
                }
            )  # fmt: skip
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": s.image_id, "width": s.width, "height": s.height} for s in dataset.samples],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in zip(IDS, CLASSES, strict=True)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes([dict(result) for result in results]), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def score(dataset: BoxDataset, results: list[dict[str, Any]]) -> Precision:
    return score_on(dataset.samples, dataset, results)


def score_on(samples: Sequence[Sample], dataset: BoxDataset, results: list[dict[str, Any]]) -> Precision:
    truth = true_objects(dataset, samples)
    return average_precision(truth, found_masks(results, truth, SOURCE))


@pytest.mark.parametrize("seed", range(6))
def test_ap_is_that_of_pycocotools(seed: int) -> None:
    dataset, results = scene(seed)
    expected = by_pycocotools(dataset, results)
    actual = score(dataset, results)
    mean = actual.mean
    six = [mean.ap, mean.ap50, mean.ap75, mean.ap_small, mean.ap_medium, mean.ap_large]
    assert [-1 if value is None else value for value in six] == pytest.approx(expected.stats[:6], abs=1e-12)
    assert 0 < mean.ap < 1
    for place, name in enumerate(CLASSES):
        table = expected.eval["precision"][:, :, place, :, -1]
        own = actual.classes[name]
        for size, value in enumerate([own.ap, own.ap_small, own.ap_medium, own.ap_large]):
            part = table[..., size]
            assert value == (pytest.approx(part[part > -1].mean(), abs=1e-12) if (part > -1).any() else None)
        half = table[0, :, 0]
        assert own.ap50 == (pytest.approx(half.mean(), abs=1e-12) if (half > -1).any() else None)
    assert actual.classes["unseen in the truth"].ap is None


def test_the_cases_hold_what_they_are_made_for() -> None:
    instances = [i for seed in range(6) for s in scene(seed)[0].samples for i in s.instances or ()]
    areas = np.array([i.area for i in instances if not i.crowd])
    assert sum(i.crowd for i in instances) > 5
    assert min((areas < 32**2).sum(), ((areas > 32**2) & (areas < 96**2)).sum(), (areas > 96**2).sum()) > 10
    assert len({i.label for i in instances}) == 3


def test_perfect_masks_score_one_and_crowds_cost_nothing() -> None:
    dataset, _ = scene(1)
    results = []
    for sample in dataset.samples:
        for instance in sample.instances or ():
            region = instance.region
            if isinstance(region, list):
                x1, y1, x2, _, _, y2, *_ = region[0]
                region = encode_mask(rectangle(x1, y1, x2, y2))
            result = {"image_id": sample.image_id, "category_id": IDS[instance.label - 1], "score": 0.5}
            results += [{**result, "segmentation": region}] * (3 if instance.crowd else 1)
    assert score(dataset, results).mean.ap == 1


def test_images_that_are_not_scored_do_not_count() -> None:
    dataset, results = scene(2)
    half = dataset.samples[:3]
    kept = {sample.image_id for sample in half}
    actual = score_on(half, dataset, results)
    own = [result for result in results if result["image_id"] in kept]
    expected = by_pycocotools(replace(dataset, samples=half), own)
    assert actual.mean.ap == pytest.approx(expected.stats[0], abs=1e-12)
    assert (actual.images, actual.results, actual.elsewhere) == (3, len(own), len(results) - len(own))


def test_nothing_found_and_nothing_to_find() -> None:
    dataset, results = scene(3)
    assert score(dataset, []).mean.ap == 0
    nothing = replace(dataset, samples=tuple(replace(s, instances=()) for s in dataset.samples))
    assert score(nothing, results).mean.ap is None


def test_areas_are_counted_where_none_is_stated_and_ids_may_be_names() -> None:
    dataset, results = scene(4)
    samples = tuple(
        replace(s, image_id=None, instances=tuple(replace(i, area=None) for i in s.instances or ()))
        for s in dataset.samples
    )
    renamed = [{**result, "image_id": f"photo {result['image_id']}"} for result in results]
    actual = score(replace(dataset, samples=samples), renamed).mean
    assert actual.ap_small == pytest.approx(score(dataset, results).mean.ap_small, abs=0.05)
    assert actual.ap_small is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"category_id": 4}, "result 0: category_id 4 is not a class of the data"),
        ({"score": float("nan")}, "score nan is not a finite number"),
        ({"score": "high"}, "score high is not a finite number"),
        ({"segmentation": {"size": [10, 10], "counts": "zz"}}, "segmentation is not a mask of"),
        ({"segmentation": 7}, "segmentation is not a mask of"),
    ],
)
def test_results_that_cannot_be_used_are_named(change: dict[str, Any], message: str) -> None:
    dataset, results = scene(5)
    with pytest.raises(DataError, match=message):
        score(dataset, [{**results[0], **change}, *results[1:]])
