"""Counts of pixels by true and predicted class, on the device of the predictions."""

from __future__ import annotations

import torch
from torch import Tensor

from boxseg.dataset import IGNORE


def count_pixels(prediction: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Counts as in a `ConfusionMatrix`, on the device of the predictions.

    Args:
        prediction: (H, W) uint8, 0..L.
        truth: (H, W) uint8, 0..L, or 255 for pixels not to be scored; on the same device.
        classes: L + 1.

    Returns:
        (L + 1, L + 2) int64, rows are the truth, columns the prediction; the last column is 0.
    """
    cells = classes * (classes + 1)
    # Cell index of each pixel, too large for uint8; ignored pixels share one beyond the last.
    cell = truth.to(torch.int32).mul_(classes + 1).add_(prediction)
    cell.masked_fill_(truth == IGNORE, cells)
    return torch.bincount(cell.flatten(), minlength=cells + 1)[:cells].reshape(classes, classes + 1)
