"""Photos of rare classes are seen more often, by both trainings."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from boxseg import formats
from boxseg.cli import execute
from boxseg.config import Classify, Data, Segment
from boxseg.data.toy import write_toy
from boxseg.dataset import BoxDataset
from boxseg.jobs import ClassifyJob, SegmentJob
from boxseg.stages import classify, segment
from boxseg.training.labels import training_labels
from boxseg.training.loop import _stream


@pytest.fixture
def skewed(tmp_path: Path) -> BoxDataset:
    """Ten photos, of which the last alone has boxes of class 2."""
    write_toy(tmp_path / "data", train=10, val=0, size=64, seed=3)
    dataset = formats.load(Data(root=tmp_path / "data"))
    samples = [
        dataclasses.replace(sample, labels=np.full_like(sample.labels, 1 + (place == 9)))
        for place, sample in enumerate(dataset.samples)
    ]
    return dataclasses.replace(dataset, samples=tuple(samples))


@pytest.mark.parametrize(("threshold", "factor"), [(0.0, 1.0), (0.05, 1.0), (0.4, 2.0), (0.9, 3.0)])
def test_both_trainings_see_rare_photos_more_often(
    skewed: BoxDataset, tmp_path: Path, threshold: float, factor: float
) -> None:
    data = Data(root=tmp_path / "data")
    labelled = SegmentJob(
        data=data, labels="ground-truth", out=tmp_path, segment=Segment(repeat_threshold=threshold, batch=2)
    )
    boxes = ClassifyJob(data=data, out=tmp_path, classify=Classify(repeat_threshold=threshold, batch=2))
    for module, images in (
        segment.start(training_labels(skewed, labelled), labelled, 500),
        classify.start(skewed, boxes, 500),
    ):
        indices = [index for index, _ in _stream(module, images, labelled.trainer)]
        shown = np.bincount(indices, minlength=10) / len(indices)
        np.testing.assert_allclose(shown[9] / shown[:9].mean(), factor, rtol=0.05)


def test_a_threshold_that_is_no_share_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_toy(tmp_path / "data", train=2, val=0, size=64, seed=3)
    command = ["classify", f"data={tmp_path / 'data'}", f"out={tmp_path / 'c'}", "repeat_threshold=30"]
    assert execute(command) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "classify.repeat_threshold is a share of the photos, 0 to 1, got 30" in said
