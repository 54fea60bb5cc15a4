"""Counts over all samples of a data set, without making samples where these are held in columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from boxseg.dataset import Sample
from boxseg.formats.columns import Whole
from boxseg.formats.regions import RegionMask
from boxseg.formats.sample_columns import NO_TRUTH, OTHER_TRUTH, OUTLINES
from boxseg.formats.samples import Samples


class Boxes(NamedTuple):
    """The N boxes of all samples, in their order.

    Attributes:
        counts: (n,) int64, of each sample.
        corners: (N, 4) float64, as in `Sample`.
        labels: (N,) int64.
        difficult: (N,) bool.
    """

    counts: NDArray[np.int64]
    corners: NDArray[np.float64]
    labels: NDArray[np.int64]
    difficult: NDArray[np.bool_]

    @property
    def owners(self) -> NDArray[np.int64]:
        """(N,) the place of each box's sample."""
        return np.repeat(np.arange(len(self.counts)), self.counts)


def all_boxes(samples: Sequence[Sample]) -> Boxes:
    """The boxes of all samples."""
    if isinstance(samples, Samples):
        columns = samples.columns
        counts, rows = _rows(samples, columns.box_end)
        corners = columns.corners.reshape(-1, 4)[rows]
        return Boxes(counts, corners, columns.labels[rows].astype(np.int64), columns.difficult[rows])
    return Boxes(
        np.array([len(sample.labels) for sample in samples], dtype=np.int64),
        np.concatenate([np.zeros((0, 4)), *(sample.boxes for sample in samples)]),
        np.concatenate([np.zeros(0, np.int64), *(sample.labels for sample in samples)]),
        np.concatenate([np.zeros(0, np.bool_), *(sample.difficult for sample in samples)]),
    )


def box_counts(samples: Sequence[Sample]) -> NDArray[np.int64]:
    """(n,) the number of boxes of each sample."""
    if isinstance(samples, Samples):
        return np.asarray(_lengths(samples.columns.box_end)[_places(samples)])
    return np.array([len(sample.labels) for sample in samples], dtype=np.int64)


def crowd_count(samples: Sequence[Sample]) -> int:
    """How many crowds and objects that cannot be read all samples have."""
    if isinstance(samples, Samples):
        return int(_lengths(samples.columns.crowd_end)[_places(samples)].sum())
    return sum(len(sample.crowds) for sample in samples)


def truth_flags(samples: Sequence[Sample]) -> NDArray[np.bool_]:
    """(n,) which samples have ground truth."""
    if isinstance(samples, Samples):
        return np.asarray(samples.columns.truth_kind[_places(samples)] != NO_TRUTH)
    return np.array([sample.ground_truth is not None for sample in samples], dtype=bool)


def truth_is_outlines(samples: Sequence[Sample]) -> bool:
    """Whether all ground truth is painted from the outlines of objects."""
    if isinstance(samples, Samples):
        columns, places = samples.columns, _places(samples)
        kinds = columns.truth_kind[places]
        unchosen = columns.truth_choice[places] == 0
        others = (samples[place].ground_truth for place in np.flatnonzero(kinds == OTHER_TRUTH).tolist())
        painted = (kinds == OUTLINES) & unchosen | (kinds == NO_TRUTH) | (kinds == OTHER_TRUTH)
        return bool(painted.all()) and all(isinstance(truth, RegionMask) for truth in others)
    truths = (sample.ground_truth for sample in samples)
    return all(isinstance(truth, RegionMask) for truth in truths if truth is not None)


def _places(samples: Samples) -> Any:
    """The samples' places, as an index."""
    places = samples.places
    return slice(places.start, places.stop, places.step) if isinstance(places, range) else places


def _lengths(ends: Whole) -> NDArray[np.int64]:
    return np.asarray(np.diff(ends.astype(np.int64), prepend=0), dtype=np.int64)


def _rows(samples: Samples, ends: Whole) -> tuple[NDArray[np.int64], Any]:
    """How many rows each sample has, and an index of all of them."""
    counts = _lengths(ends)
    if samples.is_whole:
        return counts, slice(None)
    places = _places(samples)
    counts, last = counts[places], ends.astype(np.int64)[places]
    # The rows of a sample follow one another; where the next sample begins, there is a jump.
    first = last - counts
    within = np.arange(int(counts.sum())) - np.repeat(counts.cumsum() - counts, counts)
    return counts, np.repeat(first, counts) + within
