"""When stages are done, what they lack, and what starting anew removes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import boxseg
from boxseg.cli import execute
from boxseg.data.toy import write_toy
from boxseg.dataset import Sample
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
from boxseg.shards.home import FileHome
from label_results import label_path, map_paths, pair_paths, pair_piece_path, piece_path

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
        file.write_bytes(b"x")


@pytest.mark.parametrize(
    ("files", "name"), [(training_files, "model.safetensors"), (score_files, "metrics.json")]
)
def test_one_file_of_all_photos(files: Callable[[Path], StageFiles], name: str, tmp_path: Path) -> None:
    assert not files(tmp_path).done
    touch(tmp_path / name)
    assert files(tmp_path).done


def own_files(folder: Path, sample: Sample) -> tuple[Path, ...]:
    """What every method writes of a photo."""
    return label_path(folder, sample), piece_path(folder, sample), *map_paths(folder, sample)


@pytest.mark.parametrize("place", range(4))
def test_a_photo_has_its_labels_when_none_of_its_files_is_missing(place: int, tmp_path: Path) -> None:
    plain = label_files(FileHome(tmp_path), SAMPLES, pair=False, instances=True)
    assert [*plain.missing()] == [*SAMPLES]
    touch(*(file for sample in SAMPLES for file in own_files(tmp_path, sample)))
    assert ([*plain.missing()], plain.done) == ([], False)
    touch(tmp_path / "masks.json")
    assert plain.done
    own_files(tmp_path, SAMPLES[1])[place].unlink()
    assert [*plain.missing()] == [SAMPLES[1]]
    own_files(tmp_path, SAMPLES[1])[place].touch()
    assert [*plain.missing()] == [SAMPLES[1]]  # it is empty


def test_a_classifier_has_two_labels_more_and_their_masks_if_asked_for(tmp_path: Path) -> None:
    touch(*(file for sample in SAMPLES for file in own_files(tmp_path, sample)))
    both = label_files(FileHome(tmp_path), SAMPLES, pair=True)
    assert [*both.missing()] == [*SAMPLES]
    touch(*pair_paths(tmp_path, SAMPLES[0]), pair_paths(tmp_path, SAMPLES[1])[0])
    assert [*both.missing()] == [SAMPLES[1]]
    touch(pair_paths(tmp_path, SAMPLES[1])[1])
    assert [*both.missing()] == []
    asked = label_files(FileHome(tmp_path), SAMPLES, pair=True, instances=True)
    assert [*asked.missing()] == [*SAMPLES]
    touch(*(pair_piece_path(tmp_path, sample) for sample in SAMPLES))
    assert [*asked.missing()] == []


def test_scores_account_for_photos_that_could_not_be_read(tmp_path: Path) -> None:
    labels = label_files(FileHome(tmp_path), SCORED, pair=False)
    touch(*own_files(tmp_path, SCORED[0]), tmp_path / "masks.json")
    assert not labels.done
    touch(tmp_path / "metrics.json")
    assert (labels.done, [*labels.missing()]) == (True, [SCORED[1]])
    submission = submission_files(tmp_path, "comp6", "test", SAMPLES)
    touch(tmp_path / "results/VOC2012/Segmentation/comp6_test_cls/a.png")
    assert (submission.done, [*submission.missing()]) == (False, [SAMPLES[1]])
    touch(tmp_path / "voc2012_comp6_test_cls.tgz")
    assert submission.done
    masks = background_mask_files(tmp_path, SAMPLES)
    touch(tmp_path / "BgMaskfromBoxes" / "a.png")
    assert [*masks.missing()] == [SAMPLES[1]]


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors", "checkpoints/last.ckpt", "metrics.json", "labels/a.png", "labels/deep/b.png",
        "results/VOC2012/Segmentation/comp5_val_cls/a.png", "segment/model.safetensors", "label/labels/a.png",
        "adapt/model.safetensors",
    ],
)  # fmt: skip
def test_results_are_seen_in_a_folder_and_in_its_stages(name: str, tmp_path: Path) -> None:
    touch(tmp_path / "notes.txt", tmp_path / "labels" / "notes.txt", tmp_path / "other" / "model.safetensors")
    assert not has_results(tmp_path)
    touch(tmp_path / name)
    assert has_results(tmp_path)


def test_starting_anew_removes_all_that_label_wrote_and_nothing_else(tmp_path: Path) -> None:
    write_toy(tmp_path / "data", train=2, val=1, size=64)
    small = ["classify.iterations=1", "classify.batch=2", "crop=33", "model.weights=none", "workers=0"]
    assert execute(["classify", f"data={tmp_path}/data", f"out={tmp_path}/c", *small]) == 0
    words = [f"checkpoint={tmp_path}/c", "label.instances=true", "label.formats=[voc,coco]"]
    assert execute(["label", f"data={tmp_path}/data", f"out={tmp_path}/out", *words]) == 0
    assert execute(["evaluate", f"data={tmp_path}/data", "split=train", f"labels={tmp_path}/out"]) == 0
    out = tmp_path / "out"
    own = {
        out / name for name in ("notes.txt", "y_crf/notes.txt", "confidence.png", "mlflow.db", "masks/a.png")
    }
    touch(*own)
    # A data set that the user made beside those of label.formats.
    boxseg.convert(source=out, out=out / "yolo-seg", format="yolo-seg")
    own |= {path for path in (out / "yolo-seg").rglob("*") if path.is_file()}
    assert (out / "voc").is_dir()
    assert len(own) > 8
    clear_folder(out)
    recorded = {out / "config.yaml", out / "versions.json"}
    assert {path for path in out.rglob("*") if path.is_file()} == own | recorded
