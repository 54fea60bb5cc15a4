"""Class probabilities of a photo from a segmentation network: scales, flip, CRF.

Source: METHOD: Oh et al., BANA, CVPR 2021, section 4.1 (multi-scale testing).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from boxseg.config import Evaluate, Trainer
from boxseg.dataset import Sample
from boxseg.nn.deeplab import Segmenter
from boxseg.nn.reproducible import softmax
from boxseg.nn.views import Views
from boxseg.prediction import Prediction
from boxseg.stages.networks import Loaded
from boxseg.stages.photo_loop import Readable, photo_loop
from boxseg.stages.refine import refine


@torch.inference_mode()
def network_probabilities(loaded: Loaded[Segmenter], image: Tensor, options: Evaluate) -> Tensor:
    """softmax(T · mean cosine) over scales and flip.

    Args:
        loaded: The network.
        image: (H, W, 3) uint8 RGB, on the network's device.
        options: Scales and flip.

    Returns:
        (L + 1, H, W), summing to 1.
    """
    network = loaded.network
    size = (image.shape[0], image.shape[1])
    photo = image.permute(2, 0, 1)[None].float()
    scales, flip = (options.scales, options.flip) if options.tta else ((1.0,), False)
    seen = Views(size, network.stride)
    for scale in scales:
        scaled_size = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        scaled = photo
        if scaled_size != size:
            # Enlarging leaves nothing to antialias; without, its rounding depends on the number of threads.
            scaled = F.interpolate(photo, scaled_size, mode="bilinear", antialias=True)
        batch = torch.cat([scaled, scaled.flip(-1)]) if flip else scaled
        for cosine, mirrored in zip(network(batch), (False, True), strict=False):
            seen.add(cosine, scaled_size, mirrored=mirrored)
    return softmax(network.logits(seen.mean()))


@torch.inference_mode()
def predict_group(
    loaded: Loaded[Segmenter], images: Sequence[NDArray[np.uint8]], options: Evaluate
) -> list[tuple[Tensor, Tensor]]:
    """Probabilities (L + 1, H, W) of photos (H, W, 3) before and after the CRF."""
    raw = [torch.from_numpy(image).to(loaded.device) for image in images]
    before = [network_probabilities(loaded, image, options) for image in raw]
    return list(zip(before, refine(options.crf, raw, before), strict=True))


def to_labels(probabilities: Tensor) -> NDArray[np.uint8]:
    """The most probable class (H, W) uint8 of probabilities (L + 1, H, W)."""
    if probabilities.device.type == "cpu":  # where NumPy's argmax takes a third of torch's time
        return np.asarray(probabilities.numpy().argmax(0), dtype=np.uint8)
    labels: NDArray[np.uint8] = probabilities.argmax(0).to(torch.uint8).cpu().numpy()
    return labels


def predict_photos(
    loaded: Loaded[Segmenter],
    samples: Sequence[Sample],
    skipped: dict[str, str],
    options: Evaluate,
    trainer: Trainer,
) -> Iterator[tuple[Sample, Prediction]]:
    """Samples with what the network says of them, behind a progress bar.

    Args:
        loaded: The network.
        samples: Photos to label.
        skipped: Takes the ids of photos that cannot be read, with the reason.
        options: Scales, flip and CRF.
        trainer: Loading processes.
    """
    work = partial(_predicted, loaded, options)
    device = loaded.device
    for group in photo_loop(work, samples, skipped, description="predict", trainer=trainer, device=device):
        yield from group


def _predicted(
    loaded: Loaded[Segmenter], options: Evaluate, group: Sequence[Readable]
) -> list[tuple[Sample, Prediction]]:
    solved = predict_group(loaded, [image for _, image in group], options)
    return [
        (sample, Prediction(image=image, probabilities=refined.cpu().numpy(), classes=loaded.classes))
        for (sample, image), (_, refined) in zip(group, solved, strict=True)
    ]
