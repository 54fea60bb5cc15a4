"""1x1 convolutions at their full speed where a photo has one thread."""

from __future__ import annotations

from torch import nn


def hurry_pointwise(network: nn.Module, *, cpu: bool) -> None:
    """Dilate a network's 1x1 convolutions, whose single tap no dilation moves; changed in place.

    With one thread and fewer than 16 images torch leaves 1x1 convolutions that are neither strided nor dilated
    to a slower kernel: labels of the default backbone then take 40 % more processor time. This can go when
    torch drops that rule, `use_mkldnn` in ATen/native/Convolution.cpp
    (https://github.com/pytorch/pytorch/issues/35937).

    Args:
        network: The network.
        cpu: Whether torch will run it on a CPU; False undoes it.
    """
    dilation = 2 if cpu else 1
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.stride == (1, 1):
            module.dilation = (dilation, dilation)
