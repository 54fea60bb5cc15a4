"""Masks of boxes that need no training: what the masks of single objects are compared with."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from boxseg.config import TrainerOptions
from boxseg.data.box_masks import BoxMask, Window, ellipse_mask, grabcut_mask, opencv, whole_mask
from boxseg.dataset import Sample
from boxseg.formats.boxes import pixel_ranges
from boxseg.formats.coco_results import CocoResult, encode_window, image_id
from boxseg.inference.threads import Readable, Skipped, photo_loop
from boxseg.spreading.place import Here, Place

log = logging.getLogger("boxseg")

# The baselines as tables name them, by their names in metrics.json.
BASELINE_TITLES = {"whole_box": "whole box", "ellipse": "ellipse", "grabcut": "GrabCut"}


def whole_boxes(samples: Sequence[Sample], category_ids: Sequence[int]) -> list[CocoResult]:
    """Every box is its object's mask, with score 1.

    Args:
        samples: Photos with boxes.
        category_ids: COCO's ids of classes 1..L; empty for 1..L.
    """
    return [result for sample in samples for result in _results(sample, category_ids, whole_mask)]


def ellipses(samples: Sequence[Sample], category_ids: Sequence[int]) -> list[CocoResult]:
    """The ellipse in every box is its object's mask; arguments as of `whole_boxes`."""
    return [result for sample in samples for result in _results(sample, category_ids, ellipse_mask)]


def grabcuts(
    samples: Sequence[Sample],
    category_ids: Sequence[int],
    trainer: TrainerOptions,
    place: Place | None = None,
) -> list[CocoResult]:
    """What GrabCut cuts out of every box is its object's mask; a photo that cannot be read has none.

    Args:
        samples: Photos with boxes.
        category_ids: As of `whole_boxes`.
        trainer: Seed, and loading processes.
        place: Where the photos are worked on; here by default.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    opencv()
    work = partial(_cut_chunk, category_ids=category_ids, trainer=trainer)
    results: list[CocoResult] = []
    for part, skipped in (place or Here(trainer)).share(work, samples, "GrabCut"):
        results += part
        for name, reason in skipped.items():
            log.warning(f"evaluate: {name} has no masks of GrabCut: {reason}")
    return results


def _cut_chunk(
    samples: Sequence[Sample], category_ids: Sequence[int], trainer: TrainerOptions
) -> tuple[list[CocoResult], dict[str, str]]:
    work = partial(_cut_group, category_ids=category_ids, seed=trainer.seed)
    loop = photo_loop(work, samples, description="GrabCut", trainer=trainer, device=torch.device("cpu"))
    results: list[CocoResult] = []
    skipped: dict[str, str] = {}
    for sample, found in loop:
        if isinstance(found, Skipped):
            skipped[sample.id] = found.reason
        else:
            results += found
    return results, skipped


def _cut_group(group: Sequence[Readable], category_ids: Sequence[int], seed: int) -> list[list[CocoResult]]:
    return [_results(sample, category_ids, partial(_cut, photo=photo, seed=seed)) for sample, photo in group]


def _cut(box: NDArray[np.float64], window: Window, photo: NDArray[np.uint8], seed: int) -> NDArray[np.bool_]:
    return grabcut_mask(photo, window, seed)


def _results(sample: Sample, category_ids: Sequence[int], mask_of: BoxMask) -> list[CocoResult]:
    """A result for every box of a photo that has a pixel."""
    size = (sample.height, sample.width)
    results: list[CocoResult] = []
    for box, window, label in zip(
        sample.boxes, pixel_ranges(sample.boxes, *size).tolist(), sample.labels.tolist(), strict=True
    ):
        left, top, right, bottom = window
        if left < right and top < bottom:
            mask = mask_of(box, (left, top, right, bottom))
            results.append(
                {
                    "image_id": image_id(sample),
                    "category_id": category_ids[label - 1] if category_ids else label,
                    "segmentation": encode_window(mask, left, top, size),
                    "score": 1.0,
                }
            )
    return results
