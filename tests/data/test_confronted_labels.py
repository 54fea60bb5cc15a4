"""Labels of several sources as the two that the losses compare, beside a loop over pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from boxseg.config import Augment
from boxseg.data.labels import GROUND_TRUTH, confront, read_labels
from boxseg.data.loading import LabelTraining
from boxseg.dataset import BoxDataset, Sample
from boxseg.errors import DataError
from boxseg.formats.masks import MaskFolder, write_mask
from boxseg.nn.losses import LOSSES, LossOptions

Labels = NDArray[np.uint8]
VALUES = (0, 1, 2, 255)
OPTIONS = LossOptions(stride=1, temperature=20.0, weight=0.1, gamma=7.0, progress=0.3, detach_confidence=False)


def sources(least: int) -> st.SearchStrategy[list[Labels]]:
    """Labels of 6 pixels, of as many sources or a few more."""
    row = st.lists(st.sampled_from(VALUES), min_size=6, max_size=6)
    arrays = row.map(lambda values: np.array([values], dtype=np.uint8))
    return st.lists(arrays, min_size=least, max_size=5)


@given(sources(1))
def test_a_pixel_is_reliable_exactly_where_all_sources_agree(labels: list[Labels]) -> None:
    y_crf, y_ret = confront(labels)
    assert y_crf.dtype == y_ret.dtype == np.uint8
    np.testing.assert_array_equal(y_crf, labels[0])
    for pixel in np.ndindex(y_crf.shape):
        values = [int(one[pixel]) for one in labels]
        assert (y_crf[pixel] == y_ret[pixel]) == (len(set(values)) == 1)
        assert y_ret[pixel] == next((v for v in values[1:] if v != values[0]), values[0])


@given(sources(2))
def test_the_order_of_the_others_decides_nothing_but_for_ce_ret(labels: list[Labels]) -> None:
    turned = [labels[0], *labels[:0:-1]]
    logits = torch.randn(1, 3, 1, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for name, loss in LOSSES.items():
        if name != "ce_ret":
            pairs = [[torch.from_numpy(one)[None] for one in confront(order)] for order in (labels, turned)]
            one, two = (loss(logits, *pair, OPTIONS) for pair in pairs)
            assert torch.equal(one, two), name


def test_two_sources_are_taken_as_they_are() -> None:
    rng = np.random.default_rng(0)
    one, two = (rng.choice(np.array(VALUES, np.uint8), (4, 5)) for _ in range(2))
    for found, given_ in zip(confront([one, two]), (one, two), strict=True):
        np.testing.assert_array_equal(found, given_)


@pytest.fixture
def photos(tmp_path: Path) -> BoxDataset:
    """Two photos of 4 x 3 pixels, and labels: a/ all 1, b/ all 2, c/ all 1; ground truth all 3."""
    samples = []
    for name in ("p", "q"):
        write_mask(tmp_path / f"{name}.png", np.zeros((3, 4), np.uint8))
        for folder, value in (("a", 1), ("b", 2), ("c", 1)):
            write_mask(tmp_path / folder / f"{name}.png", np.full((3, 4), value, np.uint8))
        samples.append(
            Sample(
                id=name, image=tmp_path / f"{name}.png", width=4, height=3, boxes=np.zeros((0, 4)),
                labels=np.zeros(0, np.int64), difficult=np.zeros(0, bool),
                ground_truth=lambda: np.full((3, 4), 3, np.uint8),
            )
        )  # fmt: skip
    return BoxDataset(
        root=tmp_path, format="voc", split="train", classes=("a", "b", "c"), samples=tuple(samples)
    )


def test_sources_are_folders_and_the_ground_truth_in_any_order(photos: BoxDataset) -> None:
    root, sample = photos.root, photos.samples[0]
    for named, expected in (
        (("a",), (1, 1)), (("a", "a"), (1, 1)), (("a", "c"), (1, 1)), (("a", "c", "b"), (1, 2)),
        (("b", "a", GROUND_TRUTH), (2, 1)), ((GROUND_TRUTH,), (3, 3)), ((GROUND_TRUTH, "a"), (3, 1)),
    ):  # fmt: skip
        given_ = [name if name == GROUND_TRUTH else MaskFolder(root / name) for name in named]
        found = read_labels(sample, given_, 3)
        assert [np.unique(one).tolist() for one in found] == [[value] for value in expected]
    with pytest.raises(DataError, match="no such label mask"):
        read_labels(sample, [MaskFolder(root / "a"), MaskFolder(root / "d")], 3)


def test_true_masks_take_the_place_of_all_sources(photos: BoxDataset) -> None:
    """Also where a source has no mask of the photo, and only for the photos that are named."""
    root = photos.root
    (root / "a" / "q.png").unlink()
    options = Augment(crop=32, scale=(1.0, 1.0))
    first, second = MaskFolder(root / "a"), MaskFolder(root / "b")
    training = LabelTraining(photos, options, 0, (first, second), strong=["q"])
    for place, expected in ((0, (1, 2)), (1, (3, 3))):
        item = training[place, 0]
        for name, value in zip(("y_crf", "y_ret"), expected, strict=True):
            assert set(item[name].unique().tolist()) == {value, 255}  # type: ignore[literal-required]
    blind = replace(photos, samples=tuple(replace(sample, ground_truth=None) for sample in photos.samples))
    with pytest.raises(DataError, match="no ground-truth mask"):
        LabelTraining(blind, options, 0, (second,), strong=["q"])[1, 0]
