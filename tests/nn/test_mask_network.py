"""The mask network: its shapes, what it is told of boxes, and which of its parts learn."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from boxseg.nn.mask_network import FROZEN_BLOCKS, GRID, GUIDES, SIDE, MaskNetwork, guide_maps, inside_box


@pytest.fixture(scope="module")
def network() -> MaskNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MaskNetwork().eval()


def crops(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)


def others(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 3, (count, GRID, GRID), dtype=torch.uint8, generator=generator)


BOXES = torch.tensor([[30.0, 40.0, 220.0, 200.0], [36.7, 37.2, 100.1, 219.5]])
FROZEN = (
    "backbone.conv_stem.",
    "backbone.bn0.",
    *(f"backbone.blocks.{place}." for place in range(FROZEN_BLOCKS)),
)


# ---- guides --------------------------------------------------------------------------------------------------


def slow_guides(box: tuple[float, float, float, float], others: Tensor, row: int, column: int) -> list[float]:
    """The six values of one cell, in plain floats."""
    left, top, right, bottom = box
    x, y = 2 * column + 0.5, 2 * row + 0.5
    width, height = max(right - left, 1), max(bottom - top, 1)
    sides = (x - left) / width, (right - x) / width, (y - top) / height, (bottom - y) / height
    inside = left < x < right and top < y < bottom
    return [min(max(side, -0.5), 1.5) for side in sides] + [float(inside), int(others[row, column]) / 2]


BOX_IN_CROP = st.tuples(*(4 * [st.integers(-40, 600)])).map(
    lambda q: (min(q[0], q[2]) / 2, min(q[1], q[3]) / 2, max(q[0], q[2]) / 2 + 0.25, max(q[1], q[3]) / 2 + 0.25)
)
CELLS = [(0, 0), (0, GRID - 1), (GRID - 1, 3), (64, 64), (17, 90), (101, 20), (5, 6)]


@given(BOX_IN_CROP)
@settings(max_examples=60)
def test_guides_say_where_the_box_is(box: tuple[float, float, float, float]) -> None:
    covered = others(1)
    found = guide_maps(torch.tensor([box]), covered)
    assert found.shape == (1, GUIDES, GRID, GRID)
    assert torch.equal(found[:, 4], inside_box(torch.tensor([box])))
    for row, column in CELLS:
        expected = slow_guides(box, covered[0], row, column)
        assert found[0, :, row, column].tolist() == pytest.approx(expected, abs=1e-4)


def test_every_cell_in_the_box_is_counted() -> None:
    found = inside_box(BOXES)
    assert found.unique().tolist() == [0, 1]
    for place, (left, top, right, bottom) in enumerate(BOXES.tolist()):
        for row in range(GRID):
            for column in range(GRID):
                inside = left < 2 * column + 0.5 < right and top < 2 * row + 0.5 < bottom
                assert bool(found[place, row, column]) == inside


@given(BOX_IN_CROP)
@settings(max_examples=30)
def test_guides_of_the_mirrored_box_are_mirrored(box: tuple[float, float, float, float]) -> None:
    left, top, right, bottom = box
    covered = others(1)
    found = guide_maps(torch.tensor([box]), covered).flip(-1)
    mirrored = guide_maps(torch.tensor([[SIDE - right, top, SIDE - left, bottom]]), covered.flip(-1))
    torch.testing.assert_close(mirrored[:, [1, 0, 2, 3, 4, 5]], found)


def test_guides_of_a_batch_are_those_of_each() -> None:
    covered = others(2)
    together = guide_maps(BOXES, covered)
    for place in range(2):
        part = slice(place, place + 1)
        assert torch.equal(guide_maps(BOXES[part], covered[part]), together[part])


# ---- the network ---------------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_logit_for_every_cell_of_every_crop(network: MaskNetwork) -> None:
    guides, seen = guide_maps(BOXES, others(2)), crops(2)
    logits = network(seen, guides)
    assert logits.shape == (2, GRID, GRID)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    torch.testing.assert_close(network(seen.float(), guides), logits)
    torch.testing.assert_close(network(seen[1:], guides[1:]), logits[1:], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_new_encoder_ignores_the_box_and_a_new_decoder_does_not(network: MaskNetwork) -> None:
    guides = guide_maps(BOXES, others(2))
    images = network.backbone.normalise(crops(1))
    first, second = (network._encode(images, guides[place : place + 1, :, ::2, ::2]) for place in range(2))
    assert [tuple(found.shape) for found in first] == [
        (1, 16, 129, 129), (1, 24, 65, 65), (1, 40, 33, 33), (1, 112, 17, 17), (1, 320, 9, 9),
    ]  # fmt: skip
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)
    torch.testing.assert_close(first[-1], network.backbone(crops(1)))  # as it was on ImageNet
    assert not torch.allclose(network(crops(1), guides[:1]), network(crops(1), guides[1:]))


def mirror_symmetric(network: MaskNetwork, dim: int, sides: tuple[int, int]) -> MaskNetwork:
    """The network with filters that are their own mirror images, and two guides that count alike."""
    network = copy.deepcopy(network)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.copy_((layer.weight + layer.weight.flip(dim)) / 2)
    for part in (network.guide, network.from_16, network.from_8, network.from_4, network.from_2):
        guides = part.weight[:, -GUIDES:]
        guides[:, sides] = guides[:, sides].mean(1, keepdim=True)
    return network


@pytest.mark.parametrize(("dim", "sides"), [(-1, (0, 1)), (-2, (2, 3))], ids=["across", "down"])
@torch.no_grad()
def test_every_level_lies_over_the_middle_of_its_pixels(
    network: MaskNetwork, dim: int, sides: tuple[int, int]
) -> None:
    """Half a cell to a side, in features, guides or upsampling, and a mirrored crop had another answer."""
    symmetric = mirror_symmetric(network, dim, sides)
    nn.init.normal_(symmetric.guide.weight[:, sides[0]], generator=torch.Generator().manual_seed(2))
    symmetric.guide.weight[:, sides[1]] = symmetric.guide.weight[:, sides[0]]
    seen, guides = crops(1), guide_maps(BOXES[:1], others(1))
    swapped = guides.flip(dim)
    swapped[:, sides] = swapped[:, sides[::-1]]
    expected = symmetric(seen, guides)
    torch.testing.assert_close(symmetric(seen.flip(dim), swapped).flip(dim), expected, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(symmetric(seen.flip(dim), guides).flip(dim), expected, atol=1e-2)


def test_all_but_the_first_blocks_learn() -> None:
    torch.manual_seed(1)
    network = MaskNetwork().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    parameters = dict(network.named_parameters())
    frozen = {name for name in parameters if name.startswith(FROZEN)}
    assert {name for name, parameter in parameters.items() if not parameter.requires_grad} == frozen
    sgd = torch.optim.SGD(network.parameters(), lr=0.1, weight_decay=0.1)
    network(crops(1), guide_maps(BOXES[:1], others(1))).square().mean().backward()
    sgd.step()
    for name, parameter in parameters.items():
        learns = name not in frozen
        assert (parameter.grad is not None) == learns, name
        assert torch.equal(parameter, before[name]) != learns, name
    for name, buffer in network.named_buffers():  # batch norm keeps ImageNet's statistics
        assert torch.equal(buffer, before[name]), name
