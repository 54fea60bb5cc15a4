"""Targets of the mask network beside slow loops, and what must hold of them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from boxseg.nn.mask_network import GRID, SIDE, inside_box
from boxseg.nn.mask_targets import (
    BINS,
    Refinement,
    cielab,
    colour_model,
    ellipse_prior,
    grid_colours,
    mean_field,
    refined,
    sureness,
)

Array = NDArray[np.float64]
HEIGHT, WIDTH = 7, 9

# CIELAB (D65) of sRGB, as colour tables have it.
KNOWN = {
    (255, 255, 255): (100.0, 0.0, 0.0),
    (0, 0, 0): (0.0, 0.0, 0.0),
    (255, 0, 0): (53.24, 80.09, 67.20),
    (0, 255, 0): (87.73, -86.18, 83.18),
    (0, 0, 255): (32.30, 79.19, -107.86),
    (128, 128, 128): (53.59, 0.0, 0.0),
    (5, 5, 5): (1.37, 0.0, 0.0),
}


def picture(*colours: tuple[int, int, int]) -> Tensor:
    """(n, 3, 1, 1)."""
    return torch.tensor(colours, dtype=torch.float64)[:, :, None, None]


@pytest.mark.parametrize(("rgb", "lab"), KNOWN.items())
def test_cielab_of_known_colours(rgb: tuple[int, int, int], lab: tuple[float, float, float]) -> None:
    assert cielab(picture(rgb)).flatten().tolist() == pytest.approx(lab, abs=0.02)


def slow_cielab(rgb: tuple[int, int, int]) -> list[float]:
    """sRGB to linear light to XYZ to CIELAB, one colour in plain floats."""
    linear = [((c / 255 + 0.055) / 1.055) ** 2.4 if c / 255 > 0.04045 else c / 255 / 12.92 for c in rgb]
    rows = (
        (0.4124564, 0.3575761, 0.1804375),
        (0.2126729, 0.7151522, 0.0721750),
        (0.0193339, 0.1191920, 0.9503041),
    )
    f = []
    for row, white in zip(rows, (0.95047, 1.0, 1.08883), strict=True):
        t = sum(share * part for share, part in zip(row, linear, strict=True)) / white
        f.append(t ** (1 / 3) if t > (6 / 29) ** 3 else t / (3 * (6 / 29) ** 2) + 4 / 29)
    return [116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])]


def test_cielab_equals_the_definition() -> None:
    steps = (0, 3, 10, 11, 60, 128, 200, 255)
    colours = list(itertools.product(steps, repeat=3))
    found = cielab(picture(*colours))[:, :, 0, 0]
    for colour, lab in zip(colours, found.tolist(), strict=True):
        assert lab == pytest.approx(slow_cielab(colour), abs=2e-3)
    in_single = cielab(picture(*colours).float())[:, :, 0, 0]
    torch.testing.assert_close(in_single.double(), found, atol=2e-3, rtol=0)


def test_a_cell_has_the_mean_colour_of_its_nine_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    crops = torch.randint(0, 256, (1, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)
    found = grid_colours(crops)
    assert found.shape == (1, 3, GRID, GRID)
    for row, column in ((0, 0), (0, 5), (64, 31), (128, 128), (127, 0)):
        rows, columns = (slice(max(2 * place - 1, 0), 2 * place + 2) for place in (row, column))
        mean = crops[:, :, rows, columns].double().mean((2, 3), keepdim=True)
        torch.testing.assert_close(
            found[:, :, row, column].double(), cielab(mean)[..., 0, 0], atol=5e-3, rtol=0
        )


# ---- the prior -----------------------------------------------------------------------------------------------


def test_the_prior_is_an_ellipse() -> None:
    box = (40.0, 20.0, 200.0, 120.0)
    found = ellipse_prior(torch.tensor([box, (30.0, 30.0, 31.0, 200.0)]), steepness=3.0)
    assert found.shape == (2, GRID, GRID)
    for row, column in np.ndindex(GRID, GRID):
        x, y = 2 * column + 0.5, 2 * row + 0.5
        radius = math.hypot((x - 120) / 80, (y - 70) / 50)
        assert float(found[0, row, column]) == pytest.approx(1 / (1 + math.exp(-3 * (1 - radius))), abs=1e-5)
    assert found.isfinite().all()
    assert float(found[1].max()) > 0.9  # in a box half a cell wide


def test_the_prior_of_the_mirrored_box_is_the_mirrored_prior() -> None:
    box = torch.tensor([[40.3, 20.0, 200.9, 120.0]])
    mirrored = torch.tensor([[SIDE - 200.9, 20.0, SIDE - 40.3, 120.0]])
    torch.testing.assert_close(ellipse_prior(mirrored), ellipse_prior(box).flip(-1), atol=1e-5, rtol=0)


# ---- colours -------------------------------------------------------------------------------------------------


def example(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Answers, colours of a few tones with noise, some of them beyond the bins, and boxes."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*size: int) -> Tensor:
        return torch.rand(*size, dtype=torch.float64, generator=generator)

    tones = torch.stack([100 * uniform(5), 200 * uniform(5) - 100, 200 * uniform(5) - 100], 1)
    drawn = torch.randint(0, 5, (2, HEIGHT, WIDTH), generator=generator)
    lab = tones[drawn].movedim(-1, 1) + 6 * uniform(2, 3, HEIGHT, WIDTH)
    inside = torch.zeros(2, HEIGHT, WIDTH, dtype=torch.float64)
    inside[0, 1:6, 2:8], inside[1, :4, :] = 1, 1
    return uniform(2, HEIGHT, WIDTH) * inside, lab, inside


def bin_of(lab: Array) -> tuple[int, ...]:
    shares = lab[0] / 100, (lab[1] + 70) / 140, (lab[2] + 70) / 140
    return tuple(min(max(math.floor(s * n), 0), n - 1) for s, n in zip(shares, BINS, strict=True))


def slow_histogram(lab: Array, weights: Array) -> Array:
    """Half of a cell's weight in its bin, a quarter on either side, along every axis; shares of the sum."""
    found = np.zeros(BINS)
    for y, x in np.ndindex(weights.shape):
        middle = bin_of(lab[:, y, x])
        for step in itertools.product((-1, 0, 1), repeat=3):
            place = tuple(np.add(middle, step))
            if all(0 <= p < n for p, n in zip(place, BINS, strict=True)):
                found[place] += weights[y, x] * math.prod(0.5 if s == 0 else 0.25 for s in step)
    return found / max(found.sum(), 1e-6)


