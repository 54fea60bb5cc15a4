from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from boxseg.nn import field as field_module
from boxseg.nn.field import UpsampledFeatures
from boxseg.nn.pseudo import Background, background_attention, box_masks, class_scores, finish_crf, retrieve

STRIDE = 4
SIZE = (14, 18)
CLASSES = 5  # classes 1..5

Box = tuple[float, float, float, float]
SCENES: dict[str, list[tuple[Box, int]]] = {
    "one box": [((3.0, 2.0, 11.0, 9.0), 2)],
    "apart": [((0.0, 0.0, 5.3, 6.2), 1), ((9.5, 7.5, 18.0, 14.0), 4)],
    "two classes overlap": [((2.0, 2.0, 11.0, 11.0), 5), ((6.0, 4.0, 16.0, 13.0), 3)],
    "one class overlaps": [((2.0, 2.0, 10.0, 10.0), 2), ((5.0, 1.0, 15.0, 8.0), 2), ((4.0, 6.0, 9.0, 13.0), 2)],
    "nested": [((1.0, 1.0, 16.0, 13.0), 1), ((4.0, 4.0, 9.0, 9.0), 1), ((5.0, 5.0, 12.0, 8.0), 2)],
    "all box": [((0.0, 0.0, 18.0, 14.0), 3), ((4.0, 4.0, 12.0, 9.0), 1)],
    "sliver": [((3.6, 2.0, 4.4, 9.0), 2), ((8.0, 3.0, 14.0, 9.0), 1)],
    "no box": [],
}


