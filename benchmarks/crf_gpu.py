"""Time `boxseg.crf` on a GPU, compare its results with the CPU's, and print the limit set by memory speed.

    python benchmarks/crf_gpu.py --data DIR          # DIR: VOCdevkit/VOC2012
    python benchmarks/crf_gpu.py --data DIR --profile 21

Photos of 375 x 500 pixels, 10 iterations. A time is the median of repetitions, from everything on the GPU to Q
on the GPU, with the GPU idle before and after; `build` is the lattices' part of it. `floor` is the time to move
the iterations' bytes at this GPU's copy speed if every array is read or written once a step, `gathers` if every
gathered row comes from memory each time. Transfers, of pinned memory, are timed separately.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor

from boxseg.crf import DenseCRF, gpu
from crf import SIZE, Photo, photos, scores_for

DEVICE = "cuda"
CLASSES = (2, 3, 21)


def milliseconds(work: Callable[[], object], repetitions: int) -> float:
    """Median time; an extra first repetition compiles and is not counted."""
    times = []
    for _ in range(repetitions + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    return median(times[1:])


def copy_speed(repetitions: int) -> float:
    """Bytes per millisecond, read and written, of a copy of 1 GiB on the GPU."""
    source = torch.ones(2**28, device=DEVICE)
    target = torch.empty_like(source)
    return 2 * 4 * source.numel() / milliseconds(lambda: target.copy_(source), repetitions)


def bytes_of_iteration(batch: gpu.Batch, channels: int) -> tuple[int, int]:
    """Bytes that one iteration moves: every array once a step, and with every gathered row read each time."""
    entries, pixels = batch._points.shape
    row = 4 * channels
    lists = 2 * 8 * entries * pixels + 4 * len(
        batch._starts
    )  # where and how much, in the splat and in the slice
    q, values, gathered = row * pixels, row * batch._size, row * entries * pixels
    moved = sum(int((after >= 0).sum()) + len(heads) for after, heads in batch._chains)
    blur = moved * (2 * row + 4)
    kept = lists + blur + 2 * values + 2 * q + q + 4 * pixels  # ratio and share are read besides
    return kept, kept - q - values + 2 * gathered


def prepared(images: list[Photo], classes: int) -> tuple[Tensor, Tensor]:
    """Images (B, H, W, 3) and probabilities (B, C, H, W) in pinned memory."""
    scores = [scores_for(image, classes, seed) for seed, image in enumerate(images)]
    return torch.from_numpy(np.stack(images)).pin_memory(), torch.from_numpy(np.stack(scores)).pin_memory()


def check(images: list[Photo], classes: int) -> str:
    """A row that compares labels and Q of every image with the CPU's."""
    crf = DenseCRF()
    pictures, scores = prepared(images, classes)
    ours = crf(pictures.to(DEVICE), scores.to(DEVICE)).cpu()
    expected = crf(pictures, scores)
    wrong = int((ours.argmax(1) != expected.argmax(1)).sum())
    return (
        f"| {classes} | {ours.shape[0] * SIZE[0] * SIZE[1]} | {wrong} | {(ours - expected).abs().max():.1e} |"
    )


def row(images: list[Photo], classes: int, speed: float, repetitions: int) -> str:
    """One row of the table: a batch of all the images."""
    crf, count = DenseCRF(), len(images)
    pictures, scores = prepared(images, classes)
    on_gpu, scores_on_gpu = pictures.to(DEVICE), scores.to(DEVICE)
    q = torch.empty_like(scores).pin_memory()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    whole = milliseconds(lambda: crf(on_gpu, scores_on_gpu), repetitions)
    memory = (torch.cuda.max_memory_allocated() - before) / (count * SIZE[0] * SIZE[1])
    build = milliseconds(lambda: gpu.Batch(list(on_gpu), crf._kernels()), repetitions)
    to_gpu = milliseconds(
        lambda: (pictures.to(DEVICE, non_blocking=True), scores.to(DEVICE, non_blocking=True)), repetitions
    )
    back = milliseconds(lambda: q.copy_(scores_on_gpu, non_blocking=True), repetitions)
    moved = bytes_of_iteration(gpu.Batch(list(on_gpu), crf._kernels()), gpu.padded(classes - 1))
    floors = [crf.iterations * number / speed for number in moved]
    times = [t / count for t in (whole, build, *floors, to_gpu, back)]
    return f"| {classes} | {count} | {' | '.join(f'{t:.2f}' for t in times)} | {memory:.0f} |"


def profile(images: list[Photo], classes: int) -> str:
    """Where the GPU's time goes in one batch, by kernel."""
    crf = DenseCRF()
    pictures, scores = (part.to(DEVICE) for part in prepared(images, classes))
    crf(pictures, scores)
    torch.cuda.synchronize()
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as found:
        crf(pictures, scores)
        torch.cuda.synchronize()
    return str(found.key_averages().table(sort_by="self_cuda_time_total", row_limit=25))


def main() -> None:
    """Parse the options and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="VOCdevkit/VOC2012")
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--profile", type=int, metavar="CLASSES", help="print the profiler's table instead")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("no CUDA device: this benchmark needs one (benchmarks/crf.py times the CPU)")
    if gpu.triton_kernels() is None:
        sys.exit("Triton 3.3 or later is not installed: pip install triton")
    # Samples of VOC have fewer photos of that size than a batch: they are mirrored, then repeated.
    found = photos(options.data, SIZE, 4)
    images = ([*found, *(np.ascontiguousarray(p[:, ::-1]) for p in found)] * max(options.batches))[
        : max(options.batches)
    ]
    if options.profile:
        print(profile(images, options.profile))
        return
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {options.repetitions} repetitions\n")
    print(
        "| classes | pixels | labels that differ from the CPU's | largest difference of Q |\n|---|---|---|---|"
    )
    for classes in CLASSES:
        print(check(images[:8], classes), flush=True)
    speed = copy_speed(options.repetitions)
    print(f"\nA copy moves {speed / 1e6:.0f} GB/s. Milliseconds an image:\n")
    print(
        "| classes | batch | all | build | floor | gathers | to the GPU | back | bytes/pixel |\n"
        "|---|---|---|---|---|---|---|---|---|"
    )
    for classes in CLASSES:
        for count in options.batches:
            print(row(images[:count], classes, speed, options.repetitions), flush=True)


if __name__ == "__main__":
    main()