def slow_colour_model(answers: Array, lab: Array, weight: float) -> Array:
    p = answers
    for _ in range(2):
        of_object, of_rest = slow_histogram(lab, p), slow_histogram(lab, 1 - p)
        following = np.zeros_like(p)
        for y, x in np.ndindex(p.shape):
            place = bin_of(lab[:, y, x])
            ratio = math.log((of_object[place] + 1e-4) / (of_rest[place] + 1e-4))
            start = min(max(answers[y, x], 0.01), 0.99)
            odds = math.log(start / (1 - start)) + weight * min(max(ratio, -2), 2)
            following[y, x] = 1 / (1 + math.exp(-odds))
        p = following
    return p


@pytest.mark.parametrize(("seed", "weight"), [(0, 0.7), (1, 2.0)])
def test_the_colour_model_equals_loops(seed: int, weight: float) -> None:
    answers, lab, _ = example(seed)
    found = colour_model(answers, lab, weight)
    for place in range(len(answers)):
        expected = slow_colour_model(answers[place].numpy(), lab[place].numpy(), weight)
        np.testing.assert_allclose(found[place].numpy(), expected, atol=1e-9)


def test_colours_only_outside_the_object_are_its_own_no_more() -> None:
    """Half of what was taken for object has the colour of the rest: it loses, the other half gains."""
    answers = torch.full((1, 8, 8), 0.05)
    answers[:, 2:6, 2:6] = 0.6
    lab = torch.zeros(1, 3, 8, 8)
    lab[:, 0] = 50
    lab[:, 1, 2:6, 2:4] = 45  # reddish
    found = colour_model(answers, lab, 1.0)
    assert (found[:, 2:6, 2:4] > 0.8).all()
    assert (found[:, 2:6, 4:6] < 0.5).all()


# ---- neighbours ----------------------------------------------------------------------------------------------


def slow_mean_field(answers: Array, lab: Array, inside: Array, weight: float) -> Array:
    """Eight rounds over all cells and the eight neighbours at each of four distances."""
    q = answers
    reaches = [(d, a) for r in (1, 2, 4, 8) for d in (-r, 0, r) for a in (-r, 0, r) if d or a]
    for _ in range(8):
        following = np.zeros_like(q)
        for y, x in np.ndindex(q.shape):
            votes = total = 0.0
            for down, across in reaches:
                other = y + down, x + across
                if 0 <= other[0] < q.shape[0] and 0 <= other[1] < q.shape[1]:
                    distance = math.dist(lab[:, y, x], lab[:, other[0], other[1]])
                    likeness = math.exp(-(distance**2) / (2 * 8.0**2))
                    votes += likeness * (2 * q[other] - 1)
                    total += likeness
            start = min(max(answers[y, x], 0.02), 0.98)
            odds = math.log(start / (1 - start)) + weight * votes / max(total, 0.5)
            following[y, x] = inside[y, x] / (1 + math.exp(-odds))
        q = following
    return q


