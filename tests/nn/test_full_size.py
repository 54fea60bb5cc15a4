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


def some_pixels(size: tuple[int, int]) -> Tensor:
    """A third of the pixels, other numbers of them in every band and image."""
    return torch.rand(2, *size, generator=torch.Generator().manual_seed(1)) < 1 / 3


def terms(values: Tensor, places: full_size.Places) -> tuple[Tensor, Tensor]:
    """Of values (m, 3) of some pixels; the second depends on where they are, too."""
    image, y, x = places
    return values.exp().sum(1), values[:, 0] * (image + 10 * y + 100 * x)


def expected_terms(whole: Tensor, chosen: Tensor) -> list[Tensor]:
    """The same of maps of full size, pixel by pixel in the order of rows of the image."""
    every: list[list[Tensor]] = [[], []]
    for y, image, x in torch.stack(torch.where(chosen.movedim(1, 0)), 1).tolist():
        value = whole[image, :, y, x]
        every[0].append(value.exp().sum())
        every[1].append(value[0] * (image + 10 * y + 100 * x))
    return [torch.stack(some) if some else whole.new_zeros(0) for some in every]


@pytest.mark.parametrize("few", [0, 1 / 3, 1])
@pytest.mark.parametrize("rows", [1, 4, 8, 12, 64])
@pytest.mark.parametrize(("size", "cells"), GEOMETRY)
def test_is_the_function_of_upsampled_maps(
    size: tuple[int, int], cells: tuple[int, int], rows: int, few: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(full_size.ROWS, "cpu", rows)
    monkeypatch.setattr(full_size, "FEW", few)
    maps = maps_of(cells)
    seen: list[range] = []

    def summed(full: Tensor, band: slice) -> Tensor:
        seen.append(range(size[0])[band])
        assert full.shape == (2, 3, len(seen[-1]), size[1])
        return powers(full, band)

    chosen = some_pixels(size)
    total, *found = over_full_size(maps, size, STRIDE, summed, chosen, terms)
    assert [y for band in seen for y in band] == list(range(size[0]))
    whole = upsample_aligned(maps, size, STRIDE)
    expected = powers(whole, slice(0, size[0]))
    wanted = expected_terms(whole, chosen)
    torch.testing.assert_close(total, expected)
    for some, one in zip(found, wanted, strict=True):
        torch.testing.assert_close(some.sort().values, one.sort().values)
    (slope,) = torch.autograd.grad(total.square() + found[0].square().sum() + 2 * found[1].sum(), maps)
    result = expected.square() + wanted[0].square().sum() + 2 * wanted[1].sum()
    torch.testing.assert_close(slope, torch.autograd.grad(result, maps)[0])


def test_a_sum_alone_has_its_gradient() -> None:
    maps = maps_of((5, 4))
    (total,) = over_full_size(maps, (33, 25), STRIDE, powers)
    (slope,) = torch.autograd.grad(3 * total, maps)
    whole = powers(upsample_aligned(maps, (33, 25), STRIDE), slice(0, 33))
    torch.testing.assert_close(slope, 3 * torch.autograd.grad(whole, maps)[0])


def test_without_gradients_it_computes_the_same() -> None:
    maps = maps_of((5, 4))
    arguments = (maps, (33, 25), STRIDE, powers, some_pixels((33, 25)), terms)
    with torch.no_grad():
        without = over_full_size(*arguments)
    for one, other in zip(without, over_full_size(*arguments), strict=True):
        assert torch.equal(one, other)
        assert not one.requires_grad


def test_no_pixel_need_be_chosen() -> None:
    maps = maps_of((5, 4))
    none = torch.zeros(2, 33, 25, dtype=torch.bool)
    total, *found = over_full_size(maps, (33, 25), STRIDE, powers, none, terms)
    assert [some.shape for some in found] == [(0,), (0,)]
    (slope,) = torch.autograd.grad(total + sum(some.sum() for some in found), maps)
    (alone,) = over_full_size(maps, (33, 25), STRIDE, powers)
    torch.testing.assert_close(slope, torch.autograd.grad(alone, maps)[0])


def test_gradients() -> None:
    def result(maps: Tensor) -> Tensor:
        total, some, others = over_full_size(maps, (11, 9), STRIDE, powers, some_pixels((11, 9)), terms)
        return total + some.square().mean() + (others / 100).square().sum()

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
        total, some, _ = over_full_size(2 * maps, (9, 9), STRIDE, powers, some_pixels((9, 9)), terms)
        return 2 * total + some.sum()

    maps = maps_of((2, 2))
    compiled = torch.compile(sums, backend="aot_eager")
    assert torch.equal(compiled(maps), sums(maps))
    assert torch.equal(torch.autograd.grad(compiled(maps), maps)[0], torch.autograd.grad(sums(maps), maps)[0])


def test_cells_that_end_before_the_image_are_refused() -> None:
    with pytest.raises(ValueError, match="end at pixel 8"):
        over_full_size(maps_of((2, 2)), (10, 9), STRIDE, powers)
