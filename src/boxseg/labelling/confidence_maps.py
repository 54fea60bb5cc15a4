"""How sure the labels of a photo are, as pictures: the confidence of Y_crf, and the reliable region."""

from __future__ import annotations

import torch
from torch import Tensor

from boxseg.dataset import IGNORE
from boxseg.formats.masks import grey_png
from boxseg.nn.pseudo import BoxMasks
from boxseg.runs.layout import CONFIDENCE, RELIABLE


def map_pictures(labels: Tensor, second: Tensor, levels: Tensor) -> dict[str, bytes]:
    """Both maps by kind, as 8-bit grey PNG: 255 stands for a probability of 1, and for reliable.

    Both labels and the levels, of `confidence_levels`, are (H, W) uint8.
    """
    agree = (labels == second) & (labels != IGNORE)
    reliable = agree.to(torch.uint8).mul_(255)
    return {CONFIDENCE: grey_png(levels.cpu().numpy()), RELIABLE: grey_png(reliable.cpu().numpy())}


def confidence_levels(labels: Tensor, probabilities: Tensor, boxes: BoxMasks) -> Tensor:
    """`confidence` as (H, W) uint8, 255 for a probability of 1."""
    return (confidence(labels, probabilities, boxes) * 255).round().to(torch.uint8)


def confidence(y_crf: Tensor, probabilities: Tensor, boxes: BoxMasks) -> Tensor:
    """Probability of each pixel's label, (H, W) float; 0 where the label is 255.

    The probabilities (K + 1, H, W) are those after the CRF, background first, then `boxes.classes`.
    """
    places = torch.zeros(256, dtype=torch.long, device=y_crf.device)
    places[boxes.classes] = torch.arange(1, len(boxes.classes) + 1, device=y_crf.device)
    labels = y_crf.long()
    sure = probabilities.gather(0, places[labels][None])[0].float().clamp(0, 1)
    return torch.where(labels == IGNORE, 0, sure)
