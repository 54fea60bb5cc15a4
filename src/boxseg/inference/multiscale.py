"""Class probabilities of a photo from a segmentation network: scales, flip, CRF.

Source: Oh et al., BANA, CVPR 2021, section 4.1 (multi-scale testing).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from boxseg.config import Evaluate, TrainerOptions
from boxseg.data.loading import LoadedPhoto
from boxseg.dataset import Sample
from boxseg.inference.networks import Loaded
from boxseg.inference.prediction import LabelledPhoto, strongest
from boxseg.inference.refine import refine, require_finite
from boxseg.inference.threads import Readable, Skipped, loop_over, photo_loop
from boxseg.inference.windows import blended, window_side
from boxseg.nn.deeplab import Segmenter
from boxseg.nn.views import Views

# Most probabilities of a photo held at once, 2 GB; with fewer classes the network's memory is the limit.
MOST_SCORES, FEWEST_CLASSES = 2**29, 16

# Pixels up to which a photo and its mirror image are predicted at once: faster on a GPU, twice the memory.
PAIR = 2**21


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkLabels:
    """What a network predicts for a photo, on the network's device.

    Attributes:
        before: The most probable class before the CRF, (H, W) uint8.
        labels: The most probable class after it, (H, W) uint8.
        confidence: The probability of `labels`, (H, W) float32.
    """

    before: Tensor
    labels: Tensor
    confidence: Tensor


def most_pixels(classes: int) -> int:
    """Most pixels of a photo predicted whole, for this number of classes, without the background."""
    return MOST_SCORES // max(FEWEST_CLASSES, classes + 1)


@torch.inference_mode()
def see(loaded: Loaded[Segmenter], image: Tensor, options: Evaluate) -> Views:
    """Cosines of a photo (H, W, 3) uint8 RGB, on the network's device, at every scale and mirrored."""
    network = loaded.network
    size = (image.shape[0], image.shape[1])
    photo = image.permute(2, 0, 1)[None].float()
    scales, flip = (options.scales, options.flip) if options.tta else ((1.0,), False)
    seen = Views(size, network.stride)
    for scale in scales:
        scaled_size = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        scaled = photo
        if scaled_size != size:
            scaled = F.interpolate(photo, scaled_size, mode="bilinear", antialias=True)
        views = [scaled, scaled.flip(-1)] if flip else [scaled]
        together = flip and scaled_size[0] * scaled_size[1] <= PAIR
        cosines = network(torch.cat(views)) if together else [network(view)[0] for view in views]
        for mirrored, cosine in enumerate(cosines):
            seen.add(cosine, scaled_size, mirrored=bool(mirrored))
    return seen


@torch.inference_mode()
def network_probabilities(loaded: Loaded[Segmenter], image: Tensor, options: Evaluate) -> Tensor:
    """softmax(T · mean cosine) over scales and flip, (L + 1, H, W); arguments as for `see`."""
    seen = see(loaded, image, options)
    whole = torch.empty(len(loaded.classes) + 1, *seen.size, device=image.device)
    for rows in seen.bands():
        whole[:, rows] = loaded.network.logits(seen.mean(rows)).softmax(0)
    return whole


@torch.inference_mode()
def predict_group(
    loaded: Loaded[Segmenter], images: Sequence[NDArray[np.uint8]], options: Evaluate
) -> list[tuple[Tensor, Tensor]]:
    """Probabilities (L + 1, H, W) of photos (H, W, 3), seen whole, before and after the CRF."""
    raw = [torch.from_numpy(image).to(loaded.device) for image in images]
    before = [require_finite(network_probabilities(loaded, image, options)) for image in raw]
    return list(zip(before, refine(options.crf, raw, before), strict=True))


@torch.inference_mode()
def label_group(
    loaded: Loaded[Segmenter], images: Sequence[NDArray[np.uint8]], options: Evaluate
) -> list[NetworkLabels]:
    """Labels of photos (H, W, 3), of any size; the largest are seen in windows."""
    most = most_pixels(len(loaded.classes))
    sides = [window_side((image.shape[0], image.shape[1]), options.tile, most) for image in images]
    whole = [image for image, side in zip(images, sides, strict=True) if side is None]
    if options.crf.active and whole:
        solved = iter([_labelled(*both) for both in predict_group(loaded, whole, options)])
    else:
        solved = iter([_label_bands(loaded, image, options) for image in whole])
    return [
        next(solved) if side is None else _label_windows(loaded, image, side, options)
        for image, side in zip(images, sides, strict=True)
    ]


