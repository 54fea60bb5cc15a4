"""The order of the training images: one fixed stream, cut into chunks at which it can be resumed."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from boxseg.errors import ConfigError
from boxseg.wording import counted

# Keeps the draws of the order apart from those of the augmentations, which use [seed, position].
_ORDER = 1


def repeat_factors(classes: Sequence[NDArray[np.int64]], threshold: float) -> NDArray[np.float64] | None:
    """How often a pass over the data shows each photo, so that rare classes are seen more often.

    Source: repeat-factor sampling, Gupta et al., LVIS, CVPR 2019, section 5: a class that a share f of the
    photos shows has the factor max(1, sqrt(threshold / f)), a photo the largest factor of its classes.

    Args:
        classes: For each of n photos the classes of its boxes, in any order, with repetitions.
        threshold: Classes that fewer photos show, as a share, are rare; 0 for none.

    Returns:
        Factors (n,), at least 1; None if all are 1.
    """
    if threshold == 0:
        return None
    shown = [np.unique(labels) for labels in classes]
    found, photos = np.unique(np.concatenate([*shown, np.zeros(0, np.int64)]), return_counts=True)
    of_class = np.maximum(1.0, np.sqrt(threshold * len(shown) / photos))
    factors = np.array([of_class[np.searchsorted(found, labels)].max(initial=1.0) for labels in shown])
    return factors if (factors > 1).any() else None


class StreamSampler(Sampler[tuple[int, int]]):
    """A stream of `iterations * batch` images that depends on the seed alone.

    Position k of the stream shows image `order(k // m)[k % m]`, where m is the length of a pass over the data.
    A pass has each of the n images once, and a batch may span passes. With repeat factors r, m is ceil(sum(r)),
    and image i is in a pass r_i times on average (but for this rounding), always r_i rounded up or down. The
    sampler yields `(index, position)`: random changes of an image are drawn from `[seed, position]`, whichever
    process loads it.

    An epoch, in Lightning's sense, is a chunk of steps, not a pass over the data: checkpoints are written at
    the end of a chunk, so `set_epoch(e)` resumes exactly where the stream was cut.

    Args:
        dataset_size: n, number of images.
        batch: Images per step, on all ranks together.
        iterations: Steps of the whole stream.
        seed: Seed of the order.
        chunk: Steps per epoch (the last may be shorter); None makes the stream one chunk.
        repeats: Repeat factors (n,), at least 1, of `repeat_factors`; None shows every image once.

    Raises:
        ConfigError: A number is out of range.
    """

    def __init__(
        self,
        dataset_size: int,
        *,
        batch: int,
        iterations: int,
        seed: int,
        chunk: int | None = None,
        repeats: NDArray[np.float64] | None = None,
    ) -> None:
        chunk = iterations if chunk is None else chunk
        numbers = {"dataset_size": dataset_size, "batch": batch, "iterations": iterations, "chunk": chunk}
        for name, value in numbers.items():
            if value < 1:
                raise ConfigError(f"{name} is {value}, expected a number of at least 1")
        if seed < 0:
            raise ConfigError(f"seed is {seed}, expected 0 or more")
        if repeats is not None and (len(repeats) != dataset_size or not (repeats >= 1).all()):
            raise ConfigError(f"repeats must be {counted(dataset_size, 'number')} of at least 1")
        self.dataset_size = dataset_size
        self.repeats = repeats
        self.pass_size = dataset_size if repeats is None else math.ceil(repeats.sum())
        self.batch = batch
        self.iterations = iterations
        self.seed = seed
        self.chunk = chunk
        self.epoch = 0
        self.rank = 0
        self.world = 1

    @property
    def epochs(self) -> int:
        """Number of chunks in the stream."""
        return -(-self.iterations // self.chunk)

    @property
    def rank_batch(self) -> int:
        """Images per step on this rank: the batch size of its DataLoader."""
        return self.batch // self.world

    def set_epoch(self, epoch: int) -> None:
        """Go to chunk `epoch`; Lightning calls this before each of its epochs."""
        self.epoch = epoch

    def shard(self, rank: int, world: int) -> StreamSampler:
        """The part of every batch that process `rank` of `world` loads.

        Raises:
            ConfigError: The batch cannot be shared evenly: images would have unequal weights.
        """
        if not 0 <= rank < world:
            raise ConfigError(f"rank is {rank}, expected 0 to {world - 1} for {counted(world, 'process')}")
        if self.batch % world:
            raise ConfigError(
                f"a batch of {counted(self.batch, 'image')} cannot be shared by {counted(world, 'process')}, "
                f"choose a multiple of {world}"
            )
        part = copy.copy(self)
        part.rank, part.world = rank, world
        return part

    def order(self, lap: int) -> list[int]:
        """The order of the images in pass `lap` over the data: 0..n-1, some repeatedly, shuffled."""
        rng = np.random.default_rng([self.seed, lap, _ORDER])
        places = rng.permutation(self.pass_size)
        if self.repeats is None:
            return [int(index) for index in places]
        # Systematic sampling: equal steps from a random start over the factors, which lie end to end.
        ends = np.cumsum(self.repeats) * (self.pass_size / self.repeats.sum())
        shown = np.searchsorted(ends, np.arange(self.pass_size) + rng.random(), side="right")
        return [int(index) for index in np.minimum(shown, self.dataset_size - 1)[places]]

    def __len__(self) -> int:
        return len(self._steps()) * self.rank_batch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        lap, order = -1, list[int]()
        for step in self._steps():
            first = step * self.batch
            for position in range(first + self.rank, first + self.batch, self.world):
                if position // self.pass_size != lap:
                    lap = position // self.pass_size
                    order = self.order(lap)
                yield order[position % self.pass_size], position

    def _steps(self) -> range:
        return range(self.iterations)[self.epoch * self.chunk : (self.epoch + 1) * self.chunk]
