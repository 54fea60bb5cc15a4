"""Stage 2, section 3.2: Y_crf and Y_ret of one photo without crowds."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from boxseg.nn.deeplab import BoxClassifier
from straightforward.crf import dense_crf

Labels = NDArray[np.uint8]


@torch.inference_mode()
def label_photo(
    network: BoxClassifier, photo: NDArray[np.uint8], boxes: NDArray[np.float64], labels: NDArray[np.int64]
) -> tuple[Labels, Labels]:
    """Y_crf and Y_ret (H, W) of a photo (H, W, 3) with boxes (n, 4), x1 y1 x2 y2, of classes (n,)."""
    height, width, _ = photo.shape
    if len(labels) == 0:
        return np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
    features = full_size_features(network, photo)
    lengths = features.norm(dim=0)
    ranges = [pixel_range(box, height, width) for box in boxes.tolist()]
    classes = sorted(set(labels.tolist()))
    inside = {c: torch.zeros(height, width, dtype=torch.bool) for c in classes}
    for (left, top, right, bottom), c in zip(ranges, labels.tolist(), strict=True):
        inside[c][top:bottom, left:right] = True
    background = ~torch.stack(list(inside.values())).any(0)

    # u_0: the attention near its maximum; without background there is no query
    u_0 = torch.zeros(height, width)
    if background.any():
        query = features[:, background].mean(1)
        attention = cosine(features, lengths, query).relu()
        u_0 = torch.where(attention >= 0.99 * attention.max(), attention, 0)
    # u_c: activation maps, scaled to a maximum of 1 in each box
    scores = {c: torch.zeros(height, width) for c in classes}
    for (left, top, right, bottom), c in zip(ranges, labels.tolist(), strict=True):
        cam = torch.tensordot(network.weight[c], features, dims=1).relu()
        patch = cam[top:bottom, left:right]
        if patch.numel() and patch.max() > 0:
            part = scores[c][top:bottom, left:right]
            part[:] = torch.maximum(part, patch / patch.max())

    unary = torch.stack([u_0, *scores.values()]).softmax(0)
    unary[:, background] = 0
    unary[0, background] = 1
    refined = dense_crf(photo, unary.numpy())
    y_crf = strongest(refined, inside)

    # Y_ret: the class whose mean feature under Y_crf is nearest
    similarity = []
    for c in (0, *classes):
        of_class = torch.from_numpy(y_crf == c)
        prototype = features[:, of_class].mean(1) if of_class.any() else network.weight[c]
        similarity.append(cosine(features, lengths, prototype).relu())
    similarity[0][background] = 1
    return y_crf, strongest(torch.stack(similarity).numpy(), inside)


def full_size_features(network: BoxClassifier, photo: NDArray[np.uint8]) -> Tensor:
    """f↑, (C, H, W): the features upsampled to the photo as the network sees it, padded, and cropped."""
    height, width, _ = photo.shape
    features = network.features(torch.from_numpy(photo).permute(2, 0, 1)[None])
    features = features.contiguous()  # channels first, which makes the rest faster
    size = network.backbone.padded_size(height, width)
    return F.interpolate(features, size, mode="bilinear", align_corners=True)[0, :, :height, :width]


def pixel_range(box: list[float], height: int, width: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the pixels whose centres are in a box, half-open."""
    limits = (width, height, width, height)
    left, top, right, bottom = (
        min(max(math.ceil(edge - 0.5), 0), limit) for edge, limit in zip(box, limits, strict=True)
    )
    return left, top, right, bottom


def cosine(features: Tensor, lengths: Tensor, vector: Tensor) -> Tensor:
    """Cosines (H, W) of features (C, H, W), whose lengths are (H, W), with a vector (C,)."""
    return torch.tensordot(vector, features, dims=1) / (lengths * vector.norm()).clamp_min(1e-12)


def strongest(scores: NDArray[np.float32], inside: dict[int, Tensor]) -> Labels:
    """Class of the highest of the scores (1 + classes, H, W); a class counts inside its boxes only."""
    scores = scores.copy()
    for place, mask in enumerate(inside.values(), start=1):
        scores[place][~mask.numpy()] = 0
    labels: Labels = np.array([0, *inside], np.uint8)[scores.argmax(0)]
    return labels
