"""The order of the training images: one fixed stream, cut into chunks at which it can be resumed."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from boxseg.errors import ConfigError
from boxseg.wording import counted

# Keeps the draws of the order apart from those of the augmentations, which use [seed, position].
_ORDER = 1


class StreamSampler(Sampler[tuple[int, int]]):
    """A stream of `iterations * batch` images that depends on the seed alone.

    Position k of the stream shows image `order(k // n)[k % n]` of the n images, so each pass over the data has
    every image once, and a batch may span passes. The sampler yields `(index, position)`: random changes of an
    image are drawn from `[seed, position]`, whichever process loads it.

    An epoch, in Lightning's sense, is a chunk of steps, not a pass over the data: checkpoints are written at
    the end of a chunk, so `set_epoch(e)` resumes exactly where the stream was cut.

    Args:
        dataset_size: n, number of images.
        batch: Images per step, on all ranks together.
        iterations: Steps of the whole stream.
        seed: Seed of the order.
        chunk: Steps per epoch (the last may be shorter); None makes the stream one chunk.

    Raises:
        ConfigError: A number is out of range.
    """

    def __init__(
        self, dataset_size: int, *, batch: int, iterations: int, seed: int, chunk: int | None = None
    ) -> None:
        chunk = iterations if chunk is None else chunk
        numbers = {"dataset_size": dataset_size, "batch": batch, "iterations": iterations, "chunk": chunk}
        for name, value in numbers.items():
            if value < 1:
                raise ConfigError(f"{name} is {value}, expected a number of at least 1")
        if seed < 0:
            raise ConfigError(f"seed is {seed}, expected 0 or more")
        self.dataset_size = dataset_size
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
        """The order of the images in pass `lap` over the data: a permutation of 0..n-1."""
        rng = np.random.default_rng([self.seed, lap, _ORDER])
        return [int(index) for index in rng.permutation(self.dataset_size)]

    def __len__(self) -> int:
        return len(self._steps()) * self.rank_batch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        lap, order = -1, list[int]()
        for step in self._steps():
            first = step * self.batch
            for position in range(first + self.rank, first + self.batch, self.world):
                if position // self.dataset_size != lap:
                    lap = position // self.dataset_size
                    order = self.order(lap)
                yield order[position % self.dataset_size], position

    def _steps(self) -> range:
        return range(self.iterations)[self.epoch * self.chunk : (self.epoch + 1) * self.chunk]
