"""torch's own layers: batch norm after its convolution, and torch's depthwise convolution and ReLU6."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from torch import Tensor, nn

from boxseg.nn.backbones import efficientnet_lite, resnet
from boxseg.nn.backbones.layers import DepthwiseConv2d, ReLU6


@contextmanager
def layer_by_layer() -> Iterator[None]:
    """Compute backbones with torch's own layers within the block."""
    with ExitStack() as stack:
        for module in (efficientnet_lite, resnet):
            stack.enter_context(patch.object(module, "convolve", _one_after_the_other))
        stack.enter_context(patch.object(DepthwiseConv2d, "_conv_forward", nn.Conv2d._conv_forward))
        stack.enter_context(patch.object(ReLU6, "forward", nn.ReLU6.forward))
        yield


def _one_after_the_other(x: Tensor, convolution: nn.Conv2d, norm: nn.Module) -> Tensor:
    y: Tensor = norm(convolution(x))
    return y