def _labelled(before: Tensor, after: Tensor) -> NetworkLabels:
    labels, confidence = _strongest(after)
    return NetworkLabels(before=_strongest(before)[0], labels=labels, confidence=confidence)


def _label_bands(loaded: Loaded[Segmenter], image: NDArray[np.uint8], options: Evaluate) -> NetworkLabels:
    """Without a CRF rows are independent: never hold the probabilities of all at once."""
    seen = see(loaded, torch.from_numpy(image).to(loaded.device), options)
    parts = [_strongest(loaded.network.logits(seen.mean(rows)).softmax(0)) for rows in seen.bands()]
    labels, confidence = (torch.cat(rows) for rows in zip(*parts, strict=True))
    return NetworkLabels(before=labels, labels=labels, confidence=require_finite(confidence))


def _label_windows(
    loaded: Loaded[Segmenter], image: NDArray[np.uint8], side: int, options: Evaluate
) -> NetworkLabels:
    def compute(window: NDArray[np.uint8]) -> NDArray[np.float32]:
        return torch.cat(predict_group(loaded, [window], options)[0]).cpu().numpy()

    count = len(loaded.classes) + 1
    parts = [(*strongest(both[:count]), *strongest(both[count:])) for _, both in blended(image, side, compute)]
    before, _, labels, confidence = (
        torch.from_numpy(np.concatenate(rows)).to(loaded.device) for rows in zip(*parts, strict=True)
    )
    return NetworkLabels(before=before, labels=labels, confidence=confidence)


def _strongest(probabilities: Tensor) -> tuple[Tensor, Tensor]:
    # On a CPU NumPy's argmax takes a third of the time of torch's
    # (https://github.com/pytorch/pytorch/issues/140000).
    if probabilities.device.type == "cpu":
        labels, confidence = strongest(probabilities.numpy())
        return torch.from_numpy(labels), torch.from_numpy(confidence)
    confidence_there, labels_there = probabilities.max(0)
    return labels_there.to(torch.uint8), confidence_there


def predict_photos(
    loaded: Loaded[Segmenter], samples: Sequence[Sample], options: Evaluate, trainer: TrainerOptions
) -> Iterator[tuple[Sample, LabelledPhoto | Skipped]]:
    """Photos with what the network predicts for them, in their order, with a progress bar."""
    work = partial(_predicted, loaded, options)
    return photo_loop(work, samples, description="predict", trainer=trainer, device=loaded.device)


def predict_loaded(
    loaded: Loaded[Segmenter],
    photos: Iterable[LoadedPhoto],
    options: Evaluate,
    description: str,
    total: int | None,
) -> Iterator[tuple[Sample, LabelledPhoto | Skipped]]:
    """Like `predict_photos`, for photos that come one after the other, such as the frames of a video."""
    work = partial(_predicted, loaded, options)
    return loop_over(work, photos, description=description, total=total, device=loaded.device)


def write_predictions(
    loaded: Loaded[Segmenter],
    samples: Sequence[Sample],
    folder: Path,
    options: Evaluate,
    trainer: TrainerOptions,
) -> dict[str, str]:
    """Write predicted labels of photos to FOLDER/ID.png; returns unreadable photos, with the reason."""
    skipped: dict[str, str] = {}
    for sample, prediction in predict_photos(loaded, samples, options, trainer):
        if isinstance(prediction, Skipped):
            skipped[sample.id] = prediction.reason
        else:
            prediction.save(folder / f"{sample.id}.png")
    return skipped


def _predicted(loaded: Loaded[Segmenter], options: Evaluate, group: Sequence[Readable]) -> list[LabelledPhoto]:
    images = [image for _, image in group]
    return [
        LabelledPhoto(
            image=image,
            labels=answer.labels.cpu().numpy(),
            confidence=answer.confidence.cpu().numpy(),
            classes=loaded.classes,
        )
        for image, answer in zip(images, label_group(loaded, images, options), strict=True)
    ]
