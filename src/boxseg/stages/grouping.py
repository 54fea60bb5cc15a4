"""Photos on their way through a stage: those that can be read, a few at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from boxseg.config import Trainer
from boxseg.data.loading import photo_loader
from boxseg.dataset import BoxDataset, Sample
from boxseg.progress import track

# Photos whose CRFs are solved together, one a thread.
GROUP = 8

Photo = tuple[Sample, NDArray[np.uint8]]


def photo_groups(
    dataset: BoxDataset,
    samples: Sequence[Sample],
    skipped: dict[str, str],
    *,
    description: str,
    trainer: Trainer,
) -> Iterator[list[Photo]]:
    """These samples with their photos, in order, a few at a time, behind a progress bar.

    Args:
        dataset: Where the samples are from.
        samples: Those that are wanted.
        skipped: Takes the ids of photos that cannot be read, with the reason.
        description: Name of the progress bar.
        trainer: Loading processes.
    """
    part = dataclasses.replace(dataset, samples=tuple(samples))
    stream = photo_loader(part, workers=trainer.workers) if samples else ()

    def readable() -> Iterator[Photo]:
        for photo in track(stream, description, total=len(samples)):
            if photo.image is None:
                skipped[photo.id] = photo.error or "unreadable"
            else:
                yield part.samples[photo.index], photo.image

    photos = readable()
    while group := list(islice(photos, GROUP)):
        yield group
