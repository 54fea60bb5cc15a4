"""Layers of EfficientNet-Lite0 whose backward passes take less time or memory than torch's own."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_input

Pair = tuple[int, int]


class DepthwiseConv2d(nn.Conv2d):
    """`nn.Conv2d` with one filter per channel, whose backward pass is made of convolutions.

    On a CPU torch's own backward pass takes many times as long as its forward pass if the filter is larger than
    3x3 or dilated: a training step of the default backbone takes 21 % more processor time with it. Both
    gradients of a convolution are convolutions themselves, and those are fast. Remove this when torch's own
    backward pass is as fast (https://github.com/pytorch/pytorch/issues/13716).

    `kernel`, the side of the filters, is odd; the input is padded by half the filter's reach.
    """

    def __init__(self, channels: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> None:
        padding = dilation * (kernel // 2)
        super().__init__(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        # Autocast works on torch's own functions only.
        ours = input.device.type == "cpu" and weight.requires_grad and torch.is_grad_enabled()
        if not ours or torch.is_autocast_enabled("cpu"):
            y: Tensor = super()._conv_forward(input, weight, bias)
            return y
        y = _Depthwise.apply(input, weight, bias, self.stride, self.padding, self.dilation)  # type: ignore[no-untyped-call]
        return y


class _Depthwise(torch.autograd.Function):
    """Images (B, C, H, W), filters (C, 1, k, k) and shifts (C,) or None -> (B, C, h, w)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, dilation: Pair
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, padding, dilation
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        input_learns, weight_learns, bias_learns, *_ = ctx.needs_input_grad
        of_input = _gradient_of_input(gradient, x, weight, *ctx.geometry) if input_learns else None
        of_weight = _gradient_of_weight(gradient, x, weight, *ctx.geometry) if weight_learns else None
        return of_input, of_weight, gradient.sum((0, 2, 3)) if bias_learns else None, None, None, None


def _gradient_of_input(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair
) -> Tensor:
    if stride != (1, 1):
        y: Tensor = conv2d_input(x.shape, weight, gradient, stride, padding, dilation, len(weight))  # type: ignore[no-untyped-call]
        return y
    # The gradient of the input is a convolution with the filter turned by 180°.
    reach = [
        step * (side - 1) - pad for step, side, pad in zip(dilation, weight.shape[2:], padding, strict=True)
    ]
    return F.conv2d(gradient, weight.flip(2, 3), None, 1, reach, dilation, groups=len(weight))


def _gradient_of_weight(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair
) -> Tensor:
    # dw[c, i, j] = sum over b, y, x of gradient[b, c, y, x] input[b, c, stride y + dilation i - padding, ...]:
    # the gradient is the filter, one for each channel of each image, and stride and dilation change places.
    images, channels = x.shape[:2]
    taps = F.conv2d(
        x.reshape(1, images * channels, *x.shape[2:]),
        gradient.reshape(images * channels, 1, *gradient.shape[2:]),
        None,
        dilation,
        padding,
        stride,
        groups=images * channels,
    )
    rows, columns = weight.shape[2:]
    return taps[..., :rows, :columns].reshape(images, channels, 1, rows, columns).sum(0)


class ReLU6(nn.ReLU6):
    """`nn.ReLU6(inplace=True)` without the copy of its input that torch keeps for the backward pass.

    Its output, which the next convolution keeps anyway, also tells where a gradient passes: between 0 and 6.
    With torch's own, a training step of the default backbone takes 27 % more processor time. Remove this when
    torch saves the output itself (https://github.com/pytorch/pytorch/issues/95432, mended by pull request
    190506).
    """

    def __init__(self) -> None:
        super().__init__(inplace=True)

    def forward(self, input: Tensor) -> Tensor:  # noqa: D102
        if not (torch.is_grad_enabled() and input.requires_grad) or torch.compiler.is_compiling():
            return super().forward(input)
        y: Tensor = _ReLU6.apply(input)  # type: ignore[no-untyped-call]
        return y


class _ReLU6(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = x.clamp_(0, 6)
        ctx.mark_dirty(y)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradient, y, 0, 6)  # type: ignore[no-any-return]
