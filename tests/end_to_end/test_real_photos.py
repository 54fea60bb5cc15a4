"""The whole line on real photos: in seconds to see that it runs, in minutes to see that it works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import boxseg


def label_scores(folder: Path) -> dict[str, float]:
    metrics = json.loads((folder / "metrics.json").read_text())
    return {name: part["miou"] for name, part in metrics.items() if isinstance(part, dict) and "miou" in part}


def test_voc_photos_go_through_every_stage(
    shared_data: Path, miniature: tuple[str, ...], tmp_path: Path
) -> None:
    small = {word.partition("=")[0]: word.partition("=")[2] for word in miniature}
    small |= {"evaluate.scales": [1.0], "label.method": "bap"}  # type: ignore[dict-item]
    finished = boxseg.run(data={"root": shared_data / "voc2012", "limit": 4}, out=tmp_path, **small)
    scores = label_scores(tmp_path / "label")
    assert {"whole_box", "y_crf", "y_ret", "reliable_region_only"} == set(scores)
    assert finished.network.scores.images == 4
    assert finished.sheet.is_file()


def test_coco_photos_with_crowds_get_labels(
    shared_data: Path, miniature: tuple[str, ...], tmp_path: Path
) -> None:
    data = {"root": shared_data / "coco", "split": "train2017", "limit": 6}
    small = {
        word.partition("=")[0]: word.partition("=")[2] for word in miniature if word.startswith("classify")
    }
    boxseg.classify(data=data, out=tmp_path / "c", **small)
    labelled = boxseg.label(checkpoint=tmp_path / "c", data=data, out=tmp_path / "l", crf={"iterations": 1})
    assert labelled.written == 6
    assert labelled.scores is not None


@pytest.mark.slow
def test_labels_of_real_photos_beat_their_boxes(shared_data: Path, tmp_path: Path) -> None:
    """A classifier trained for a few minutes on VOC's photos labels others far better than whole boxes do."""
    voc = {"root": shared_data / "voc2012"}
    boxseg.classify(data=voc, out=tmp_path / "c", iterations=120, batch=12, crop=225)
    boxseg.label(checkpoint=tmp_path / "c", data={**voc, "split": "val", "limit": 100}, out=tmp_path / "l")
    scores = label_scores(tmp_path / "l")
    assert scores["y_crf"] > scores["whole_box"] + 0.08
    assert scores["y_ret"] > scores["whole_box"]
    assert scores["reliable_region_only"] > scores["y_crf"]
