"""Class probabilities from masks, beside loops over pixels."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from boxseg.nn.mask_scores import CERTAINTY, FAVOUR, favour_small, label_scores, mask_scores, small_boxes
from boxseg.nn.pseudo import BoxMasks, box_masks, finish_crf

HEIGHT, WIDTH = 7, 9


@st.composite
def scenes(draw: st.DrawFn) -> tuple[BoxMasks, int]:
    """Up to four boxes of three classes, crowds, and a seed."""
    count = draw(st.integers(0, 4))
    edges, labels = [], []
    for _ in range(count):
        left, top = draw(st.integers(0, WIDTH - 1)), draw(st.integers(0, HEIGHT - 1))
        edges.append((left, top, draw(st.integers(left + 1, WIDTH)), draw(st.integers(top + 1, HEIGHT))))
        labels.append(draw(st.sampled_from([2, 5, 9])))
    ignored = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    ignored[: draw(st.integers(0, 2)), :4] = True
    boxes = box_masks(
        torch.tensor(edges, dtype=torch.float64).reshape(-1, 4),
        torch.tensor(labels, dtype=torch.long),
        (HEIGHT, WIDTH),
        ignored,
    )
    return boxes, draw(st.integers(0, 1000))


def check_outside(scores: Tensor, boxes: BoxMasks) -> None:
    """Each pixel sums to 1; outside boxes all is background, but on crowds."""
    torch.testing.assert_close(scores.sum(0), torch.ones(HEIGHT, WIDTH))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            if not boxes.inside[:, y, x].any():
                even = [1 / len(scores)] * len(scores)
                expected = even if boxes.ignored[y, x] else [1.0] + [0.0] * (len(scores) - 1)
                assert scores[:, y, x].tolist() == pytest.approx(expected)


@settings(max_examples=25)
@given(scenes())
def test_a_hard_label_is_the_most_probable_class_by_a_fixed_share(scene: tuple[BoxMasks, int]) -> None:
    boxes, seed = scene
    generator = torch.Generator().manual_seed(seed)
    classes = [0, *boxes.classes.tolist()]
    labels = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            here = [0] + [c for c, inside in zip(classes[1:], boxes.inside[:, y, x], strict=True) if inside]
            labels[y, x] = here[int(torch.randint(len(here), (), generator=generator))]
    scores = label_scores(labels, boxes)
    check_outside(scores, boxes)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            if boxes.inside[:, y, x].any():
                for place, label in enumerate(classes):
                    rest = (1 - CERTAINTY) / (len(classes) - 1)
                    expected = CERTAINTY if label == labels[y, x] else rest
                    assert scores[place, y, x].item() == pytest.approx(expected)
    expected_labels = labels.masked_fill(boxes.ignored & (labels == 0), 255)
    assert torch.equal(finish_crf(scores, boxes), expected_labels)


@settings(max_examples=25)
@given(scenes())
def test_a_class_is_as_probable_as_its_surest_box(scene: tuple[BoxMasks, int]) -> None:
    boxes, seed = scene
    generator = torch.Generator().manual_seed(seed)
    masks = [
        torch.rand(bottom - top, right - left, generator=generator)
        for left, top, right, bottom in boxes.rectangles
    ]
    scores = mask_scores(iter(masks), boxes)
    check_outside(scores, boxes)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            best = [0.0] * len(boxes.classes)
            for mask, (left, top, right, bottom), owner in zip(
                masks, boxes.rectangles, boxes.owners, strict=True
            ):
                if left <= x < right and top <= y < bottom:
                    best[owner] = max(best[owner], float(mask[y - top, x - left]))
            if not boxes.inside[:, y, x].any():
                continue
            values = [1 - max(best), *best]
            expected = [value / sum(values) for value in values]
            assert scores[:, y, x].tolist() == pytest.approx(expected, abs=1e-6)


def test_a_photo_without_boxes_is_background() -> None:
    boxes = box_masks(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), (HEIGHT, WIDTH))
    for scores in (label_scores(torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8), boxes), mask_scores([], boxes)):
        assert torch.equal(scores, torch.ones(1, HEIGHT, WIDTH))


def test_every_box_needs_a_mask() -> None:
    boxes = box_masks(torch.tensor([[0.0, 0, 3, 3]]), torch.tensor([1]), (HEIGHT, WIDTH))
    with pytest.raises(ValueError, match="zip"):
        mask_scores([], boxes)


def middle(areas: list[int]) -> float:
    """Their median."""
    ordered, half = sorted(areas), len(areas) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


@settings(max_examples=25)
@given(scenes())
def test_the_smaller_object_is_favoured_where_it_is_probable(scene: tuple[BoxMasks, int]) -> None:
    boxes, seed = scene
    generator = torch.Generator().manual_seed(seed)
    sizes = [(right - left, bottom - top) for left, top, right, bottom in boxes.rectangles]
    masks = [torch.rand(height, width, generator=generator) for width, height in sizes]
    found = favour_small(masks, boxes)
    assert len(found) == len(masks)
    for before, after, (width, height) in zip(masks, found, sizes, strict=True):
        bonus = FAVOUR * math.log(middle([w * h for w, h in sizes]) / (width * height))
        for p, q in zip(before.flatten().tolist(), after.flatten().tolist(), strict=True):
            if p <= 0.5:
                assert q == p
                continue
            odds = math.log(p / (1 - p)) if p < 0.999 else math.log(999)
            expected = 1 / (1 + math.exp(-odds - bonus))
            assert q == pytest.approx(max(expected, 0.5001), abs=1e-4)
            assert q > 0.5


def test_a_single_box_is_not_favoured() -> None:
    boxes = box_masks(torch.tensor([[1.0, 1, 5, 6]]), torch.tensor([2]), (HEIGHT, WIDTH))
    mask = torch.linspace(0.01, 0.99, 20).view(5, 4)
    torch.testing.assert_close(favour_small([mask], boxes)[0], mask.clamp_min(0.01), atol=2e-4, rtol=0)


@settings(max_examples=25)
@given(scenes(), st.integers(0, 8))
def test_pixels_of_small_boxes(scene: tuple[BoxMasks, int], side: int) -> None:
    boxes, _ = scene
    found = small_boxes(boxes, side)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            expected = any(
                left <= x < right and top <= y < bottom and math.sqrt((right - left) * (bottom - top)) < side
                for left, top, right, bottom in boxes.rectangles
            )
            assert bool(found[y, x]) == expected
