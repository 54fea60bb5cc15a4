"""When stages are done, what they lack, and what starting anew removes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from boxseg.cli import execute
from boxseg.config import Label
from boxseg.data.toy import write_toy
from boxseg.dataset import Sample
from boxseg.runs.layout import label_paths, map_paths, piece_path
from boxseg.runs.stage_files import (
    StageFiles,
    background_mask_files,
    clear_folder,
    has_results,
    label_files,
    score_files,
    submission_files,
    training_files,
)

SAMPLES = tuple(
    Sample(
        id=name,
        image=Path(f"{name}.jpg"),
        width=8,
        height=8,
        boxes=np.array([[1.0, 1, 5, 5]]),
        labels=np.array([1]),
        difficult=np.array([False]),
    )
    for name in ("a", "deep/b")
)
SCORED = tuple(replace(s, ground_truth=lambda: np.zeros((8, 8), np.uint8)) for s in SAMPLES)


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


@pytest.mark.parametrize(
    ("files", "name"), [(training_files, "model.safetensors"), (score_files, "metrics.json")]
)
def test_one_file_of_all_photos(files: Callable[[Path], StageFiles], name: str, tmp_path: Path) -> None:
    assert not files(tmp_path).done
    touch(tmp_path / name)
    assert files(tmp_path).done


def test_labels_without_ground_truth_are_done_when_every_photo_has_its_files(tmp_path: Path) -> None:
    plain = label_files(tmp_path, SAMPLES, Label())
    assert plain.missing() == [*SAMPLES]
    touch(*label_paths(tmp_path, SAMPLES[0]), label_paths(tmp_path, SAMPLES[1])[0])
    assert (plain.missing(), plain.done) == ([SAMPLES[1]], False)
    touch(*label_paths(tmp_path, SAMPLES[1]))
    assert (plain.missing(), plain.done) == ([], True)
    for options, more in ((Label(maps=True), map_paths), (Label(instances=True), lambda *a: (piece_path(*a),))):
        asked = label_files(tmp_path, SAMPLES, options)
        assert asked.missing() == [*SAMPLES]
        touch(*(file for sample in SAMPLES for file in more(tmp_path, sample)))
        assert asked.done


def test_scores_account_for_photos_that_could_not_be_read(tmp_path: Path) -> None:
    labels = label_files(tmp_path, SCORED, Label())
    touch(*label_paths(tmp_path, SCORED[0]))
    assert not labels.done
    touch(tmp_path / "metrics.json")
    assert (labels.done, labels.missing()) == (True, [SCORED[1]])
    submission = submission_files(tmp_path, "comp6", "test", SAMPLES)
    touch(tmp_path / "results/VOC2012/Segmentation/comp6_test_cls/a.png")
    assert (submission.done, submission.missing()) == (False, [SAMPLES[1]])
    touch(tmp_path / "voc2012_comp6_test_cls.tgz")
    assert submission.done
    masks = background_mask_files(tmp_path, SAMPLES)
    touch(tmp_path / "BgMaskfromBoxes" / "a.png")
    assert masks.missing() == [SAMPLES[1]]


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors", "checkpoints/last.ckpt", "metrics.json", "y_crf/a.png", "y_crf/deep/b.png",
        "results/VOC2012/Segmentation/comp5_val_cls/a.png", "segment/model.safetensors", "label/y_crf/a.png",
    ],
)  # fmt: skip
def test_results_are_seen_in_a_folder_and_in_its_stages(name: str, tmp_path: Path) -> None:
    touch(tmp_path / "notes.txt", tmp_path / "y_crf" / "notes.txt", tmp_path / "other" / "model.safetensors")
    assert not has_results(tmp_path)
    touch(tmp_path / name)
    assert has_results(tmp_path)


def test_starting_anew_removes_all_that_label_wrote_and_nothing_else(tmp_path: Path) -> None:
    write_toy(tmp_path / "data", train=2, val=1, size=64)
    words = ["method=box", "label.maps=true", "label.instances=true", "label.formats=[voc,coco]"]
    assert execute(["label", f"data={tmp_path}/data", f"out={tmp_path}/out", *words]) == 0
    assert execute(["evaluate", f"data={tmp_path}/data", "split=train", f"labels={tmp_path}/out"]) == 0
    out = tmp_path / "out"
    own = {
        out / name for name in ("notes.txt", "y_crf/notes.txt", "confidence.png", "mlflow.db", "masks/a.png")
    }
    touch(*own)
    clear_folder(out)
    recorded = {out / "config.yaml", out / "versions.json"}
    assert {path for path in out.rglob("*") if path.is_file()} == own | recorded
