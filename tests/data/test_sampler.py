"""The stream of training images: complete, resumable, shareable."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxseg.data.sampler import StreamSampler, repeat_factors
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


def factors_by_the_equation(photos: list[list[int]], threshold: float) -> list[float]:
    """LVIS, section 5: f(c) by counting, r(c) = max(1, sqrt(t / f(c))), r(I) = max of r(c) over its classes."""
    found = []
    for photo in photos:
        factor = 1.0
        for label in photo:
            share = sum(label in other for other in photos) / len(photos)
            factor = max(factor, (threshold / share) ** 0.5)
        found.append(factor)
    return found


@given(st.lists(st.lists(st.integers(1, 6), max_size=4), min_size=1, max_size=20), st.floats(0.001, 1))
def test_repeat_factors_are_those_of_the_equation(photos: list[list[int]], threshold: float) -> None:
    expected = factors_by_the_equation(photos, threshold)
    found = repeat_factors([np.array(photo, np.int64) for photo in photos], threshold)
    if found is None:
        assert expected == [1] * len(photos)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_without_a_threshold_nothing_is_repeated() -> None:
    assert repeat_factors([np.array([1]), np.array([2, 2])], 0) is None


@given(st.lists(st.floats(1, 5), min_size=1, max_size=15), st.integers(0, 3), st.integers(0, 5))
def test_a_pass_shows_each_image_its_factor_rounded_up_or_down(
    repeats: list[float], seed: int, lap: int
) -> None:
    sampler = StreamSampler(len(repeats), batch=1, iterations=1, seed=seed, repeats=np.array(repeats))
    shown = np.bincount(sampler.order(lap), minlength=len(repeats))
    assert shown.sum() == sampler.pass_size == int(np.ceil(sum(repeats)))
    stretched = np.array(repeats) * sampler.pass_size / sum(repeats)
    assert (np.abs(shown - stretched) < 1 + 1e-9).all()
    assert (shown >= 1).all()


def test_over_many_passes_images_are_shown_in_proportion_to_their_factors() -> None:
    repeats = np.array([1.0, 1.25, 1.5, 2.25, 4.0])
    sampler = StreamSampler(5, batch=1, iterations=1, seed=0, repeats=repeats)
    shown = np.bincount(np.concatenate([sampler.order(lap) for lap in range(2000)]))
    np.testing.assert_allclose(shown / 2000, repeats, atol=0.03)


def test_factors_of_one_leave_the_order_as_it_is() -> None:
    plain = StreamSampler(9, batch=2, iterations=20, seed=3)
    ones = StreamSampler(9, batch=2, iterations=20, seed=3, repeats=np.ones(9))
    assert list(plain) == list(ones)


@given(st.integers(1, 9), st.integers(1, 3), st.data())
def test_repeated_images_resume_and_are_shared_like_others(chunk: int, each: int, data: st.DataObject) -> None:
    repeats = np.array([1.0, 3.7, 1.0, 2.2, 1.1])
    sampler = StreamSampler(5, batch=2 * each, iterations=14, seed=1, chunk=chunk, repeats=repeats)
    pairs = list(StreamSampler(5, batch=2 * each, iterations=14, seed=1, repeats=repeats))
    assert whole(sampler) == pairs
    epoch = data.draw(st.integers(0, sampler.epochs - 1))
    parts = [sampler.shard(rank, 2) for rank in range(2)]
    for part in parts:
        part.set_epoch(epoch)
    size = 2 * each * chunk
    assert sorted(pair for part in parts for pair in part) == sorted(pairs[epoch * size : (epoch + 1) * size])


@pytest.mark.parametrize("wrong", [[1.0, 2.0], [1.0, 0.5, 1.0]])
def test_wrong_factors_are_refused(wrong: list[float]) -> None:
    with pytest.raises(ConfigError, match="3 numbers of at least 1"):
        StreamSampler(3, batch=1, iterations=1, seed=0, repeats=np.array(wrong))
