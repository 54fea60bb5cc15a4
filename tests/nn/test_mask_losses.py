"""The losses of the mask network beside loops over cells, written from their equations."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from boxseg.nn.mask_losses import (
    agreement_loss,
    dice_loss,
    neighbours,
    outside_loss,
    pairwise_loss,
    projection_loss,
    shifted,
)

HEIGHT, WIDTH = 9, 11
Array = NDArray[np.float64]


def example(seed: int = 0, batch: int = 3) -> dict[str, Tensor]:
    """Random logits, colours of a few tones, boxes, targets and weights; the last box fills the crop."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, HEIGHT, WIDTH)

    def uniform(*size: int) -> Tensor:
        return torch.rand(*size, dtype=torch.float64, generator=generator)

    inside = torch.zeros(shape, dtype=torch.float64)
    for place in range(batch):
        inside[place, 2 : 6 + place, 1 : 7 + place] = 1
    inside[-1] = 1
    tones = 60 * uniform(4, 3) - 20
    lab = tones[torch.randint(0, 4, shape, generator=generator)].movedim(-1, 1) + 4 * uniform(
        batch, 3, *shape[1:]
    )
    weights = uniform(*shape) * (uniform(*shape) < 0.6)
    return {
        "logits": 8 * uniform(*shape) - 4,
        "inside": inside,
        "lab": lab,
        "targets": uniform(*shape),
        "weights": weights,
    }


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def slow_dice(p: list[float], q: list[float]) -> float:
    squares = sum(x * x for x in p) + sum(x * x for x in q)
    return 1 - 2 * sum(x * y for x, y in zip(p, q, strict=True)) / squares if squares else 0.0


def slow_outside(z: Array, inside: Array) -> float:
    """Mean of - log(1 - σ(z)) over the cells outside."""
    terms = [-math.log(1 - sigmoid(z[cell])) for cell in np.ndindex(z.shape) if not inside[cell]]
    return sum(terms) / len(terms) if terms else 0.0


def slow_projection(z: Array, inside: Array) -> float:
    """Dice of the largest probability in each row, and in each column, with whether the box is there."""
    p = [[sigmoid(z[y, x]) if inside[y, x] else 0.0 for x in range(WIDTH)] for y in range(HEIGHT)]
    rows = slow_dice([max(row) for row in p], [float(max(row)) for row in inside])
    columns = slow_dice([max(column) for column in zip(*p, strict=True)], [float(max(c)) for c in inside.T])
    return rows + columns


def slow_pairwise(z: Array, lab: Array, inside: Array) -> float:
    """Mean of - log(p q + (1 - p)(1 - q)) over pairs of like colour, three cells apart in four directions."""
    terms = []
    for y, x in np.ndindex(z.shape):
        for down, across in ((0, 3), (3, 0), (3, 3), (3, -3)):
            other = y + down, x + across
            if not inside[y, x] or not (0 <= other[0] < HEIGHT and 0 <= other[1] < WIDTH):
                continue
            distance = math.dist(lab[:, y, x], lab[:, other[0], other[1]])
            if math.exp(-distance / 10) > 0.3:
                p, q = sigmoid(z[y, x]), sigmoid(z[other])
                terms.append(-math.log(p * q + (1 - p) * (1 - q)))
    return sum(terms) / len(terms) if terms else 0.0


def slow_agreement(z: Array, targets: Array, weights: Array) -> float:
    """Weighted cross-entropy, over the number of known cells, and Dice of what is known."""
    entropy, known = 0.0, 0
    p_known, t_known = [], []
    for cell in np.ndindex(z.shape):
        p, t, w = sigmoid(z[cell]), targets[cell], weights[cell]
        entropy -= w * (t * math.log(p) + (1 - t) * math.log(1 - p))
        known += w > 0
        p_known.append(p * math.sqrt(w))
        t_known.append(t * math.sqrt(w))
    return entropy / max(known, 1) + slow_dice(p_known, t_known)


