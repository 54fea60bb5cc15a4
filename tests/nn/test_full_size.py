from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from boxseg.nn import full_size
from boxseg.nn.full_size import Chosen, Summed, over_full_size
from boxseg.nn.upsample import upsample_aligned

STRIDE = 8
GEOMETRY = [((33, 25), (5, 4)), ((20, 18), (4, 4)), ((7, 9), (2, 2)), ((1, 1), (1, 1))]


def maps_of(cells: tuple[int, int], dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, 3, *cells, dtype=dtype, generator=torch.Generator().manual_seed(0)).requires_grad_()


def some_pixels(size: tuple[int, int]) -> Tensor:
    """A third of the pixels, other numbers of them in every band and image."""
    return torch.rand(2, *size, generator=torch.Generator().manual_seed(1)) < 1 / 3


def powers_of_others(chosen: Tensor) -> Summed:
    """Some sum over all pixels that are not chosen."""

    def summed(full: Tensor, band: slice) -> tuple[Tensor, Callable[[], Tensor]]:
        counted = ~chosen[:, band, None]
        return (counted * full.pow(3)).sum(), lambda: full.square_().mul_(3 * counted)

    return summed


POWERS = powers_of_others(torch.zeros(1, 1, dtype=torch.bool).expand(2, 64, 1))


def terms(values: Tensor, places: full_size.Places) -> tuple[Tensor, Tensor]:
    """Of values (m, 3) of some pixels; the second depends on where they are, too."""
    image, y, x = places
    return values.exp().sum(1), values[:, 0] * (image + 10 * y + 100 * x)


def total_of(some: Tensor, others: Tensor) -> Tensor:
    """Some function that no sum over pixels is."""
    return (some.softmax(0) * others).sum() + others.square().mean().nan_to_num()


def expected(whole: Tensor, chosen: Tensor) -> Tensor:
    """The same of maps of full size, pixel by pixel."""
    every: list[list[Tensor]] = [[], []]
    result = whole.new_zeros(())
    for image, y, x in torch.cartesian_prod(*map(torch.arange, chosen.shape)).tolist():
        value = whole[image, :, y, x]
        if not chosen[image, y, x]:
            result = result + value.pow(3).sum()
            continue
        every[0].append(value.exp().sum())
        every[1].append(value[0] * (image + 10 * y + 100 * x))
    return result + total_of(*(torch.stack(some) for some in every)) if every[0] else result


@pytest.mark.parametrize("few", [0, 1])
@pytest.mark.parametrize("rows", [1, 4, 8, 12, 64])
@pytest.mark.parametrize(("size", "cells"), GEOMETRY)
def test_is_the_function_of_upsampled_maps(
    size: tuple[int, int], cells: tuple[int, int], rows: int, few: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(full_size.ROWS, "cpu", rows)
    monkeypatch.setattr(full_size, "FEW", few)
    maps = maps_of(cells)
    chosen = some_pixels(size)
    seen: list[range] = []

    def summed(full: Tensor, band: slice) -> tuple[Tensor, Callable[[], Tensor]]:
        seen.append(range(size[0])[band])
        assert full.shape == (2, len(seen[-1]), 3, size[1])
        return powers_of_others(chosen)(full, band)

    total = over_full_size(maps, size, STRIDE, summed, Chosen(chosen, terms, total_of))
    assert [y for band in seen for y in band] == list(range(size[0]))
    wanted = expected(upsample_aligned(maps, size, STRIDE), chosen)
    torch.testing.assert_close(total, wanted)
    (slope,) = torch.autograd.grad(total.square(), maps)
    torch.testing.assert_close(slope, torch.autograd.grad(wanted.square(), maps)[0])


def test_a_sum_alone_has_its_gradient() -> None:
    maps = maps_of((5, 4))
    total = over_full_size(maps, (33, 25), STRIDE, POWERS)
    (slope,) = torch.autograd.grad(3 * total, maps)
    whole = upsample_aligned(maps, (33, 25), STRIDE).pow(3).sum()
    torch.testing.assert_close(slope, 3 * torch.autograd.grad(whole, maps)[0])


def test_without_gradients_it_computes_the_same() -> None:
    maps = maps_of((5, 4))
    chosen = some_pixels((33, 25))
    work = (powers_of_others(chosen), Chosen(chosen, terms, total_of))
    with torch.no_grad():
        without = over_full_size(maps, (33, 25), STRIDE, *work)
    assert not without.requires_grad
    assert torch.equal(without, over_full_size(maps, (33, 25), STRIDE, *work))


def test_no_pixel_need_be_chosen() -> None:
    maps = maps_of((5, 4))
    none = torch.zeros(2, 33, 25, dtype=torch.bool)
    nothing = Chosen(none, terms, lambda some, others: some.sum() + others.sum())
    total = over_full_size(maps, (33, 25), STRIDE, POWERS, nothing)
    alone = over_full_size(maps, (33, 25), STRIDE, POWERS)
    assert torch.equal(total, alone)
    assert torch.equal(torch.autograd.grad(total, maps)[0], torch.autograd.grad(alone, maps)[0])


def test_a_term_need_not_count() -> None:
    maps = maps_of((5, 4))
    chosen = some_pixels((33, 25))
    work = powers_of_others(chosen)
    first = over_full_size(maps, (33, 25), STRIDE, work, Chosen(chosen, terms, lambda some, _: some.sum()))
    one = Chosen(chosen, lambda values, _: (values.exp().sum(1),), torch.sum)
    alone = over_full_size(maps, (33, 25), STRIDE, work, one)
    assert torch.equal(torch.autograd.grad(first, maps)[0], torch.autograd.grad(alone, maps)[0])


def test_gradients() -> None:
    chosen = some_pixels((11, 9))

    def result(maps: Tensor) -> Tensor:
        smaller = Chosen(chosen, terms, lambda some, others: total_of(some, others / 100))
        return over_full_size(maps, (11, 9), STRIDE, powers_of_others(chosen), smaller)

    assert torch.autograd.gradcheck(result, (0.1 * maps_of((3, 2)).detach()).requires_grad_())


def test_a_second_derivative_is_refused() -> None:
    maps = maps_of((2, 2))
    total = over_full_size(maps, (9, 9), STRIDE, POWERS)
    (slope,) = torch.autograd.grad(total.square(), maps, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


def test_half_precision_is_upsampled_in_float32() -> None:
    maps = maps_of((3, 3), torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total = over_full_size(maps, (17, 17), STRIDE, lambda full, _: (full.sum(), lambda: full.fill_(1)))
    assert total.dtype == torch.float32
    assert float(total.detach()) == pytest.approx(
        float(upsample_aligned(maps.detach().float(), (17, 17), STRIDE).sum()), abs=1e-3
    )
    assert torch.autograd.grad(total, maps)[0].dtype == torch.bfloat16


def test_may_be_part_of_a_compiled_function() -> None:
    chosen = some_pixels((9, 9))
    work = (powers_of_others(chosen), Chosen(chosen, terms, total_of))

    def sums(maps: Tensor) -> Tensor:
        return 2 * over_full_size(2 * maps, (9, 9), STRIDE, *work)

    maps = maps_of((2, 2))
    compiled = torch.compile(sums, backend="aot_eager")
    assert torch.equal(compiled(maps), sums(maps))
    assert torch.equal(torch.autograd.grad(compiled(maps), maps)[0], torch.autograd.grad(sums(maps), maps)[0])


def test_cells_that_end_before_the_image_are_refused() -> None:
    with pytest.raises(ValueError, match="end at pixel 8"):
        over_full_size(maps_of((2, 2)), (10, 9), STRIDE, POWERS)
