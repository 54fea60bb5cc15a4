"""Ground truth is for scoring only: nothing in it stops the work, and `scores=false` does without."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.end_to_end.conftest import Command

from boxseg.formats.masks import write_mask

BY_BOX = ("label", "method=box", "crf=false")


@pytest.fixture
def untrue(toy: Path, tmp_path: Path) -> Path:
    """The demo set with masks of which none can be used: cut short, of another size, of a class too many."""
    root = Path(shutil.copytree(toy, tmp_path / "data"))
    for number, file in enumerate(sorted((root / "SegmentationClass").glob("*.png"))):
        if number % 3 == 0:
            file.write_bytes(file.read_bytes()[:60])
        else:
            write_mask(file, np.full((96, 96) if number % 3 == 1 else (20, 20), 77, np.uint8))
    return root


def test_no_ground_truth_that_can_be_read_stops_a_run(
    untrue: Path, miniature: tuple[str, ...], tmp_path: Path, boxseg: Command
) -> None:
    out = tmp_path / "run"
    done = boxseg("run", *miniature, "adapt=false", "method=box", f"data={untrue}", f"out={out}")
    assert "label: not scored: the ground truth of none of 10 images can be read; the first:" in done.stderr
    assert "segment: not scored: none of 4 images can be scored; the first:" in done.stderr
    assert (out / "segment" / "model.safetensors").is_file()
    assert (out / "report.html").is_file()
    assert json.loads((out / "metrics.json").read_text()) == {"labels": None, "network": None}
    assert not (out / "segment" / "metrics.json").exists()


def test_the_only_photo_with_ground_truth_has_no_labels(toy: Path, tmp_path: Path, boxseg: Command) -> None:
    root = Path(shutil.copytree(toy, tmp_path / "data"))
    first, *others = sorted((root / "SegmentationClass").glob("*.png"))
    for mask in others:
        mask.unlink()
    photo = root / "JPEGImages" / f"{first.stem}.jpg"
    photo.write_bytes(photo.read_bytes()[:2000])  # its header is whole
    done = boxseg(*BY_BOX, f"data={root}", f"out={tmp_path}/o")
    assert "9 written, 0 there already, 1 unreadable and skipped" in done.stdout
    assert "label: not scored: " in done.stderr


def test_labels_without_scores_and_then_with(toy: Path, tmp_path: Path, boxseg: Command) -> None:
    words = (*BY_BOX, f"data={toy}", f"out={tmp_path}/o")
    done = boxseg(*words, "scores=false")
    assert "10 written" in done.stdout
    assert "mIoU" not in done.stdout
    assert not (tmp_path / "o" / "metrics.json").exists()
    again = boxseg(*words)
    assert "0 written, 10 there already" in again.stdout
    assert "mIoU" in again.stdout
    assert json.loads((tmp_path / "o" / "metrics.json").read_text())["images"] == 10


def test_no_stage_of_a_run_is_scored(
    toy: Path, miniature: tuple[str, ...], tmp_path: Path, boxseg: Command
) -> None:
    words = ("run", *miniature, f"data={toy}", f"out={tmp_path}/o")
    done = boxseg(*words, "scores=false")
    assert "mIoU" not in done.stdout
    assert json.loads((tmp_path / "o" / "metrics.json").read_text()) == {"labels": None, "network": None}
    assert [path.parent.name for path in (tmp_path / "o").rglob("metrics.json")] == ["o"]
    assert "score on" not in boxseg(*words, "scores=false", "dry_run=true").stdout
    assert "mIoU against ground truth" in boxseg(*words).stdout


def test_trainings_without_scores(
    toy: Path, miniature: tuple[str, ...], tmp_path: Path, boxseg: Command
) -> None:
    boxseg(*BY_BOX, "scores=false", f"data={toy}", f"out={tmp_path}/l")
    segment = [word for word in miniature if not word.startswith(("adapt", "classify", "label"))]
    words = ("segment", *segment, f"labels={tmp_path}/l", f"data={toy}", f"out={tmp_path}/s")
    assert "mIoU" not in boxseg(*words, "scores=false").stdout
    assert not (tmp_path / "s" / "metrics.json").exists()
    assert "mIoU" in boxseg(*words).stdout
    adapt = [word for word in miniature if word.startswith(("adapt", "trainer"))]
    boxseg("adapt", *adapt, "scores=false", f"data={toy}", f"out={tmp_path}/a")
    assert (tmp_path / "a" / "model.safetensors").is_file()
