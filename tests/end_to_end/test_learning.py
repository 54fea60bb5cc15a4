"""Short trainings on the demo set learn: labels beat their boxes, the network learns the labels."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import boxseg
from boxseg.data.toy import write_toy


def test_labels_beat_whole_boxes_and_the_loss_of_the_network_falls(tmp_path: Path) -> None:
    write_toy(tmp_path / "data", train=32, val=4, size=112, seed=3)
    finished = boxseg.run(
        data=tmp_path / "data",
        out=tmp_path / "run",
        label={"method": "bap"},
        classify={"iterations": 40, "batch": 4, "augment": {"crop": 97}},
        segment={"iterations": 40, "batch": 4, "augment": {"crop": 97}},
        evaluate={"scales": [1.0], "flip": False},
    )
    scores = finished.labels.scores
    assert scores is not None
    assert scores.labels["y_crf"].miou > scores.whole_box.miou + 0.08
    assert scores.reliable is not None
    assert scores.reliable.miou > scores.labels["y_crf"].miou
    with (tmp_path / "run" / "segment" / "history.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert len(losses) == 40
    assert sum(losses[-10:]) < 0.85 * sum(losses[:10])


@pytest.mark.slow
def test_the_demo_ends_with_a_network_that_segments_unseen_photos(tmp_path: Path) -> None:
    finished = boxseg.demo(out=tmp_path)
    scores = finished.labels.scores
    assert scores.labels["labels"].miou > scores.whole_box.miou + 0.05
    assert finished.network.scores.best.miou > 0.6  # background everywhere scores about 0.14