CASES: dict[str, tuple[Callable[..., Tensor], Callable[..., float], tuple[str, ...]]] = {
    "outside": (outside_loss, slow_outside, ("inside",)),
    "projection": (projection_loss, slow_projection, ("inside",)),
    "pairwise": (pairwise_loss, slow_pairwise, ("lab", "inside")),
    "agreement": (agreement_loss, slow_agreement, ("targets", "weights")),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_the_equation(name: str, seed: int) -> None:
    loss, slow, others = CASES[name]
    drawn = example(seed)
    actual = loss(drawn["logits"], *(drawn[other] for other in others))
    expected = [
        slow(drawn["logits"][place].numpy(), *(drawn[other][place].numpy() for other in others))
        for place in range(len(actual))
    ]
    assert actual.tolist() == pytest.approx(expected, abs=1e-9)
    assert min(expected[:2]) > 0.001


@pytest.mark.parametrize("name", CASES)
def test_an_objects_loss_does_not_depend_on_the_rest_of_the_batch(name: str) -> None:
    loss, _, others = CASES[name]
    drawn = example(2)
    together = loss(drawn["logits"], *(drawn[other] for other in others))
    for place in range(len(together)):
        part = slice(place, place + 1)
        alone = loss(drawn["logits"][part], *(drawn[other][part] for other in others))
        torch.testing.assert_close(alone, together[part])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_however_sure_the_network_is(name: str, dtype: torch.dtype) -> None:
    loss, _, others = CASES[name]
    drawn = {key: tensor.to(dtype) for key, tensor in example(3).items()}
    signs = torch.sign(drawn["logits"])
    for logits in (1e4 * signs, torch.full_like(signs, 1e4), torch.full_like(signs, -1e4)):
        z = logits.requires_grad_()
        found = loss(z, *(drawn[other] for other in others))
        (slope,) = torch.autograd.grad(found.sum(), z)
        assert found.isfinite().all()
        assert slope.isfinite().all()


@pytest.mark.parametrize("name", CASES)
def test_gradients(name: str) -> None:
    loss, _, others = CASES[name]
    drawn = example(4, batch=2)
    rest = [drawn[other] for other in others]
    assert torch.autograd.gradcheck(lambda z: loss(z, *rest), (drawn["logits"].requires_grad_(),))


def test_the_right_mask_has_no_loss() -> None:
    drawn = example(5)
    logits = 200 * (2 * drawn["inside"] - 1)
    nothing = pytest.approx([0.0] * 3, abs=1e-6)
    assert outside_loss(logits, drawn["inside"]).tolist() == nothing
    assert projection_loss(logits, drawn["inside"]).tolist() == nothing
    assert agreement_loss(logits, drawn["inside"], torch.ones_like(logits)).tolist() == nothing
    one_colour = torch.ones_like(drawn["lab"])
    assert pairwise_loss(torch.full_like(logits, 200.0), one_colour, drawn["inside"]).tolist() == nothing


def test_where_nothing_counts_the_loss_is_nothing() -> None:
    drawn = example(6)
    none = torch.zeros_like(drawn["inside"])
    logits = drawn["logits"]
    assert outside_loss(logits, 1 - none).tolist() == [0.0] * 3
    assert projection_loss(logits, none).tolist() == [0.0] * 3
    assert pairwise_loss(logits, drawn["lab"], none).tolist() == [0.0] * 3
    assert agreement_loss(logits, drawn["targets"], none).tolist() == [0.0] * 3
    unlike = (
        torch.arange(HEIGHT * WIDTH, dtype=torch.float64).view(1, 1, HEIGHT, WIDTH).expand(3, 3, -1, -1) * 40
    )
    assert pairwise_loss(logits, unlike, drawn["inside"]).tolist() == [0.0] * 3


def test_only_cells_outside_the_box_pull_towards_the_background() -> None:
    drawn = example(7)
    z = drawn["logits"].requires_grad_()
    (slope,) = torch.autograd.grad(outside_loss(z, drawn["inside"]).sum(), z)
    assert torch.equal(slope > 0, drawn["inside"] == 0)


def test_unknown_cells_have_no_influence_on_agreement() -> None:
    drawn = example(8)
    unknown = drawn["weights"] == 0
    assert unknown.any()
    there = agreement_loss(drawn["logits"], drawn["targets"], drawn["weights"])
    changed = torch.where(unknown, -drawn["logits"], drawn["logits"])
    torch.testing.assert_close(agreement_loss(changed, drawn["targets"], drawn["weights"]), there)


def test_dice() -> None:
    p = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
    q = torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0], [1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    found = dice_loss(p, q)
    assert found.tolist() == pytest.approx([0, 1, 1 - 2 * 0.5 / (1.25 + 2), 0])
    (slope,) = torch.autograd.grad(found.sum(), p)
    assert slope.isfinite().all()


@pytest.mark.parametrize(
    "step", [(0, 0), (2, 0), (0, 3), (-1, 2), (1, -2), (-3, -1), (9, 0), (0, -11), (12, 13)]
)
def test_shifted_is_the_value_of_the_neighbour(step: tuple[int, int]) -> None:
    x = example(9)["lab"]
    found = shifted(x, *step)
    assert found.shape == x.shape
    for y, column in np.ndindex(HEIGHT, WIDTH):
        down, across = y + step[0], column + step[1]
        there = 0 <= down < HEIGHT and 0 <= across < WIDTH
        expected = x[:, :, down, across] if there else torch.zeros(x.shape[:2], dtype=x.dtype)
        assert torch.equal(found[:, :, y, column], expected)


def test_there_are_eight_neighbours() -> None:
    steps = list(neighbours(4))
    assert len(steps) == len(set(steps)) == 8
    assert all(max(abs(down), abs(across)) == 4 and down % 4 == across % 4 == 0 for down, across in steps)
