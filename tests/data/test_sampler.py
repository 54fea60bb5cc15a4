"""The stream of training images: complete, resumable, shareable."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxseg.data.sampler import StreamSampler
from boxseg.errors import ConfigError


def whole(sampler: StreamSampler) -> list[tuple[int, int]]:
    pairs = []
    for epoch in range(sampler.epochs):
        sampler.set_epoch(epoch)
        assert len(sampler) == len(list(sampler))
        pairs += list(sampler)
    return pairs


streams = st.fixed_dictionaries(
    {
        "dataset_size": st.integers(1, 30),
        "batch": st.integers(1, 8),
        "iterations": st.integers(1, 20),
        "seed": st.integers(0, 3),
    }
)


@given(streams)
def test_every_pass_holds_every_image_once(options: dict[str, int]) -> None:
    pairs = list(StreamSampler(**options))
    total, n = options["iterations"] * options["batch"], options["dataset_size"]
    assert [position for _, position in pairs] == list(range(total))
    for first in range(0, total, n):
        lap = [index for index, _ in pairs[first : first + n]]
        assert len(set(lap)) == len(lap)
        if len(lap) == n:
            assert sorted(lap) == list(range(n))


@given(streams, st.integers(1, 25))
def test_chunks_in_a_row_are_the_uninterrupted_stream(options: dict[str, int], chunk: int) -> None:
    assert whole(StreamSampler(**options, chunk=chunk)) == list(StreamSampler(**options))


@given(streams, st.integers(1, 25), st.data())
def test_resuming_at_a_chunk_goes_on_where_the_stream_was_cut(
    options: dict[str, int], chunk: int, data: st.DataObject
) -> None:
    sampler = StreamSampler(**options, chunk=chunk)
    epoch = data.draw(st.integers(0, sampler.epochs - 1))
    sampler.set_epoch(epoch)
    cut = epoch * chunk * options["batch"]
    assert list(sampler) == list(StreamSampler(**options))[cut : cut + chunk * options["batch"]]


@given(st.integers(1, 30), st.integers(1, 4), st.integers(1, 4), st.integers(1, 9))
def test_ranks_share_each_batch(dataset_size: int, each: int, world: int, iterations: int) -> None:
    sampler = StreamSampler(dataset_size, batch=each * world, iterations=iterations, seed=1, chunk=4)
    parts = [whole(sampler.shard(rank, world)) for rank in range(world)]
    pairs = whole(sampler)
    assert sampler.shard(0, world).rank_batch == each
    for step in range(iterations):
        together = [pair for part in parts for pair in part[step * each : (step + 1) * each]]
        assert sorted(together) == sorted(pairs[step * each * world : (step + 1) * each * world])


def test_seed_and_pass_change_the_order() -> None:
    orders = [StreamSampler(50, batch=5, iterations=1, seed=seed).order(lap) for seed, lap in np.ndindex(3, 3)]
    assert len({tuple(order) for order in orders}) == 9


def test_past_the_last_chunk_there_is_nothing() -> None:
    sampler = StreamSampler(7, batch=2, iterations=5, seed=0, chunk=2)
    sampler.set_epoch(sampler.epochs)
    assert len(sampler) == 0
    assert list(sampler) == []


@pytest.mark.parametrize(
    "wrong", [{"dataset_size": 0}, {"batch": 0}, {"iterations": 0}, {"chunk": 0}, {"seed": -1}]
)
def test_numbers_out_of_range_are_named(wrong: dict[str, int]) -> None:
    options = {"dataset_size": 3, "batch": 2, "iterations": 4, "seed": 0, "chunk": 2} | wrong
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        StreamSampler(**options)


def test_a_batch_that_ranks_cannot_share_is_refused() -> None:
    sampler = StreamSampler(10, batch=6, iterations=2, seed=0)
    with pytest.raises(ConfigError, match="multiple of 4"):
        sampler.shard(0, 4)
    with pytest.raises(ConfigError, match="rank"):
        sampler.shard(3, 3)
