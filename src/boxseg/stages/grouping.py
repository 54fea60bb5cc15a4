"""Photos on their way through a stage: those that can be read, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from boxseg.config import Trainer
from boxseg.data.loading import photos
from boxseg.dataset import Sample
from boxseg.progress import track

# Photos whose CRFs are solved together on an accelerator.
BATCH = 8
# Pixels of photos that go together anywhere; a larger photo goes alone.
PIXELS = 2**24

Readable = tuple[Sample, NDArray[np.uint8]]


def photo_groups(
    samples: Sequence[Sample],
    skipped: dict[str, str],
    *,
    description: str,
    trainer: Trainer,
    device: torch.device,
) -> Iterator[list[Readable]]:
    """Samples with their photos (H, W, 3), in order, a few at a time, behind a progress bar.

    Args:
        samples: Those that are wanted.
        skipped: Takes the ids of photos that cannot be read, with the reason.
        description: Name of the progress bar.
        trainer: Loading processes.
        device: Where they are worked on. A CPU solves as many CRFs at once as it has threads, and takes so many
            photos: more would wait in memory.
    """
    most = torch.get_num_threads() if device.type == "cpu" else BATCH
    group: list[Readable] = []
    pixels = 0
    for sample, photo in _readable(samples, skipped, description, trainer):
        size = photo.shape[0] * photo.shape[1]
        if group and (len(group) == most or pixels + size > PIXELS):
            yield group
            group, pixels = [], 0
        group.append((sample, photo))
        pixels += size
    if group:
        yield group


def _readable(
    samples: Sequence[Sample], skipped: dict[str, str], description: str, trainer: Trainer
) -> Iterator[Readable]:
    for photo in track(photos(samples, workers=trainer.workers), description, total=len(samples)):
        if photo.image is None:
            skipped[photo.sample.id] = photo.error or "unreadable"
        else:
            yield photo.sample, photo.image
