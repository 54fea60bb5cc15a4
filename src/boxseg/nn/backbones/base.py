"""What every backbone shares: its own normalisation, exact geometry, frozen batch norm."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BatchNorm = Literal["frozen", "train"]
HeadName = Literal["largefov", "aspp"]


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """What a family of weights expects of its input: (image[order] - mean) / std.

    Args:
        mean: Per input channel, after reordering, 0..255.
        std: Likewise.
        order: For each input channel, which of R, G, B (0, 1, 2) it is.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    order: tuple[int, int, int] = (0, 1, 2)

    def __str__(self) -> str:
        """`BGR - (104.008, 116.669, 122.675)`."""
        channels = "".join("RGB"[place] for place in self.order)
        mean, std = (", ".join(f"{number:g}" for number in numbers) for numbers in (self.mean, self.std))
        return f"{channels} - ({mean})" if set(self.std) == {1.0} else f"({channels} - ({mean})) / ({std})"


CAFFE = Preprocessing(mean=(104.008, 116.669, 122.675), std=(1.0, 1.0, 1.0), order=(2, 1, 0))
TORCHVISION = Preprocessing(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
PREPROCESSING = {"caffe": CAFFE, "torchvision": TORCHVISION}
TENSORFLOW_LITE = Preprocessing(mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0))