@pytest.mark.parametrize(("seed", "weight"), [(2, 3.0), (3, 0.5)])
def test_the_mean_field_equals_loops(seed: int, weight: float) -> None:
    answers, lab, inside = example(seed)
    found = mean_field(answers, lab, inside, weight)
    for place in range(len(answers)):
        drawn = (answers[place].numpy(), lab[place].numpy(), inside[place].numpy())
        np.testing.assert_allclose(found[place].numpy(), slow_mean_field(*drawn, weight), atol=1e-9)


def test_neighbours_of_one_colour_get_one_answer() -> None:
    """A hole in an object of one colour is filled; it stays where its colour is another."""
    answers = torch.zeros(1, 20, 20)
    answers[:, 4:16, 4:16] = 0.8
    answers[:, 9:11, 9:11] = 0.3
    inside = torch.zeros(1, 20, 20)
    inside[:, 3:17, 3:17] = 1
    lab = torch.zeros(1, 3, 20, 20)
    lab[:, 0, 4:16, 4:16] = 60
    assert float(mean_field(answers, lab, inside, 3.0)[0, 9, 9]) > 0.7
    lab[:, 0, 9:11, 9:11] = 0
    assert float(mean_field(answers, lab, inside, 3.0)[0, 9, 9]) < 0.3


# ---- together ------------------------------------------------------------------------------------------------

BOX = torch.tensor([[41.0, 33.0, 210.0, 197.0]])
HOWS = [Refinement(), Refinement(colour=0), Refinement(smooth=0), Refinement(colour=0, smooth=0)]


def crop_with_square(inner: tuple[int, int, int, int]) -> Tensor:
    """(1, 3, SIDE, SIDE): an orange square on a noisy green ground."""
    generator = torch.Generator().manual_seed(4)
    crop = torch.tensor([60.0, 120.0, 60.0])[:, None, None].expand(3, SIDE, SIDE).clone()
    left, top, right, bottom = inner
    crop[:, top:bottom, left:right] = torch.tensor([220.0, 130.0, 40.0])[:, None, None]
    return (crop + 8 * torch.randn(3, SIDE, SIDE, generator=generator)).clamp(0, 255)[None]


@pytest.mark.parametrize("how", HOWS, ids=str)
def test_nothing_is_outside_the_box(how: Refinement) -> None:
    found = refined(
        ellipse_prior(BOX), grid_colours(crop_with_square((41, 33, 210, 197))), inside_box(BOX), how
    )
    assert found.shape == (1, GRID, GRID)
    assert (found[inside_box(BOX) == 0] == 0).all()
    assert ((found >= 0) & (found <= 1)).all()
    assert found.amax() > 0.5


@pytest.mark.parametrize("how", HOWS, ids=str)
def test_refining_a_mirrored_crop_mirrors_the_answer(how: Refinement) -> None:
    crop = crop_with_square((60, 50, 150, 190))
    mirrored_box = torch.tensor([[SIDE - 210.0, 33.0, SIDE - 41.0, 197.0]])
    found = refined(ellipse_prior(BOX), grid_colours(crop), inside_box(BOX), how)
    mirrored = refined(ellipse_prior(mirrored_box), grid_colours(crop.flip(-1)), inside_box(mirrored_box), how)
    torch.testing.assert_close(mirrored.flip(-1), found, atol=1e-3, rtol=0)


def test_an_ellipse_refined_ends_near_the_square_that_is_there() -> None:
    inner = (43, 35, 208, 195)
    crop, inside = crop_with_square(inner), inside_box(BOX)
    truth = inside_box(torch.tensor([inner], dtype=torch.float32)) > 0
    prior = ellipse_prior(BOX)

    def overlap(answers: Tensor) -> float:
        mask = answers > 0.5
        return float((mask & truth).sum() / (mask | truth).sum())

    start = overlap(prior * inside)
    end = overlap(refined(prior, grid_colours(crop), inside, Refinement()))
    assert start == pytest.approx(math.pi / 4, abs=0.03)
    assert end > 0.95


def test_an_answer_counts_as_far_as_it_is_sure() -> None:
    answers = torch.tensor([0.0, 0.25, 0.5, 0.9, 1.0])
    assert sureness(answers).tolist() == pytest.approx([1, 0.5, 0, 0.8, 1])
