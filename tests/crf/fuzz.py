"""Feed the compiled CRF random sizes, parameters and classes for some seconds; any error ends the run.

    cmake -S . -B build/checked -DCRF_SANITIZE=ON && cmake --build build/checked
    LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libubsan.so)" \\
        ASAN_OPTIONS=detect_leaks=0 python tests/crf/fuzz.py build/checked --seconds 120

    cmake -S . -B build/plain -DCMAKE_BUILD_TYPE=RelWithDebInfo && cmake --build build/plain
    PYTHONMALLOC=malloc valgrind --log-file=valgrind.log python tests/crf/fuzz.py build/plain --seconds 120
    grep crf/cpp valgrind.log      # prints nothing; Python and torch have entries of their own
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch

from boxseg.crf import Bilateral, Gaussian, native
from boxseg.crf.inputs import as_compatibility
from boxseg.crf.meanfield import Settings

SIDES = [1, 2, 3, 4, 5, 7, 15, 16, 17, 31, 33, 50, 64, 100]


def random_kernel(rng: np.random.Generator) -> Gaussian | Bilateral:
    """Reaches from a hundredth of a pixel to far beyond the image, weights of either sign."""

    def sigma(low: float) -> float:
        return math.exp(rng.uniform(math.log(low), math.log(300)))

    weight = 1e4 if rng.random() < 0.1 else float(rng.uniform(-3, 9))
    if rng.random() < 0.5:
        return Gaussian(sigma=(sigma(0.01), sigma(0.01)), weight=weight)
    colours = (sigma(0.05), sigma(0.05), sigma(0.05))
    return Bilateral(sigma_xy=(sigma(0.01), sigma(0.01)), sigma_rgb=colours, weight=weight)


def random_scores(rng: np.random.Generator, classes: int, pixels: int) -> torch.Tensor:
    """Probabilities (C, N), some sharp, some with many zeros."""
    scores = rng.random((classes, pixels)) ** rng.integers(1, 9)
    if rng.random() < 0.2:
        scores[rng.random(scores.shape) < 0.5] = 0
    return torch.from_numpy(scores.astype(np.float32))


def one_case(rng: np.random.Generator, engines: list[native.Engine]) -> bool:
    """Run one image through an engine that has seen others; False if its parameters are refused."""
    height, width = (int(side) for side in rng.choice(SIDES, 2))
    classes = int(rng.integers(1, 50))
    kernels = [random_kernel(rng) for _ in range(int(rng.integers(1, 4)))]
    try:
        for kernel in kernels:
            kernel.check(height, width)
    except ValueError:
        return False
    colours = rng.integers(0, 256, (height, width, 3) if rng.random() < 0.5 else 3)
    image = torch.from_numpy(np.broadcast_to(colours, (height, width, 3)).astype(np.uint8))
    scores = random_scores(rng, classes, height * width)
    q = torch.full_like(scores, math.nan)
    engine = engines[int(rng.integers(len(engines)))]
    if not engine.build(image, kernels):
        return False
    scores[torch.from_numpy(rng.permutation(classes)[: int(rng.integers(0, classes + 1))])] = 0
    penalty = None
    if rng.random() < 0.3:
        half = rng.uniform(-3, 3, (classes, classes))
        penalty = as_compatibility(half + half.T)
    engine.infer(scores, Settings(iterations=int(rng.integers(0, 4)), clip=1e-5, compatibility=penalty), q)
    if not (q.sum(0) - 1).abs().max() < 1e-4:
        raise AssertionError(f"rows do not sum to 1: {height}x{width}, {classes} classes, {kernels}")
    return True


def main() -> None:
    """Parse the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where _crf.so is")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    native._folders = lambda: [options.folder]
    rng = np.random.default_rng(options.seed)
    engines = [native.Engine(level) for level in range(len(native.levels()))]
    end, cases = time.monotonic() + options.seconds, 0
    while time.monotonic() < end:
        cases += one_case(rng, engines)
    print(f"{cases} cases, {', '.join(native.levels())}")  # noqa: T201


if __name__ == "__main__":
    main()
