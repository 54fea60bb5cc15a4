"""A thorough check of a data set: decode every photo and mask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np

from boxseg.dataset import BoxDataset, Problem, Sample
from boxseg.errors import DataError
from boxseg.formats.images import decode, without_path
from boxseg.formats.listing import parts_of
from boxseg.remote.hooks import threads_for

# Photos that wait for threads at a time: each that waits takes memory.
_TOGETHER = 1024
# Photos of more pixels are decoded one at a time: several at once might fill the memory.
_LARGE, _ALONE = 2**25, threading.Lock()


def inspect(dataset: BoxDataset, progress: Callable[[int, int], None] | None = None) -> list[Problem]:
    """Problems that only show when photos and masks are decoded, in the order of the samples.

    Finds truncated photos, photos of 16 bits that use fewer, masks that are unreadable, of another size or with
    values out of range, and boxes without a pixel of their class in the mask. Problems already listed in the
    data set are not repeated.
    `progress` is called with (done, total) after each image.
    """
    return inspect_photos(dataset.samples, dataset.classes, progress)


def inspect_photos(
    samples: Sequence[Sample],
    classes: tuple[str, ...],
    progress: Callable[[int, int], None] | None = None,
    threads: int | None = None,
) -> list[Problem]:
    """`inspect` for some photos of a data set, by so many threads: by default, one for each core or more."""
    problems: list[Problem] = []
    done = 0
    if threads is None:
        threads = threads_for([sample.image for sample in samples[:1]])
    with ThreadPoolExecutor(threads) as pool:
        for part in parts_of(samples, _TOGETHER):
            for found in pool.map(lambda sample: _look(sample, classes), part):
                problems += found
                done += 1
                if progress is not None:
                    progress(done, len(samples))
    return problems


def _look(sample: Sample, classes: tuple[str, ...]) -> list[Problem]:
    large = sample.width * sample.height > _LARGE
    with _ALONE if large else nullcontext():
        return _look_now(sample, classes)


def _look_now(sample: Sample, classes: tuple[str, ...]) -> list[Problem]:
    try:
        bits = decode(sample.image, sample.width * sample.height)  # loading a data set reads headers only
    except DataError as error:
        reason = without_path(error, sample.image)
        return [Problem.skipped(sample.image, "damaged photo", reason)]
    return [*_depth(sample, bits), *_look_at_mask(sample, classes)]


def _depth(sample: Sample, bits: int | None) -> Iterator[Problem]:
    if bits is not None and bits < 16:
        kind, action = "photo of 16 bits that uses fewer", f"read as one of {bits} bits"
        yield Problem(file=sample.image, kind=kind, detail=f"{bits}", action=action)


def _look_at_mask(sample: Sample, classes: tuple[str, ...]) -> list[Problem]:
    unscored = "image kept without ground truth"
    if sample.ground_truth is None:
        return []
    try:
        mask = sample.ground_truth()
    except DataError as error:
        return [Problem(file=sample.image, kind="damaged mask", detail=str(error), action=unscored)]
    height, width = mask.shape
    if (width, height) != (sample.width, sample.height):
        sizes = f"{width} x {height}, the photo is {sample.width} x {sample.height}"
        return [Problem(file=sample.image, kind="mask of other size", detail=sizes, action=unscored)]
    problems = []
    for box, label in zip(sample.boxes, sample.labels, strict=True):
        x1, y1 = np.floor(box[:2]).astype(int)
        x2, y2 = np.ceil(box[2:]).astype(int)
        if not (mask[y1:y2, x1:x2] == label).any():
            kind = "box without a pixel of its class in the mask"
            detail = "{} at ({:g}, {:g}, {:g}, {:g})".format(classes[label - 1], *box)
            problems.append(Problem(file=sample.image, kind=kind, detail=detail, action="kept"))
    return problems
