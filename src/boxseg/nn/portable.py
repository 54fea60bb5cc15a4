"""A segmentation network as one graph from raw photos to probabilities, for use without boxseg's code."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from boxseg.nn.backbones.base import hurry_pointwise
from boxseg.nn.deeplab import Segmenter

# Any number of photos of any size; names of these dimensions in torch.export and in ONNX files.
DYNAMIC = {"photos": {0: "batch", 1: "height", 2: "width"}}


class PortableSegmenter(nn.Module):
    """Normalisation, padding, network, upsampling and softmax.

    Computes what `Segmenter` does, in operations whose graph holds for photos of any size. Copies the network.
    """

    def __init__(self, network: Segmenter) -> None:
        super().__init__()
        # Channels-last layout would bind the graph to the sizes of its example: torch.export guesses a tensor's
        # layout from its strides. No issue found; remove when the test of exports passes without this.
        self.network = copy.deepcopy(network).cpu().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        hurry_pointwise(self.network, cpu=False)
        self.requires_grad_(False)
        self.eval()

    def forward(self, photos: Tensor) -> Tensor:
        """Class probabilities of raw photos.

        Args:
            photos: (B, H, W, 3) uint8 RGB.

        Returns:
            (B, L + 1, H, W) float32, summing to 1 over the classes.
        """
        _, height, width, _ = photos.shape
        cosine = self.network(photos.permute(0, 3, 1, 2))
        padded = self.network.backbone.padded_size(height, width)
        full = F.interpolate(cosine, size=padded, mode="bilinear", align_corners=True)
        # Not a slice: whether one copies depends on the size, and the graph would hold for one case only. Use a
        # slice when https://github.com/pytorch/pytorch/issues/146315 is mended.
        full = full.index_select(2, torch.arange(height)).index_select(3, torch.arange(width))
        probabilities: Tensor = self.network.logits(full).softmax(1)
        return probabilities


def example() -> Tensor:
    """Photos to trace the graph with; their sides differ, so that no two are taken for the same."""
    return torch.zeros(2, 75, 107, 3, dtype=torch.uint8)
