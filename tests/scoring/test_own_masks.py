"""The IoU of each object's own mask, beside plain masks of pixels, and what counts as an object's own."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from boxseg.dataset import BoxDataset, Instance, Sample
from boxseg.formats.coco_results import encode_mask
from boxseg.scoring.coco_masks import found_masks, true_objects
from boxseg.scoring.own_masks import ObjectIous, Own, object_ious, own_results

Mask = NDArray[np.bool_]

SIZE = (120, 140)
IDS = (3, 7, 9)


def blob(random: np.random.Generator, near: Mask | None = None) -> Mask:
    """A ragged mask, small to large; or another one with some of its pixels changed."""
    mask = np.zeros(SIZE, dtype=bool) if near is None else near.copy()
    if near is None:
        side = int(random.choice([2, 9, 30, 34, 60, 110]))
        top, left = (int(random.integers(0, limit - side + 1)) for limit in SIZE)
        mask[top : top + side, left : left + side] = random.random((side, side)) < 0.9
        mask[top, left] = True
        return mask
    rows = random.random(SIZE[0]) < random.random()
    mask[rows] = np.roll(mask[rows], int(random.integers(-6, 7)), axis=1)
    return mask


def scene(seed: int) -> tuple[BoxDataset, list[dict[str, Any]]]:
    """Objects of three classes in four photos, some of them crowds, with none, one or two results each."""
    random = np.random.default_rng(seed)
    samples, results = [], []
    for number in (40, 7, 12, 3):
        instances = []
        for _ in range(int(random.integers(0, 8))):
            mask, label = blob(random), int(random.integers(1, 4))
            crowd = bool(random.random() < 0.15)
            instances.append(Instance(label, encode_mask(mask), crowd, float(mask.sum())))
            for _ in range(int(random.choice([0, 1, 1, 1, 2]))):
                found = blob(random, mask) if random.random() < 0.9 else blob(random)
                result = {"image_id": number, "category_id": IDS[label - 1], "score": float(random.random())}
                results.append({**result, "segmentation": encode_mask(found), "pixels": found})
        samples.append(
            Sample(
                id=str(number), image=Path(f"{number}.jpg"), width=SIZE[1], height=SIZE[0],
                boxes=np.zeros((0, 4)), labels=np.zeros(0, np.int64), difficult=np.zeros(0, bool),
                instances=tuple(instances), image_id=number,
            )
        )  # fmt: skip
    dataset = BoxDataset(
        root=Path("data"), format="coco", split="train", classes=("cup", "book", "cat"),
        samples=tuple(samples), category_ids=IDS,
    )  # fmt: skip
    return dataset, results


def score(dataset: BoxDataset, results: list[dict[str, Any]]) -> ObjectIous:
    truth = true_objects(dataset, dataset.samples)
    return object_ious(truth, found_masks(results, truth, Path("r.json")))


def decoded(instance: Instance) -> Mask:
    """The pixels of a compressed code, by pycocotools."""
    coco_mask = pytest.importorskip("pycocotools.mask")
    code = {**instance.region, "counts": instance.region["counts"].encode()}
    return np.asarray(coco_mask.decode(code)).astype(bool)


def slow_ious(dataset: BoxDataset, results: list[dict[str, Any]]) -> list[tuple[float, float | None]]:
    """Area and IoU, None without a mask, of every object: again and again the best pair that is left."""
    found = []
    for sample in dataset.samples:
        objects = [i for i in sample.instances or () if not i.crowd]
        truths = [decoded(i) for i in objects]
        masks = [r for r in results if r["image_id"] == sample.image_id]
        ious: dict[int, float] = {}
        used: set[int] = set()
        while True:
            best = None
            for place, other in itertools.product(range(len(objects)), range(len(masks))):
                if place in ious or other in used:
                    continue
                if IDS[objects[place].label - 1] != masks[other]["category_id"]:
                    continue
                both = (truths[place] & masks[other]["pixels"]).sum()
                iou = float(both / (truths[place] | masks[other]["pixels"]).sum())
                if best is None or iou > best[0]:
                    best = (iou, place, other)
            if best is None:
                break
            ious[best[1]] = best[0]
            used.add(best[2])
        found += [(float(truth.sum()), ious.get(place)) for place, truth in enumerate(truths)]
    return found


@pytest.mark.parametrize("seed", range(8))
def test_ious_are_those_of_plain_masks(seed: int) -> None:
    dataset, results = scene(seed)
    expected = slow_ious(dataset, results)
    values = [(area, iou or 0.0) for area, iou in expected]

    def mean(low: float, high: float) -> Any:
        of_size = [iou for area, iou in values if low <= area <= high]
        return pytest.approx(sum(of_size) / len(of_size), abs=1e-12) if of_size else None

    actual = score(dataset, results)
    assert actual.objects == len(expected)
    assert actual.without_mask == sum(iou is None for _, iou in expected)
    assert actual.poor == sum(iou < 0.25 for _, iou in values)
    assert actual.mean == mean(0, np.inf)
    assert actual.small == mean(0, 1023)
    assert actual.medium == mean(1024, 9216)
    assert actual.large == mean(9217, np.inf)


def test_the_scenes_hold_what_they_are_made_for() -> None:
    scenes = [scene(seed) for seed in range(8)]
    instances = [i for data, _ in scenes for s in data.samples for i in s.instances or ()]
    areas = np.array([i.area for i in instances if not i.crowd])
    assert min((areas < 32**2).sum(), ((areas > 32**2) & (areas < 96**2)).sum(), (areas > 96**2).sum()) > 10
    ious = [iou for data, results in scenes for _, iou in slow_ious(data, results)]
    assert sum(iou is None for iou in ious) > 10
    assert sum(iou == 0 for iou in ious) > 0
    assert sum(iou is not None and 0.25 < iou < 0.9 for iou in ious) > 10
    assert any(i.crowd for i in instances)


def test_the_truth_itself_scores_one_whatever_its_order_and_scores() -> None:
    dataset, _ = scene(2)
    results = [
        {"image_id": s.image_id, "category_id": IDS[i.label - 1], "segmentation": i.region, "score": 0.1}
        for s in reversed(dataset.samples)
        for i in reversed(s.instances or ())
        if not i.crowd
    ]
    actual = score(dataset, results)
    assert (actual.mean, actual.without_mask, actual.poor) == (1, 0, 0)
    assert actual.objects == len(results)
    lost = score(dataset, results[1:])
    assert (lost.without_mask, lost.poor) == (1, 1)
    assert lost.mean == pytest.approx((len(results) - 1) / len(results))


def test_nothing_found_and_nothing_to_find() -> None:
    dataset, results = scene(3)
    nothing = score(dataset, [])
    assert (nothing.mean, nothing.without_mask, nothing.poor) == (0, nothing.objects, nothing.objects)
    empty = replace(dataset, samples=tuple(replace(s, instances=()) for s in dataset.samples))
    assert score(empty, results).mean is None
    assert score(empty, results).objects == 0


def strip(first: int, last: int, label: int = 1) -> dict[str, Any]:
    """Columns of a mask, as an object or result."""
    mask = np.zeros((4, 20), dtype=bool)
    mask[:, first:last] = True
    code = encode_mask(mask)
    return {"category_id": label, "segmentation": {**code, "counts": code["counts"].encode()}}


def test_the_best_pair_is_taken_first_and_every_result_once() -> None:
    objects = [strip(0, 10), strip(4, 12)]
    # Both objects like the first result best, and the second object has it.
    assert own_results(objects, [strip(4, 12), strip(0, 4)]) == [Own(1, pytest.approx(0.4)), Own(0, 1.0)]
    assert own_results(objects, [strip(4, 12)]) == [None, Own(0, 1.0)]


def test_a_result_is_of_its_class_alone_and_a_miss_is_still_a_mask() -> None:
    assert own_results([strip(0, 10)], [strip(0, 10, label=2)]) == [None]
    assert own_results([strip(0, 4)], [strip(10, 14)]) == [Own(0, 0.0)]
    assert own_results([], [strip(0, 4)]) == []
    assert own_results([strip(0, 4)], []) == [None]