@pytest.fixture(autouse=True, params=[field_module.FULL_SIZE_PIXELS, 3 * SIZE[1]], ids=["whole", "in bands"])
def _bands(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(field_module, "FULL_SIZE_PIXELS", request.param)


def scene(name: str) -> tuple[Tensor, Tensor]:
    boxes = torch.tensor([box for box, _ in SCENES[name]], dtype=torch.float64).reshape(-1, 4)
    return boxes, torch.tensor([label for _, label in SCENES[name]], dtype=torch.int64)


def network(seed: int, channels: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(channels, 5, 6, dtype=torch.float64, generator=generator).relu() + 0.01
    return features, torch.randn(CLASSES + 1, channels, dtype=torch.float64, generator=generator)


def full_features(features: Tensor) -> Tensor:
    padded = [STRIDE * (n - 1) + 1 for n in features.shape[1:]]
    full = F.interpolate(features[None], size=padded, mode="bilinear", align_corners=True)
    return full[0, :, : SIZE[0], : SIZE[1]]


def contains(box: Box, y: int, x: int) -> bool:
    return box[0] <= x + 0.5 < box[2] and box[1] <= y + 0.5 < box[3]


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def reference_attention(
    f: Tensor, items: list[tuple[Box, int]], grid: int, crowd: Box | None = None
) -> list[list[float]]:
    """A(p) pixel by pixel: queries are means over the background of each grid cell."""
    queries: list[Tensor] = []
    cells: dict[tuple[int, int], list[Tensor]] = {}
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            if not any(contains(box, y, x) for box, _ in items) and not (crowd and contains(crowd, y, x)):
                cell = (math.floor(y * grid / SIZE[0]), math.floor(x * grid / SIZE[1]))
                cells.setdefault(cell, []).append(f[:, y, x])
    queries = [torch.stack(members).mean(0) for members in cells.values()]
    attention = [[0.0] * SIZE[1] for _ in range(SIZE[0])]
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            for query in queries:
                attention[y][x] += max(cosine(f[:, y, x], query), 0.0) / len(queries)
    return attention


def reference_u0(attention: list[list[float]], y: int, x: int) -> float:
    return attention[y][x] if attention[y][x] >= 0.99 * max(max(row) for row in attention) else 0.0


def reference_background_map(
    f: Tensor, w_0: Tensor, items: list[tuple[Box, int]], crowd: Box | None
) -> dict[tuple[int, int], float]:
    """ReLU(w_0 · f) over its maximum on the pixels that are surely background; 1 if that is 0."""
    cam = {(y, x): max(float(w_0 @ f[:, y, x]), 0.0) for y in range(SIZE[0]) for x in range(SIZE[1])}
    taken = [*(box for box, _ in items), *([crowd] if crowd else [])]
    sure = [value for (y, x), value in cam.items() if not any(contains(box, y, x) for box in taken)]
    peak = max(sure, default=0.0)
    return {place: value / peak if peak > 0 else 1.0 for place, value in cam.items()}


def reference_scores(
    f: Tensor,
    weight: Tensor,
    items: list[tuple[Box, int]],
    background: str,
    grid: int,
    unknown: tuple[int, ...] = (),
    crowd: Box | None = None,
) -> tuple[list[int], Tensor]:
    """Section 3.2 with one loop over pixels and one over boxes; from VOC to COCO with `unknown` classes.

    With background "activation", its ablation without u_0: 0 inside boxes, the map of class 0 outside.
    """
    attention = reference_attention(f, items, grid, crowd)
    of_background = reference_background_map(f, weight[0], items, crowd)
    places = [(y, x) for y in range(SIZE[0]) for x in range(SIZE[1])]
    classes = sorted({label for _, label in items})
    peaks = []
    for box, label in items:
        inside = [max(float(weight[label] @ f[:, y, x]), 0.0) for y, x in places if contains(box, y, x)]
        peaks.append(max(inside, default=0.0))
    scores = torch.zeros(len(classes) + 1, *SIZE, dtype=torch.float64)
    for y, x in places:
        if not any(contains(box, y, x) for box, _ in items):
            if crowd and contains(crowd, y, x):
                scores[:, y, x] = 1 / len(scores)
            else:
                scores[0, y, x] = 1 if background == "attention" else of_background[y, x]
            continue
        u = []
        for c in classes:
            if c in unknown:
                inside_own = any(label == c and contains(box, y, x) for box, label in items)
                u.append(1 - reference_u0(attention, y, x) if inside_own else 0.0)
                continue
            cam = max(float(weight[c] @ f[:, y, x]), 0.0)
            own = [
                cam / peak
                for (box, label), peak in zip(items, peaks, strict=True)
                if label == c and contains(box, y, x) and peak > 0
            ]
            u.append(max(own, default=0.0))
        u0 = reference_u0(attention, y, x) if background == "attention" else 0.0
        exponentials = [math.exp(value) for value in [u0, *u]]
        scores[:, y, x] = torch.tensor([e / sum(exponentials) for e in exponentials], dtype=torch.float64)
    return classes, scores


def reference_finish(
    probabilities: Tensor, classes: list[int], items: list[tuple[Box, int]], crowd: Box | None = None
) -> Tensor:
    labels = torch.zeros(SIZE, dtype=torch.uint8)
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            best, winner = float(probabilities[0, y, x]), 0
            for k, c in enumerate(classes, start=1):
                allowed = any(label == c and contains(box, y, x) for box, label in items)
                if allowed and float(probabilities[k, y, x]) > best:
                    best, winner = float(probabilities[k, y, x]), c
            labels[y, x] = 255 if winner == 0 and crowd and contains(crowd, y, x) else winner
    return labels


def reference_foreground(f: Tensor, items: list[tuple[Box, int]], c: int, crowd: Box | None) -> Tensor:
    """Mean feature in the boxes of one class, each pixel weighted by 1 - u_0."""
    attention = reference_attention(f, items, 1, crowd)
    total, weights = torch.zeros(len(f), dtype=f.dtype), 0.0
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            if any(label == c and contains(box, y, x) for box, label in items):
                total = total + (1 - reference_u0(attention, y, x)) * f[:, y, x]
                weights += 1 - reference_u0(attention, y, x)
    return total / weights if weights > 0 else total


def reference_retrieval(
    f: Tensor,
    y_crf: Tensor,
    weight: Tensor,
    items: list[tuple[Box, int]],
    unknown: tuple[int, ...] = (),
    crowd: Box | None = None,
) -> Tensor:
    classes = sorted({label for _, label in items})
    prototypes = {}
    for c in [0, *classes]:
        members = [f[:, y, x] for y in range(SIZE[0]) for x in range(SIZE[1]) if y_crf[y, x] == c]
        if members:
            prototypes[c] = torch.stack(members).mean(0)
        else:
            prototypes[c] = reference_foreground(f, items, c, crowd) if c in unknown else weight[c]
    labels = torch.zeros(SIZE, dtype=torch.uint8)
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            here = {label for box, label in items if contains(box, y, x)}
            best, winner = (1.0 if not here else max(cosine(f[:, y, x], prototypes[0]), 0.0)), 0
            for c in sorted(here):
                similarity = max(cosine(f[:, y, x], prototypes[c]), 0.0)
                if similarity > best:
                    best, winner = similarity, c
            labels[y, x] = 255 if winner == 0 and crowd and contains(crowd, y, x) else winner
    return labels


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize(("background", "grid"), [("attention", 1), ("attention", 3), ("activation", 1)])
def test_scores_equal_the_equations(name: str, background: Background, grid: int) -> None:
    boxes, labels = scene(name)
    features, weight = network(seed=len(name))
    masks = box_masks(boxes, labels, SIZE)
    field = UpsampledFeatures(features, SIZE, STRIDE)
    actual = class_scores(field, weight, masks, background=background, grid=grid)
    classes, expected = reference_scores(full_features(features), weight, SCENES[name], background, grid)
    assert masks.classes.tolist() == classes
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-9)
    summed = slice(None) if background == "attention" else ~masks.outside
    torch.testing.assert_close(actual.sum(0)[summed], torch.ones(SIZE, dtype=torch.float64)[summed])


def test_without_u0_the_background_has_its_own_map_outside_boxes_and_nothing_inside() -> None:
    features, weight = network(seed=2)
    field = UpsampledFeatures(features, SIZE, STRIDE)
    masks = box_masks(*scene("apart"), SIZE)
    scores = class_scores(field, weight, masks, background="activation", grid=1)
    outside = scores[0][masks.outside]
    assert outside.max() == 1
    assert 0 < (outside < 0.5).sum() < outside.numel()
    assert torch.all(scores[1:, masks.outside] == 0)
    # Softmax over [0, u, 0] or [0, 0, u]: a class wins wherever its map is not 0, and never loses.
    assert torch.all(scores[0][~masks.outside] <= scores[1:].amax(0)[~masks.outside])
    # A map that is 0 throughout cannot be divided by its maximum: the background is certain, as with u_0.
    weight[0] = -1
    scores = class_scores(field, weight, masks, background="activation", grid=1)
    assert torch.all(scores[0][masks.outside] == 1)


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("seed", [0, 1])
def test_labels_equal_the_equations(name: str, seed: int) -> None:
    boxes, labels = scene(name)
    features, weight = network(seed)
    masks = box_masks(boxes, labels, SIZE)
    generator = torch.Generator().manual_seed(seed)
    answer = torch.rand(len(masks.classes) + 1, *SIZE, dtype=torch.float64, generator=generator).softmax(0)
    y_crf = finish_crf(answer, masks)
    assert torch.equal(y_crf, reference_finish(answer, masks.classes.tolist(), SCENES[name]))
    field = UpsampledFeatures(features, SIZE, STRIDE)
    y_ret = retrieve(field, y_crf, weight, masks)
    assert torch.equal(y_ret, reference_retrieval(full_features(features), y_crf, weight, SCENES[name]))
    assert y_crf.dtype == y_ret.dtype == torch.uint8


CROWD: Box = (0.0, 9.0, 9.0, 14.0)
STRANGERS = [
    # Scene, classes without weights: alone, overlapping a known one, overlapping one another, all of them.
    ("one box", (2,)),
    ("apart", (4,)),
    ("two classes overlap", (3,)),
    ("two classes overlap", (3, 5)),
    ("one class overlaps", (2,)),
    ("nested", (1, 2)),
    ("all box", (1,)),
    ("sliver", (1, 2)),
    ("no box", (1,)),
]


@pytest.mark.parametrize(("name", "unknown"), STRANGERS)
@pytest.mark.parametrize("crowd", [None, CROWD])
@pytest.mark.parametrize("background", ["attention", "activation"])
def test_classes_unknown_to_the_classifier_equal_the_equations(
    name: str, unknown: tuple[int, ...], crowd: Box | None, background: Background
) -> None:
    items = SCENES[name]
    boxes, labels = scene(name)
    features, weight = network(seed=len(name))
    f, field = full_features(features), UpsampledFeatures(features, SIZE, STRIDE)
    known = torch.tensor([c not in unknown for c in range(CLASSES + 1)])
    masks = box_masks(boxes, labels, SIZE, pixels(crowd))
    scores = class_scores(field, weight, masks, background=background, grid=1, known=known)
    classes, expected = reference_scores(f, weight, items, background, 1, unknown, crowd)
    if items:
        torch.testing.assert_close(scores, expected, rtol=0, atol=1e-9)
    y_crf = finish_crf(scores, masks)
    assert torch.equal(y_crf, reference_finish(scores, classes, items, crowd))
    for labels_of_classes in (y_crf, torch.where(y_crf == 255, y_crf, 0)):  # the latter has all of them absent
        y_ret = retrieve(field, labels_of_classes, weight, masks, known=known)
        assert torch.equal(y_ret, reference_retrieval(f, labels_of_classes, weight, items, unknown, crowd))
    if crowd:
        here = pixels(crowd)
        assert here is not None
        assert not torch.any(y_crf[here] == 0)
        assert torch.all(y_crf[here & masks.outside] == 255)
        assert not torch.any(y_crf[~here] == 255)


def pixels(box: Box | None) -> Tensor | None:
    if box is None:
        return None
    rows = [[contains(box, y, x) for x in range(SIZE[1])] for y in range(SIZE[0])]
    return torch.tensor(rows)


def test_weights_of_unknown_classes_do_not_matter() -> None:
    features, weight = network(seed=8)
    field = UpsampledFeatures(features, SIZE, STRIDE)
    masks = box_masks(*scene("two classes overlap"), SIZE)
    known = torch.tensor([True, True, True, False, True, True])
    y_crf = torch.zeros(SIZE, dtype=torch.uint8)
    results = []
    for _ in range(2):
        scores = class_scores(field, weight, masks, background="attention", grid=1, known=known)
        results.append((scores, retrieve(field, y_crf, weight, masks, known=known)))
        weight = weight.index_fill(0, torch.tensor([3]), 7.0)
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_classes_absent_from_y_crf_are_retrieved_by_the_classifier() -> None:
    boxes, labels = scene("two classes overlap")
    features, weight = network(seed=3)
    masks = box_masks(boxes, labels, SIZE)
    field = UpsampledFeatures(features, SIZE, STRIDE)
    f = full_features(features)
    y_crf = torch.zeros(SIZE, dtype=torch.uint8)
    y_crf[5, 8] = 3  # class 5 is absent
    weight[5] = f[:, 3, 3]
    y_ret = retrieve(field, y_crf, weight, masks)
    assert y_ret[3, 3] == 5
    assert torch.equal(y_ret, reference_retrieval(f, y_crf, weight, SCENES["two classes overlap"]))
    # No background at all: its prototype is the classifier's row 0.
    y_crf = torch.where(masks.inside[0], 3, 255).to(torch.uint8)
    weight[0] = f[:, 6, 6]
    y_ret = retrieve(field, y_crf, weight, masks)
    assert y_ret[6, 6] == 0
    assert torch.equal(y_ret, reference_retrieval(f, y_crf, weight, SCENES["two classes overlap"]))


def test_the_order_of_the_boxes_does_not_matter() -> None:
    features, weight = network(seed=4)
    field = UpsampledFeatures(features, SIZE, STRIDE)
    boxes, labels = scene("nested")
    results = []
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        masks = box_masks(boxes[order], labels[order], SIZE)
        results.append(class_scores(field, weight, masks, background="attention", grid=1))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_an_image_that_is_all_box_has_no_background_score() -> None:
    features, weight = network(seed=5)
    field = UpsampledFeatures(features, SIZE, STRIDE)
    masks = box_masks(*scene("all box"), SIZE)
    assert torch.all(background_attention(field, masks.background, 1) == 0)
    scores = class_scores(field, weight, masks, background="attention", grid=2)
    assert torch.all(scores.isfinite())
    assert torch.all(scores[0] <= scores[1:].amax(0))


def test_an_image_without_boxes_is_background() -> None:
    features, weight = network(seed=6)
    field = UpsampledFeatures(features, SIZE, STRIDE)
    masks = box_masks(*scene("no box"), SIZE)
    scores = class_scores(field, weight, masks, background="attention", grid=1)
    assert torch.equal(scores, torch.ones(1, *SIZE, dtype=torch.float64))
    y_crf = finish_crf(scores, masks)
    assert torch.all(y_crf == 0)
    assert torch.all(retrieve(field, y_crf, weight, masks) == 0)


def test_features_that_are_all_zero_give_no_nan() -> None:
    _, weight = network(seed=7)
    field = UpsampledFeatures(torch.zeros(6, 5, 6), SIZE, STRIDE)
    masks = box_masks(*scene("nested"), SIZE)
    for background in get_args(Background):
        assert torch.all(class_scores(field, weight, masks, background=background, grid=1).isfinite())
    assert torch.all(retrieve(field, torch.zeros(SIZE, dtype=torch.uint8), weight, masks) == 0)


coordinate = st.floats(-6, 26) | st.integers(-12, 52).map(lambda n: n / 2)


@settings(max_examples=60)
@given(st.lists(st.tuples(coordinate, coordinate, coordinate, coordinate, st.integers(1, 3)), max_size=4))
def test_a_pixel_is_inside_when_its_centre_is(rows: list[tuple[float, float, float, float, int]]) -> None:
    items = [((min(a, c), min(b, d), max(a, c), max(b, d)), label) for a, b, c, d, label in rows]
    boxes = torch.tensor([box for box, _ in items], dtype=torch.float64).reshape(-1, 4)
    masks = box_masks(boxes, torch.tensor([label for _, label in items], dtype=torch.uint8), SIZE)
    assert masks.classes.tolist() == sorted({label for _, label in items})
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            here = [contains(box, y, x) for box, _ in items]
            assert masks.background[y, x] == (not any(here))
            for k, c in enumerate(masks.classes.tolist()):
                own = any(h and label == c for h, (_, label) in zip(here, items, strict=True))
                assert masks.inside[k, y, x] == own
            for (left, top, right, bottom), h in zip(masks.rectangles, here, strict=True):
                assert (left <= x < right and top <= y < bottom) == h
