from __future__ import annotations

import pytest
import torch
from torch import Tensor

from boxseg.nn import full_size
from boxseg.nn.full_size import over_full_size
from boxseg.nn.upsample import upsample_aligned

STRIDE = 8
GEOMETRY = [((33, 25), (5, 4)), ((20, 18), (4, 4)), ((7, 9), (2, 2)), ((1, 1), (1, 1))]


def maps_of(cells: tuple[int, int], dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, 3, *cells, dtype=dtype, generator=torch.Generator().manual_seed(0)).requires_grad_()


def powers(full: Tensor, _: slice) -> Tensor:
    """Some sum over all pixels."""
    return full.pow(3).sum()


def some_of(full: Tensor, _: slice) -> tuple[Tensor, Tensor]:
    """Values of some pixels, row after row, other numbers of them in every band; and sums of bands."""
    where = full.detach()[:, 0] > 0
    rows = full.movedim(1, -1).exp()
    return torch.cat([rows[:, y][where[:, y]] for y in range(full.shape[2])]), full.square().sum()[None]


@pytest.mark.parametrize("rows", [1, 4, 8, 12, 64])
@pytest.mark.parametrize(("size", "cells"), GEOMETRY)
def test_is_the_function_of_upsampled_maps(
    size: tuple[int, int], cells: tuple[int, int], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(full_size.ROWS, "cpu", rows)
    maps = maps_of(cells)
    seen: list[range] = []

    def summed(full: Tensor, band: slice) -> Tensor:
        seen.append(range(size[0])[band])
        assert full.shape == (2, 3, len(seen[-1]), size[1])
        return powers(full, band)

    total, some, sums = over_full_size(maps, size, STRIDE, summed, some_of)
    assert [y for band in seen for y in band] == list(range(size[0]))
    whole = upsample_aligned(maps, size, STRIDE)
    everything = slice(0, size[0])
    expected = powers(whole, everything), *some_of(whole, everything)
    for found, one in zip((total, some, sums.sum()), (*expected[:2], expected[2][0]), strict=True):
        torch.testing.assert_close(found, one)
    (slope,) = torch.autograd.grad(total.square() + some.sum() + sums.prod(), maps)
    of_bands = torch.stack([some_of(part, everything)[1][0] for part in upsampled(maps, size, rows)])
    wanted = expected[0].square() + expected[1].sum() + of_bands.prod()
    torch.testing.assert_close(slope, torch.autograd.grad(wanted, maps)[0])


def test_a_sum_alone_has_its_gradient() -> None:
    maps = maps_of((5, 4))
    (total,) = over_full_size(maps, (33, 25), STRIDE, powers)
    (slope,) = torch.autograd.grad(3 * total, maps)
    whole = powers(upsample_aligned(maps, (33, 25), STRIDE), slice(0, 33))
    torch.testing.assert_close(slope, 3 * torch.autograd.grad(whole, maps)[0])


def test_without_gradients_it_computes_the_same() -> None:
    maps = maps_of((5, 4))
    with torch.no_grad():
        without = over_full_size(maps, (33, 25), STRIDE, powers, some_of)
    for one, other in zip(without, over_full_size(maps, (33, 25), STRIDE, powers, some_of), strict=True):
        assert torch.equal(one, other)
        assert not one.requires_grad


def upsampled(maps: Tensor, size: tuple[int, int], rows: int) -> tuple[Tensor, ...]:
    return upsample_aligned(maps, size, STRIDE).split(rows, 2)


def test_gradients() -> None:
    def result(maps: Tensor) -> Tensor:
        total, some, sums = over_full_size(
            maps,
            (11, 9),
            STRIDE,
            powers,
            lambda full, _: (full.exp().movedim(2, 0).flatten(1), full.sum((0, 1, 3))),
        )
        return total + some.mean(1).prod() + sums.square().sum()

    assert torch.autograd.gradcheck(result, (0.1 * maps_of((3, 2)).detach()).requires_grad_())


def test_a_second_derivative_is_refused() -> None:
    maps = maps_of((2, 2))
    (total,) = over_full_size(maps, (9, 9), STRIDE, powers)
    (slope,) = torch.autograd.grad(total.square(), maps, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


def test_half_precision_is_upsampled_in_float32() -> None:
    maps = maps_of((3, 3), torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (total,) = over_full_size(maps, (17, 17), STRIDE, lambda full, _: full.sum())
    assert total.dtype == torch.float32
    assert float(total.detach()) == pytest.approx(
        float(upsample_aligned(maps.detach().float(), (17, 17), STRIDE).sum()), abs=1e-3
    )
    assert torch.autograd.grad(total, maps)[0].dtype == torch.bfloat16


def test_may_be_part_of_a_compiled_function() -> None:
    def sums(maps: Tensor) -> Tensor:
        total, some, _ = over_full_size(2 * maps, (9, 9), STRIDE, powers, some_of)
        return 2 * total + some.sum()

    maps = maps_of((2, 2))
    compiled = torch.compile(sums, backend="aot_eager")
    assert torch.equal(compiled(maps), sums(maps))
    assert torch.equal(torch.autograd.grad(compiled(maps), maps)[0], torch.autograd.grad(sums(maps), maps)[0])


def test_cells_that_end_before_the_image_are_refused() -> None:
    with pytest.raises(ValueError, match="end at pixel 8"):
        over_full_size(maps_of((2, 2)), (10, 9), STRIDE, powers)
