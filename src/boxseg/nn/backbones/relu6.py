"""ReLU6 in place, whose backward pass needs its output alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class ReLU6(nn.ReLU6):
    """`nn.ReLU6(inplace=True)`, without the copy of its input that torch makes and keeps for the backward pass.

    Its output, which the next convolution keeps anyway, tells as well where a gradient passes: between 0 and 6.
    A training step of the default backbone takes 27 % more processor time with torch's. This can go when torch
    saves the output itself (https://github.com/pytorch/pytorch/issues/95432; pull request 190506 mends it).
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