class Backbone(nn.Module):
    """A network from raw photos to a grid of features.

    A subclass builds its layers and writes `extract`. The geometry is the same for all: the normalised image is
    padded with zeros at the right and bottom to the next stride · k + 1 pixels, and every strided layer is
    padded symmetrically, so that feature cell (i, j) lies exactly over pixel (stride · i, stride · j), whatever
    the size of the image.

    Args:
        channels: C, of the features.
        stride: Pixels between two cells.
        preprocessing: Normalisation; kept in the state dict, so weights bring their own.
        batch_norm: `frozen` keeps batch norm on its stored statistics while training (its scale and shift
            still learn); `train` updates them.
    """

    default_head: ClassVar[HeadName] = "largefov"
    # Whether layers are registered in the order of use, each batch norm right after its convolution, so that
    # `fold_batch_norm` may join the two, and whether the loss depends on all of them.
    own_layers: ClassVar[bool] = False
    # Whether the backbone's last layers are a LargeFOV head already.
    includes_largefov: bool = False
    mean: Tensor
    std: Tensor
    order: Tensor

    def __init__(
        self, *, channels: int, stride: int, preprocessing: Preprocessing, batch_norm: BatchNorm = "frozen"
    ) -> None:
        super().__init__()
        self.channels = channels
        self.stride = stride
        self.batch_norm = batch_norm
        self.frozen = False
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("std", torch.ones(3))
        self.register_buffer("order", torch.arange(3))
        self.set_preprocessing(preprocessing)

    @classmethod
    def options_under(cls, head: HeadName) -> dict[str, Any]:
        """Architecture options of this backbone for use under a segmentation head."""
        return {}

    @property
    def architecture(self) -> dict[str, Any]:
        """What a checkpoint must hold to build it again, in JSON types; empty if its name is enough."""
        return {}

    def load_pretrained(self) -> tuple[list[str], list[str]]:
        """Load the weights of `model.weights=default`; returns the names loaded, and those without use here.

        A plug-in's backbone without this method starts random; boxseg's own have files, found by name.

        Raises:
            CheckpointError: They are missing, or cannot be fetched or read.
        """
        return [], []

    def set_preprocessing(self, preprocessing: Preprocessing) -> None:
        """Normalise photos like this from now on."""
        self.mean.copy_(torch.tensor(preprocessing.mean))
        self.std.copy_(torch.tensor(preprocessing.std))
        self.order.copy_(torch.tensor(preprocessing.order))

    @property
    def preprocessing(self) -> Preprocessing:
        """How photos are normalised now."""
        mean, std, order = (tuple(part.tolist()) for part in (self.mean, self.std, self.order))
        return Preprocessing(mean=mean, std=std, order=order)

    def feature_size(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of cells for an image of this size, pixels."""
        # Rounded up without negative numbers: exported graphs round their quotients towards zero.
        return (height + self.stride - 2) // self.stride + 1, (width + self.stride - 2) // self.stride + 1

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """Size in pixels of the image as the layers see it."""
        rows, columns = self.feature_size(height, width)
        return self.stride * (rows - 1) + 1, self.stride * (columns - 1) + 1

    def padding(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Pixels added to an image of this size at its left, right, top and bottom."""
        rows, columns = self.padded_size(height, width)
        return 0, columns - width, 0, rows - height

    def normalise(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) reordered, normalised and padded with zeros, as the layers expect them."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"images of shape {tuple(images.shape)}, expected (B, 3, H, W)")
        height, width = images.shape[-2:]
        x = images.index_select(1, self.order).to(self.mean.dtype)  # a copy, changed in place next
        x = x.sub_(self.mean[:, None, None]).div_(self.std[:, None, None])
        return F.pad(x, self.padding(height, width))

    def extract(self, x: Tensor) -> Tensor:
        """Features (B, C, h, w) of normalised images (B, 3, stride·(h-1)+1, stride·(w-1)+1)."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Features of raw photos.

        Args:
            images: (B, 3, H, W) RGB, 0..255, uint8 or float.

        Returns:
            (B, channels, h, w) with (h, w) = feature_size(H, W).

        Raises:
            ValueError: The images have another shape.
        """
        return self.extract(self.normalise(images))

    def freeze(self) -> None:
        """Stop learning for good: no gradients, evaluation mode."""
        self.frozen = True
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Backbone:
        """Set training mode, except for frozen batch norm and a frozen backbone."""
        super().train(mode and not self.frozen)
        if self.batch_norm == "frozen":
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self


def conv3x3(channels: int, out: int, *, dilation: int = 1, bias: bool = True) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size of its input."""
    return nn.Conv2d(channels, out, 3, padding=dilation, dilation=dilation, bias=bias)


def convolve(x: Tensor, convolution: nn.Conv2d, norm: nn.Module) -> Tensor:
    """`norm(convolution(x))`, with frozen batch norm folded into the convolution; the same up to rounding.

    So training with frozen batch norm need not store the map between the two. The convolution has no bias,
    unless `norm` is the identity after `fold_batch_norm`.
    """
    if not isinstance(norm, nn.BatchNorm2d) or norm.training:
        y: Tensor = norm(convolution(x))
        return y
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    y = convolution._conv_forward(x, convolution.weight * scale[:, None, None, None], shift)
    return y


def fold_batch_norm(network: nn.Module) -> None:
    """Fold every batch norm into the convolution before it, for good; the same numbers up to rounding.

    The network is changed in place; it must be in evaluation mode and not be trained any more. A batch norm
    belongs to the convolution registered right before it (see `Backbone.own_layers`).
    """
    for module in list(network.modules()):
        for (_, layer), (norm_name, norm) in itertools.pairwise(list(module.named_children())):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                _fold(layer, norm)
                module.register_module(norm_name, nn.Identity())


@torch.no_grad()
def _fold(layer: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """The numbers of torch's `fuse_conv_bn_eval`, in the layer's own memory.

    That copies each layer twice: the copies of all layers of the mask network leave 9 MB of holes in the memory
    of the process, between what is kept of them.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    deviation = torch.rsqrt(norm.running_var + norm.eps)
    bias = torch.zeros_like(norm.running_mean) if layer.bias is None else layer.bias
    shift = (bias - norm.running_mean) * deviation * norm.weight + norm.bias
    layer.bias = nn.Parameter(shift, requires_grad=layer.weight.requires_grad)
    layer.weight.mul_((norm.weight * deviation)[:, None, None, None])


def hurry_pointwise(network: nn.Module, *, cpu: bool) -> None:
    """Dilate a network's 1x1 convolutions in place: faster on a CPU, and the same for filters of a single tap.

    With one thread and fewer than 16 images torch runs 1x1 convolutions that are neither strided nor dilated by
    a slower kernel: labels of the default backbone then take 40 % more processor time. Remove this when torch
    drops that rule, `use_mkldnn` in ATen/native/Convolution.cpp
    (https://github.com/pytorch/pytorch/issues/35937). `cpu` says whether torch will run the network on a CPU;
    False undoes it.
    """
    dilation = 2 if cpu else 1
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.stride == (1, 1):
            module.dilation = (dilation, dilation)


def init_convolutions(module: nn.Module) -> None:
    """Random weights for every convolution of a module: normal, variance kept through ReLUs, biases 0.

    Source: He et al., Delving Deep into Rectifiers, ICCV 2015, Sec. 2.2 (the fan-out form).
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            out_channels, _, height, width = layer.weight.shape
            fan_out = out_channels // layer.groups * height * width
            nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_out))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
