"""The loop over photos outside training: what a stage does with each, on all cores.

A photo at a time leaves cores idle: of its layers most are too small to share, and decoding, drawing and
writing are not shared at all. So on a CPU each photo has one thread from its JPEG to its results, and there are
as many photos at work as torch has threads, whose number does not change the results. A large photo has all
threads; the last bits of its probabilities may depend on how many they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from boxseg.config import TrainerOptions
from boxseg.data.loading import photos
from boxseg.dataset import Sample
from boxseg.progress import track

T = TypeVar("T")

Readable = tuple[Sample, NDArray[np.uint8]]

# Photos worked on together on an accelerator, and how many pixels they may have; a larger photo goes alone.
BATCH = 8
PIXELS = 2**24

# Pixels of a photo that on a CPU has all threads to itself.
LARGE = 2**21


def photo_loop(
    work: Callable[[Sequence[Readable]], T],
    samples: Sequence[Sample],
    skipped: dict[str, str],
    *,
    description: str,
    trainer: TrainerOptions,
    device: torch.device,
) -> Iterator[T]:
    """What `work` makes of the photos that can be read, in their order, behind a progress bar.

    Args:
        work: Takes samples with their photos (H, W, 3), a few at a time. On a CPU it is called from several
            threads.
        samples: Those that are wanted.
        skipped: Takes the ids of photos that cannot be read, with the reason.
        description: Name of the progress bar.
        trainer: Loading processes.
        device: Where they are worked on.
    """
    readable = _readable(samples, skipped, description, trainer)
    groups = _grouped(readable, 1 if device.type == "cpu" else BATCH)
    if device.type == "cpu":
        yield from _on_threads(work, groups, torch.get_num_threads())
    else:
        yield from map(work, groups)


def _grouped(readable: Iterator[Readable], most: int) -> Iterator[list[Readable]]:
    group: list[Readable] = []
    pixels = 0
    for sample, photo in readable:
        size = photo.shape[0] * photo.shape[1]
        if group and (len(group) == most or pixels + size > PIXELS):
            yield group
            group, pixels = [], 0
        group.append((sample, photo))
        pixels += size
    if group:
        yield group


def _on_threads(
    work: Callable[[Sequence[Readable]], T], groups: Iterator[list[Readable]], threads: int
) -> Iterator[T]:
    running: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads, "boxseg", initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for group in groups:
                large = any(image.shape[0] * image.shape[1] > LARGE for _, image in group)
                # Some more than are worked on, for a slow photo must not make the others wait.
                while running and (large or len(running) >= 2 * threads):
                    yield running.popleft().result()
                if large:
                    torch.set_num_threads(threads)
                    yield work(group)
                elif threads == 1:
                    yield work(group)
                else:
                    running.append(pool.submit(work, group))
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)  # the pool's threads have changed what new threads start with


def _readable(
    samples: Sequence[Sample], skipped: dict[str, str], description: str, trainer: TrainerOptions
) -> Iterator[Readable]:
    for photo in track(photos(samples, workers=trainer.workers), description, total=len(samples)):
        if photo.image is None:
            skipped[photo.sample.id] = photo.error or "unreadable"
        else:
            yield photo.sample, photo.image
