"""A start and a rate at which fresh layers learn on pretrained features, whatever the scale of these.

The features of Caffe's VGG-16 have a mean square near 700. A layer with random weights on top hands that on,
so the first scores are far too large; and as the gradient of its weights grows with its input, any usual rate
makes it diverge in a few steps. The pretrained fc6 has weights made for such features.

Source: the scale, from one forward pass, layer by layer: Mishkin and Matas, All You Need Is a Good Init, ICLR
2016 (LSUV, without its orthogonal weights).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from boxseg.nn.backbones.base import Backbone

# Share of the rate of new layers at which fresh layers learn, that of pretrained ones in the paper's recipe. At
# the whole rate the classifier above them follows more slowly (docs/method.md).
_SLOWER = 0.1
# Mean and standard deviation of photos, and how much their channels differ from grey.
_GREY, _CONTRAST, _COLOUR = 118.0, 60.0, 0.3


def settle_fresh(backbone: Backbone, layers: Collection[str]) -> dict[str, float]:
    """Scale the random weights of some convolutions of a backbone, in place, and find rates for them.

    Each then answers with mean square 1 to what the layers before it make of `photo_like` pictures. Layers that
    get or give no numbers, or zeros alone, stay as they are.

    Args:
        backbone: The backbone, with all its pretrained weights.
        layers: Names of convolutions that start random, without biases.

    Returns:
        Factors in (0, 1) on the learning rates of weights and biases, by name: a tenth, for weights divided by
        E[x²] of the layer's input x, where that is more than 1. So scaled weights learn as on normalised
        features x / sqrt(E[x²]).
    """
    if not layers:
        return {}
    rates: dict[str, float] = {}
    modules = dict(backbone.named_modules())
    hooks = [modules[name].register_forward_pre_hook(partial(_settle, rates, name)) for name in layers]
    training = backbone.training
    backbone.eval()
    try:
        with torch.no_grad():
            backbone(photo_like(2, 161).to(backbone.mean.device))
    finally:
        backbone.train(training)
        for hook in hooks:
            hook.remove()
    return rates


def _settle(rates: dict[str, float], name: str, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Scale a layer before it answers."""
    assert isinstance(layer, nn.Conv2d)
    plain: Callable[[Tensor], Tensor] = layer.forward  # without this hook
    given, answer = (float(x.double().square().mean()) for x in (inputs[0], plain(inputs[0])))
    if 0 < given < math.inf and 0 < answer < math.inf:
        layer.weight.div_(math.sqrt(answer))
        rates[f"{name}.weight"] = _SLOWER / max(1.0, given)
        rates[f"{name}.bias"] = _SLOWER


def photo_like(count: int, size: int) -> Tensor:
    """Pictures (count, 3, size, size), 0..255: noise with as much of each scale as photos have.

    They are always the same. VGG-16's pool5 has a root mean square of 28 on them, and of 26 on photos (on white
    noise 6).
    """
    generator = torch.Generator().manual_seed(0)
    pictures = torch.zeros(count, 3, size, size)
    cells = 2
    while cells <= size:
        grey = torch.randn(count, 1, cells, cells, generator=generator)
        colours = torch.randn(count, 3, cells, cells, generator=generator)
        pictures += F.interpolate(grey + _COLOUR * colours, size=(size, size), mode="bilinear")
        cells *= 2
    return (_GREY + _CONTRAST * pictures / pictures.std()).clamp(0, 255)
