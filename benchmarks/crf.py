"""Time `boxseg.crf` against pydensecrf on real photos of 500 x 375 pixels or enlarged, and compare the results.

    pip install -e '.[benchmark]'
    python benchmarks/crf.py --data DIR          # DIR: VOCdevkit/VOC2012
    python benchmarks/crf.py --data DIR --check 100
    python benchmarks/crf.py --data DIR --size 1920 1080 --photos 2
    python benchmarks/crf.py --data DIR --large

Repetitions alternate between the two, and a row is the median over repetitions and photos. Both start from the
photo and its probabilities and end with Q; boxseg reuses the lattice of the position kernel for the next photo
of the same size. `cpu` is processor time, which other work on the machine disturbs less than `wall`.
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from boxseg.crf import Bilateral, DenseCRF, native
from boxseg.data.toy import paint_scene
from measure import Cost, in_child, timed
from straightforward.crf import dense_crf

Photo = NDArray[np.uint8]
Scores = NDArray[np.float32]
SIZE = (375, 500)


def photos(data: Path, size: tuple[int, int] | None, count: int) -> list[Photo]:
    """The first `count` photos, of that size (height, width) if one is given."""
    found: list[Photo] = []
    for file in sorted((data / "JPEGImages").glob("*.jpg")):
        photo = np.array(Image.open(file).convert("RGB"))
        if size in (None, photo.shape[:2]):
            found.append(photo)
        if len(found) == count:
            return found
    sys.exit(f"{data} holds {len(found)} such photos, expected {count}")


def scores_for(photo: Photo, classes: int, seed: int) -> Scores:
    """Smooth random class probabilities with noise, like those of a network, every class present."""
    height, width = photo.shape[:2]
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 2, (classes, 6, 8)).astype(np.float32)
    logits = np.stack(
        [np.asarray(Image.fromarray(c).resize((width, height), Image.Resampling.BICUBIC)) for c in coarse]
    )
    logits = logits + rng.normal(0, 0.3, logits.shape)
    scores = np.exp(logits - logits.max(0))
    return (scores / scores.sum(0)).astype(np.float32)


def compare(
    images: list[Photo], classes: int, sigma_xy: float, sigma_rgb: float, repetitions: int, threads: int
) -> str:
    """One row: single images on one thread, or the batch of all of them on several."""
    crf = DenseCRF(bilateral=Bilateral(sigma_xy=sigma_xy, sigma_rgb=sigma_rgb))
    scores = [scores_for(image, classes, seed) for seed, image in enumerate(images)]
    crf(images, scores, threads)  # load both before the first repetition
    dense_crf(images[0], scores[0], sigma_xy, sigma_rgb)
    ours: list[Cost] = []
    theirs: list[Cost] = []
    for _ in range(repetitions):
        for image, score in zip(images, scores, strict=True):
            theirs.append(timed(lambda i=image, s=score: dense_crf(i, s, sigma_xy, sigma_rgb)))
            if threads == 1:
                ours.append(timed(lambda i=image, s=score: crf(i, s, 1)))
        if threads > 1:
            cost = timed(lambda: crf(images, scores, threads))
            ours.append(Cost(wall=cost.wall / len(images), cpu=cost.cpu / len(images)))
    (a, a_cpu), (b, b_cpu) = (
        (median(cost.wall for cost in costs), median(cost.cpu for cost in costs)) for costs in (theirs, ours)
    )
    ratio = f"{a_cpu / b_cpu:.1f}" if threads == 1 else "–"
    return (
        f"| {classes} | {sigma_xy:g} / {sigma_rgb:g} | {threads} | {a:.0f} | {b:.1f} | {a / b:.1f} | {ratio} |"
    )


def check(data: Path, count: int) -> None:
    """Compare labels and Q of `count` photos of any size; classes in turn 2, 3, 5 and 21."""
    wrong = pixels = 0
    largest = 0.0
    for number, photo in enumerate(photos(data, None, count)):
        scores = scores_for(photo, (2, 3, 5, 21)[number % 4], number)
        expected = dense_crf(photo, scores)
        q = DenseCRF()(photo, scores)
        wrong += int((q.argmax(0) != expected.argmax(0)).sum())
        pixels += photo.shape[0] * photo.shape[1]
        largest = max(largest, float(np.abs(q - expected).max()))
    print(f"{count} photos, {pixels} pixels: {wrong} labels differ, largest difference of Q {largest:.1e}")


def enlarged(photo: Photo, width: int, height: int) -> Photo:
    """The photo at another size."""
    return np.array(Image.fromarray(photo).resize((width, height), Image.Resampling.BICUBIC))


def one_large(photo: Photo, width: int, height: int) -> tuple[float, int]:
    """Milliseconds and peak bytes of one call on an enlarged photo; run it in a process of its own."""
    image = enlarged(photo, width, height)
    scores = scores_for(image, 2, 0)
    DenseCRF()(photo, scores[:, : SIZE[0], : SIZE[1]], 1)
    before = resident()
    cost = timed(lambda: DenseCRF()(image, scores, 1))
    return cost.wall, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


def resident() -> int:
    """Bytes that this process holds (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def large(data: Path) -> None:
    """Time and memory of boxseg on larger photos, two classes: are they linear?"""
    photo = photos(data, SIZE, 1)[0]
    print("| megapixels | ms | ns/pixel | bytes/pixel |\n|---|---|---|---|")
    for width, height in ((1000, 750), (2000, 1500), (4000, 3000), (6000, 4000)):
        pixels = width * height
        time_ms, grown = in_child(one_large, photo, width, height)
        print(f"| {pixels / 1e6:.1f} | {time_ms:.0f} | {1e6 * time_ms / pixels:.0f} | {grown / pixels:.0f} |")


def main(words: Sequence[str] | None = None) -> None:
    """Parse the options and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="VOCdevkit/VOC2012")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--photos", type=int, default=8, help="photos in each repetition")
    parser.add_argument("--size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), help="enlarge the photos")
    parser.add_argument("--check", type=int, help="compare the results on this many photos instead")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--large", action="store_true", help="time larger images instead")
    parser.add_argument("--smoke", action="store_true", help="a tiny generated photo: whether it runs")
    options = parser.parse_args(words)
    if options.smoke:
        options.repetitions = options.photos = 1
    elif options.data is None:
        parser.error("--data DIR is needed: VOCdevkit/VOC2012")
    torch.set_num_threads(1)
    if options.check:
        return check(options.data, options.check)
    if options.large:
        return large(options.data)
    if options.smoke:
        images = [paint_scene(np.random.default_rng(0), 64).image]
    else:
        images = photos(options.data, SIZE, options.photos)
    if options.size:
        images = [enlarged(image, *options.size) for image in images]
    print(
        f"instruction sets: {', '.join(native.levels())}; medians of {options.repetitions} x {options.photos}\n"
    )
    print(
        "| classes | σ_xy / σ_rgb | threads | pydensecrf, ms | boxseg, ms | wall | cpu |\n"
        "|---|---|---|---|---|---|---|"
    )
    for threads in options.threads:
        for classes, sigma_xy, sigma_rgb in ((2, 55, 3), (3, 55, 3), (5, 55, 3), (21, 55, 3), (21, 121, 5)):
            print(compare(images, classes, sigma_xy, sigma_rgb, options.repetitions, threads), flush=True)


if __name__ == "__main__":
    main()
