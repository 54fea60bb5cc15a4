"""Arithmetic whose last bits do not depend on the number of threads, where torch's own does.

A stage's photos may be spread over processes that have fewer threads each, and are to get the same labels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Of 1x1 convolutions, whose single tap no dilation moves. On a CPU with a single thread torch computes them
# otherwise than with several, and slower, unless they are dilated.
DILATION = 2


def softmax(scores: Tensor) -> Tensor:
    """Softmax over the first dimension.

    torch's rounds the values at the borders between the parts of its threads differently.
    """
    powers = (scores - scores.amax(0)).exp()
    return powers / powers.sum(0)


def project(features: Tensor, vectors: Tensor) -> Tensor:
    """Inner products of features (B, C, h, w) with vectors (K, C), as a 1x1 convolution; (B, K, h, w)."""
    settled = features.device.type == "cpu" and not torch.compiler.is_compiling()  # nor in an exported graph
    return F.conv2d(features, vectors[:, :, None, None], dilation=DILATION if settled else 1)


def settle_convolutions(network: nn.Module, *, cpu: bool) -> None:
    """Have a network's 1x1 convolutions computed in one way, whatever the number of threads; changed in place.

    Args:
        network: The network.
        cpu: Whether it will be used on a CPU by torch; False undoes it.
    """
    dilation = DILATION if cpu else 1
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.stride == (1, 1):
            module.dilation = (dilation, dilation)
