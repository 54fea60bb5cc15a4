from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from boxseg.nn.backbones.layers import ReLU6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_values_and_gradients_are_torchs(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    edges = torch.tensor([0.0, -0.0, 6.0, 6.0001, -1e-30, 1e-30, float("nan"), float("inf"), -float("inf")])
    x = torch.cat([edges, 4 * torch.randn(500)]).to(dtype).requires_grad_()
    outer = torch.randn_like(x)
    ours, torchs = (layer(1 * x) for layer in (ReLU6(), nn.ReLU6()))
    torch.testing.assert_close(ours, torchs, rtol=0, atol=0, equal_nan=True)
    gradients = [torch.autograd.grad(y, x, outer)[0] for y in (ours, torchs)]
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


@pytest.mark.parametrize("learn", [True, False])
def test_it_works_in_place(learn: bool) -> None:
    x = torch.randn(3, 4, requires_grad=learn) * 9
    place = x.data_ptr()
    y = ReLU6()(x)
    assert y.data_ptr() == place
    assert y.min() == 0
    assert y.max() == 6


def test_it_keeps_nothing_but_what_the_next_layer_keeps() -> None:
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.data_ptr())
        return tensor

    first, second = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = ReLU6()(first(torch.randn(1, 2, 8, 8)))
        second(y)
    assert kept.count(y.data_ptr()) == 2  # as its output, and as the input of the next
    weights = {first.weight.data_ptr(), second.weight.data_ptr()}
    assert len(set(kept) - weights) == 2  # the first input, and this
