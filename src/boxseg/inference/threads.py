"""The loop over photos outside training, on all cores.

One photo at a time would leave cores idle: most layers are too small to share, and one thread reads and writes
files. So on a CPU each photo gets one thread from its JPEG to its results, for as many photos as torch has
threads; their number does not change the results. A large photo gets all threads; the last bits of its
probabilities may depend on their number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from boxseg.config import TrainerOptions
from boxseg.data.loading import LoadedPhoto, photos
from boxseg.dataset import Sample
from boxseg.errors import NotFiniteError, PhotoError
from boxseg.progress import track

T = TypeVar("T")

Readable = tuple[Sample, NDArray[np.uint8]]

# Most photos, and most pixels, that an accelerator gets together; a larger photo goes alone.
BATCH = 8
PIXELS = 2**24

# Pixels above which a photo gets all threads of a CPU.
LARGE = 2**21


@dataclass(frozen=True)
class Skipped:
    """Why there is no result for a photo."""

    reason: str


def photo_loop(
    work: Callable[[Sequence[Readable]], Sequence[T]],
    samples: Sequence[Sample],
    *,
    description: str,
    trainer: TrainerOptions,
    device: torch.device,
) -> Iterator[tuple[Sample, T | Skipped]]:
    """Results of `work` for photos, in their order, with a progress bar; for unreadable ones, the reason.

    `work` takes samples with their photos (H, W, 3), a few at a time, and returns a result for each; on a CPU
    several threads call it. `trainer` gives the number of loading processes; the bar shows the description.
    """
    loaded = photos(samples, workers=trainer.workers)
    return loop_over(work, loaded, description=description, total=len(samples), device=device)


def loop_over(
    work: Callable[[Sequence[Readable]], Sequence[T]],
    loaded: Iterable[LoadedPhoto],
    *,
    description: str,
    total: int | None,
    device: torch.device,
) -> Iterator[tuple[Sample, T | Skipped]]:
    """Like `photo_loop`, for photos that are read already, or as they are asked for; only a few are held."""
    loaded = track(loaded, description, total=total)
    groups = _grouped(loaded, 1 if device.type == "cpu" else BATCH)
    work_on = partial(_worked, work)
    on_cpu = device.type == "cpu"
    for group in _on_threads(work_on, groups, torch.get_num_threads()) if on_cpu else map(work_on, groups):
        yield from group


def _worked(
    work: Callable[[Sequence[Readable]], Sequence[T]], group: Sequence[LoadedPhoto]
) -> list[tuple[Sample, T | Skipped]]:
    readable = [(photo.sample, photo.image) for photo in group if photo.image is not None]
    results: Iterator[T | Skipped]
    try:
        results = iter(work(readable) if readable else ())
    except NotFiniteError as error:
        raise NotFiniteError(f"{', '.join(sample.id for sample, _ in readable)}: {error}") from error
    except PhotoError as error:
        if len(group) > 1:
            return [result for photo in group for result in _worked(work, [photo])]
        results = iter([Skipped(f"{readable[0][0].image}: {error}")])
    return [
        (photo.sample, Skipped(photo.error or "unreadable") if photo.image is None else next(results))
        for photo in group
    ]


def _grouped(loaded: Iterable[LoadedPhoto], most: int) -> Iterator[list[LoadedPhoto]]:
    group: list[LoadedPhoto] = []
    pixels = 0
    for photo in loaded:
        if group and (len(group) == most or pixels + _pixels(photo) > PIXELS):
            yield group
            group, pixels = [], 0
        group.append(photo)
        pixels += _pixels(photo)
    if group:
        yield group


def _pixels(photo: LoadedPhoto) -> int:
    return 0 if photo.image is None else photo.image.shape[0] * photo.image.shape[1]


def _on_threads(
    work: Callable[[Sequence[LoadedPhoto]], T], groups: Iterator[list[LoadedPhoto]], threads: int
) -> Iterator[T]:
    running: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads, "boxseg", initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for group in groups:
                large = any(_pixels(photo) > LARGE for photo in group)
                # More than the threads, so that a slow photo does not make the others wait.
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
            torch.set_num_threads(threads)  # the pool's threads changed the default of new threads
