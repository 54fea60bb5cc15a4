"""Every verb after the other, in one process, with every shipped recipe."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import boxseg
from boxseg import formats, options
from boxseg.cli import execute
from boxseg.config import Data
from boxseg.dataset import BoxDataset
from boxseg.formats.masks import read_mask
from boxseg.jobs import JOBS
from boxseg.nn import checkpoint
from boxseg.nn.losses import LOSSES
from boxseg.runs.stage_files import clear_folder

RECIPES = sorted(path.stem for path in options.RECIPES.glob("*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_goes_through_every_verb(
    recipe: str, toy: Path, miniature: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(verb: str, *words: str) -> str:
        known = options.options_of(JOBS[verb])
        small = [word for word in (*miniature, "model.weights=none") if word.partition("=")[0] in known]
        assert execute([verb, "-c", recipe, *small, *words]) == 0
        return capsys.readouterr().out

    data, folder = (f"data.root={toy}", "data.split=train", "data.limit=4"), tmp_path / "run"
    printed = run("run", *data, f"out={folder}")
    assert "whole box" in printed
    assert "network" in printed
    assert (folder / "sheet.png").is_file()
    # Each stage by itself finds its work done, so its options are those that `run` gave it.
    trained = "classify" if recipe.startswith(("voc", "coco")) else "adapt"
    run(trained, *data, f"out={folder}/{trained}")
    assert "0 written, 4 there already" in run(
        "label", *data, f"out={folder}/label", f"checkpoint={folder}/{trained}"
    )
    run("segment", *data, f"out={folder}/segment", f"labels={folder}/label")
    run("evaluate", *data, f"checkpoint={folder}", f"out={tmp_path}/e")
    run("evaluate", *data, f"labels={folder}/label")
    assert (folder / "label" / "evaluate-train" / "metrics.json").is_file()
    run("predict", f"checkpoint={folder}", f"images={toy}/JPEGImages", f"out={tmp_path}/p")
    assert execute(["convert", f"{tmp_path}/p", f"{tmp_path}/masks", "format=masks"]) == 0
    assert "14 photos" in capsys.readouterr().out


def test_labels_have_the_names_sizes_and_values_of_the_data(toy: Path, run_folder: Path) -> None:
    photos = sorted((toy / "JPEGImages").glob("train_*"))
    for kind in ("y_crf", "y_ret"):
        files = sorted((run_folder / "label" / kind).iterdir())
        assert [file.stem for file in files] == [photo.stem for photo in photos]
        for photo, file in zip(photos, files, strict=True):
            with Image.open(photo) as image, Image.open(file) as mask:
                assert (mask.size, mask.mode) == (image.size, "P")
            assert read_mask(file, 5).max() <= 5


def test_scores_are_what_the_files_say(toy: Path, run_folder: Path) -> None:
    """mIoU of Y_crf, counted here with sets from the files, is that of metrics.json."""
    metrics = json.loads((run_folder / "label" / "metrics.json").read_text())
    names = list(metrics["y_crf"]["iou"])
    inter, union = np.zeros(6), np.zeros(6)
    agree = total = 0
    for file in (run_folder / "label" / "y_crf").iterdir():
        labels = np.asarray(Image.open(file))
        retrieved = np.asarray(Image.open(run_folder / "label" / "y_ret" / file.name))
        truth = np.asarray(Image.open(toy / "SegmentationClass" / file.name))
        valid = truth != 255
        agree, total = agree + (labels == retrieved)[valid].sum(), total + valid.sum()
        for c in range(6):
            inter[c] += ((labels == c) & (truth == c) & valid).sum()
            union[c] += (((labels == c) | (truth == c)) & valid).sum()
    for c, name in enumerate(names):
        expected = inter[c] / union[c] if union[c] else None
        assert metrics["y_crf"]["iou"][name] == pytest.approx(expected)
    assert metrics["y_crf"]["miou"] == pytest.approx((inter[union > 0] / union[union > 0]).mean())
    assert metrics["reliable_fraction"] == pytest.approx(agree / total)
    assert metrics["images"] == 10


def test_a_network_is_scored_before_and_after_the_crf(run_folder: Path) -> None:
    metrics = json.loads((run_folder / "segment" / "metrics.json").read_text())
    assert metrics["images"] == 4
    for part in ("before_crf", "after_crf"):
        assert {"miou", "mean_accuracy", "pixel_accuracy", "iou"} == set(metrics[part])
        assert 0 <= metrics[part]["miou"] <= 1


@dataclass(frozen=True)
class Whole:
    """A run of all stages, and what it read: splits and kinds of checkpoints."""

    folder: Path
    read: list[str]


@pytest.fixture(scope="module")
def whole(toy: Path, miniature: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A whole run of the paper's line through the command line, with the embedded weights."""
    out, read = tmp_path_factory.mktemp("run"), list[str]()

    def read_split(data: Data, boxes: bool) -> BoxDataset:
        read.append(data.split)
        return split_reader(data, boxes)

    def read_checkpoint(path: Path, kind: str) -> Any:
        read.append(kind)
        return checkpoint_reader(path, kind)

    split_reader, checkpoint_reader = formats._load, checkpoint.load
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats, "_load", read_split)
        patch.setattr(checkpoint, "load", read_checkpoint)
        assert execute(["run", *miniature, "label.method=bap", f"data={toy}", f"out={out}"]) == 0
    return Whole(out, read)


