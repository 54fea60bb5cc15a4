"""A dry run says what would be done, and leaves no trace."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

import boxseg
from boxseg.cli import execute
from boxseg.config import Classify, Optimiser, TrainerOptions
from boxseg.data.loading import BoxTraining
from boxseg.stages.plan import PlanResult
from boxseg.training import step_time
from boxseg.training.box_classifier import BoxClassifierModule
from boxseg.training.step_time import seconds_per_step


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders go."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def rows(text: str) -> dict[str, list[str]]:
    """Cells of the printed table, by the first."""
    cells = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if line.startswith("  ")]
    return {row[0]: row[1:] for row in cells}


def test_a_run_is_planned_and_nothing_written(
    toy: Path,
    miniature: tuple[str, ...],
    scratch: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [*miniature, f"data={toy}", f"out={tmp_path}/run", "classify.iterations=700", "scale=0.5"]
    words += ["label.method=bap", "adapt.iterations=9"]
    before = sorted(toy.rglob("*"))
    assert execute(["run", *words, "dry_run=true"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    table = rows(captured.out)
    boxes = sum(len(sample.labels) for sample in boxseg.formats.load(boxseg.config.Data(root=toy)).samples)
    assert table["classify"][:3] == ["10", str(boxes), "350 iterations of 2 images, 65 pixels"]
    assert table["label"][:2] == ["10", str(boxes)]
    assert table["label"][2].startswith("10 photos, about ")
    assert table["segment"][2] == "1 iteration of 2 images, 65 pixels"
    assert table["score on val"][0] == "4"
    assert "in all" in table
    assert "estimates" in captured.out
    assert "10 images, 5 classes" in captured.out
    assert "adapt" not in table
    assert not (tmp_path / "run").exists()
    assert list(scratch.iterdir()) == []
    assert sorted(toy.rglob("*")) == before


def test_the_line_of_the_mask_network_is_planned(
    toy: Path, miniature: tuple[str, ...], scratch: Path, tmp_path: Path
) -> None:
    words = dict(word.split("=") for word in miniature if not word.startswith("evaluate.scales"))
    plans = {
        enabled: boxseg.run(data=toy, out=tmp_path / "run", dry_run=True, **words, **{"adapt.enabled": enabled})
        for enabled in (True, False)
    }
    assert [stage.name for stage in plans[True].stages] == ["adapt", "label", "segment", "score on val"]
    assert [stage.name for stage in plans[False].stages] == ["label", "segment", "score on val"]
    assert plans[True].stages[0].work == "2 iterations of 2 boxes"
    assert plans[True].stages[0].seconds > 0
    assert list(scratch.iterdir()) == []
    assert not (tmp_path / "run").exists()


def test_the_network_of_a_run_is_planned_for_all_photos(toy: Path, scratch: Path, tmp_path: Path) -> None:
    """Only a few of them get labels to time a step with."""
    given = {"data": toy, "out": tmp_path / "run", "dry_run": True, "adapt": False, "scores": False}
    options = {"segment.epochs": 12.0, "segment.min_iterations": 1, "segment.batch": 4}
    options |= {"segment.augment.crop": 33, "model.weights": "none"}
    plan = boxseg.run(**given, **options)
    assert isinstance(plan, PlanResult)
    assert plan.stages[-1].work == "30 iterations of 4 images, 33 pixels"  # 12 x 10 / 4


def test_every_stage_by_itself(
    toy: Path, miniature: tuple[str, ...], scratch: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = [word for word in miniature if word.startswith(("classify", "trainer"))]
    classify = ["classify", *few, f"data={toy}", f"out={tmp_path}/c"]
    assert execute(classify) == 0
    label = ["label", f"data={toy}", f"checkpoint={tmp_path}/c", f"out={tmp_path}/l", "crf=false"]
    assert execute(label) == 0
    for file in sorted((tmp_path / "l" / "y_ret").iterdir())[3:]:
        file.unlink()
    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert execute([*classify, "dry_run=true"]) == 0
    assert rows(capsys.readouterr().out)["classify"][-3:] == ["–", "–", "there already"]
    assert execute([*classify, "dry_run=true", "overwrite=true"]) == 0
    assert rows(capsys.readouterr().out)["classify"][-1] == "to do"
    assert execute([*label, "dry_run=true"]) == 0
    done = rows(capsys.readouterr().out)["label"]
    assert done[2].startswith("7 photos")
    assert done[-1] == "3 there"
    planned = boxseg.segment(
        labels=str(tmp_path / "l"), data=toy, out=tmp_path / "s", iterations=8, batch=2, crop=33, dry_run=True
    )
    assert isinstance(planned, PlanResult)
    assert [(stage.name, stage.images) for stage in planned.stages] == [("segment", 3), ("score on val", 4)]
    network = planned.stages[0]
    assert network.seconds > 0
    assert 20e6 < network.disk < 200e6  # weights twice, momentum once, of some five million numbers
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == made
    assert execute([*label, "dry_run=true", f"checkpoint={tmp_path}/nowhere"]) == 2
    capsys.readouterr()
    for changed in (
        [*label, "label.grid=2"],
        [*classify, "classify.grid=2"],
    ):  # what the command itself refuses
        assert execute([*changed, "dry_run=true"]) == 2
        assert "holds a run with other options" in capsys.readouterr().err
        assert execute([*changed, "dry_run=true", "overwrite=true"]) == 0
    capsys.readouterr()
    (tmp_path / "file").touch()
    assert execute(["run", f"data={toy}", f"out={tmp_path}/file", "dry_run=true"]) == 2
    assert capsys.readouterr().err == f"boxseg: out={tmp_path}/file is a file; give a folder\n"


def test_the_time_of_a_step_is_that_of_the_whole_batch(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock of one second a network pass: a step on all images is timed, or a part is extrapolated."""
    dataset = boxseg.formats.load(boxseg.config.Data(root=toy))
    options = Classify(batch=8, augment=boxseg.config.Augment(crop=33), optimiser=Optimiser())
    images = BoxTraining(dataset, options.augment, 0)
    seen: list[int] = []

    class Counting(BoxClassifierModule):
        def loss(self, batch: dict[str, torch.Tensor], totals: torch.Tensor | None = None) -> Any:
            seen.append(len(batch["images"]))
            return super().loss(batch, totals)

    module = Counting(classes=5, iterations=1, model=boxseg.config.Model(weights="none"), classify=options)
    now = [0.0]
    monkeypatch.setattr(step_time.time, "perf_counter", lambda: now[0] + sum(seen))
    trainer = TrainerOptions(accelerator="cpu", workers=0)
    assert seconds_per_step(module, images, 8, trainer) == 8  # a second an image
    assert seen == [2, 8]
    seen.clear()
    monkeypatch.setattr(step_time, "LONGEST", 5)
    assert seconds_per_step(module, images, 8, trainer) == 8  # 2 seconds for 2 of 8 images
    assert seen == [2, 2]
    seen.clear()
    monkeypatch.setattr(step_time, "LONGEST", 20)
    assert seconds_per_step(module, images, 8, TrainerOptions(accelerator="cpu", workers=0, accumulate=4)) == 8
    assert seen == [2, 2, 2, 2, 2]
