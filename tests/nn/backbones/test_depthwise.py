"""Depthwise convolution beside torch's own, and batch norm within convolutions beside batch norm after them."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from boxseg.nn.backbones.base import convolve
from boxseg.nn.backbones.layers import DepthwiseConv2d

layers = st.tuples(
    st.integers(1, 5),
    st.sampled_from([1, 3, 5, 7]),
    st.integers(1, 3),
    st.integers(1, 3),
)


def _double(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@settings(max_examples=150)
@given(
    layer=layers,
    images=st.integers(1, 3),
    height=st.integers(1, 14),
    width=st.integers(1, 14),
    bias=st.booleans(),
)
def test_values_and_gradients_are_those_of_torchs_own_convolution(
    layer: tuple[int, int, int, int], images: int, height: int, width: int, bias: bool
) -> None:
    channels, kernel, stride, dilation = layer
    torch.manual_seed(channels + 10 * kernel + 100 * height + 1000 * width)
    ours = DepthwiseConv2d(channels, kernel, stride=stride, dilation=dilation).double()
    x, shift = _double(images, channels, height, width), _double(channels) if bias else None
    learnt = [x, ours.weight, *([shift] if bias else [])]
    copies = [tensor.detach().clone().requires_grad_() for tensor in learnt]
    padding = dilation * (kernel // 2)
    plain_x, plain_weight, plain_shift = (*copies, None)[:3]
    plain = F.conv2d(plain_x, plain_weight, plain_shift, stride, padding, dilation, groups=channels)
    y = ours._conv_forward(x, ours.weight, shift)
    assert torch.equal(y, plain)

    outer = torch.randn_like(y)
    expected = torch.autograd.grad(plain, copies, outer)
    found = torch.autograd.grad(y, learnt, outer)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 2, 1), (5, 1, 2), (3, 1, 1)])
def test_gradients_are_those_of_small_differences(kernel: int, stride: int, dilation: int) -> None:
    torch.manual_seed(0)
    layer = DepthwiseConv2d(2, kernel, stride=stride, dilation=dilation).double()
    x = _double(2, 2, 6, 7)

    def function(image: Tensor, weight: Tensor) -> Tensor:
        return layer._conv_forward(image, weight, None)

    assert torch.autograd.gradcheck(function, (x, layer.weight))


def test_a_filter_alone_can_be_learnt_from_an_image_that_needs_no_gradient() -> None:
    torch.manual_seed(0)
    layer, x = DepthwiseConv2d(3, 3), torch.randn(2, 3, 9, 9)
    layer(x).square().sum().backward()
    found = layer.weight.grad
    layer.weight.grad = None
    F.conv2d(x, layer.weight, padding=1, groups=3).square().sum().backward()
    torch.testing.assert_close(found, layer.weight.grad)


def test_under_autocast_it_computes_in_half_precision_as_every_other_layer_does() -> None:
    torch.manual_seed(0)
    layer, x = DepthwiseConv2d(3, 5, dilation=2), torch.randn(2, 3, 9, 9, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("depthwise", [False, True])
def test_batch_norm_within_a_convolution_learns_what_batch_norm_after_it_does(depthwise: bool) -> None:
    torch.manual_seed(0)
    layer: nn.Conv2d = DepthwiseConv2d(6, 5) if depthwise else nn.Conv2d(6, 6, 3, bias=False)
    layer, norm = layer.double(), nn.BatchNorm2d(6, eps=1e-3).double()
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(tensor)
    nn.init.uniform_(norm.running_var, 0.1, 3)
    norm.eval()
    x = _double(2, 6, 8, 9)
    learnt = (x, layer.weight, norm.weight, norm.bias)

    within, after = convolve(x, layer, norm), norm(layer(x))
    torch.testing.assert_close(within, after)
    outer = torch.randn_like(after)
    for one, other in zip(
        torch.autograd.grad(within, learnt, outer), torch.autograd.grad(after, learnt, outer), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_batch_norm_that_is_trained_sees_its_batch() -> None:
    torch.manual_seed(0)
    layer, norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
    y = convolve(torch.randn(4, 3, 8, 8), layer, norm)
    torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    assert norm.num_batches_tracked == 1