@pytest.fixture
def run_folder(whole: Whole) -> Path:
    return whole.folder


def test_a_run_reads_every_split_and_every_checkpoint_once(whole: Whole) -> None:
    assert sorted(whole.read) == ["box-classifier", "segmenter", "train", "val"]


def test_its_report_predicts_the_photos_that_were_not_scored(run_folder: Path) -> None:
    predictions = run_folder / "segment" / "predictions"
    assert {split.name: len(list(split.iterdir())) for split in predictions.iterdir()} == {
        "train": 10,
        "val": 4,
    }


def test_starting_anew_removes_all_that_a_run_wrote_and_nothing_else(run_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run_folder, tmp_path / "copy"))
    own = copy / "label" / "y_crf" / "notes.txt"
    own.touch()
    for folder in (copy, *(copy / stage for stage in ("classify", "label", "segment"))):
        clear_folder(folder)
    left = {path for path in copy.rglob("*") if path.is_file()}
    assert left == {own, *copy.rglob("config.yaml"), *copy.rglob("versions.json")}
    assert len(left) == 9


def test_a_run_started_again_does_nothing_and_says_so(
    toy: Path, miniature: tuple[str, ...], run_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = {f: f.stat().st_mtime_ns for f in run_folder.rglob("*.png") if f.name != "sheet.png"}
    model = (run_folder / "segment" / "model.safetensors").stat().st_mtime_ns
    assert execute(["run", *miniature, "label.method=bap", f"data={toy}", f"out={run_folder}"]) == 0
    assert "0 written, 10 there already" in capfd.readouterr().out
    assert {f: f.stat().st_mtime_ns for f in before} == before
    assert (run_folder / "segment" / "model.safetensors").stat().st_mtime_ns == model


def test_the_python_functions_take_the_same_options(toy: Path, run_folder: Path, tmp_path: Path) -> None:
    scored = boxseg.evaluate(labels=run_folder / "label", data={"root": toy, "split": "train"}, out=tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert scored.scores.labels["y_crf"].miou == metrics["y_crf"]["miou"]
    with pytest.raises(boxseg.BoxsegError, match="segmentation network is needed"):
        boxseg.predict(checkpoint=run_folder / "classify", images=str(toy), out=tmp_path)
    supervised = boxseg.segment(
        labels="ground-truth", data=toy, out=tmp_path / "s", iterations=1, batch=1, crop=33, scales=[1.0],
        model={"weights": "none"}, trainer={"workers": 0}, evaluate={"crf": {"iterations": 0}},
    )  # fmt: skip
    assert supervised.scores.after_crf is None


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains_a_network(loss: str, toy: Path, run_folder: Path, tmp_path: Path) -> None:
    words = ("iterations=2", "batch=2", "crop=33", "model.weights=none", "workers=0", "val_split=")
    data, labels = f"data={toy}", f"labels={run_folder}/label"
    assert execute(["segment", *words, data, labels, f"out={tmp_path}", f"segment.loss={loss}"]) == 0
    assert (tmp_path / "model.safetensors").is_file()
