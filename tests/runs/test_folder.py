"""Run folders recognise their job again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from boxseg.cli import execute
from boxseg.config import Classify, Data, Model, TrainerOptions
from boxseg.data.toy import write_toy
from boxseg.errors import ConfigError
from boxseg.inference.networks import weight_inputs
from boxseg.jobs import ClassifyJob, LabelJob, RunJob, SegmentJob
from boxseg.runs.folder import open_folder
from boxseg.stages import classify, run, segment


@pytest.fixture
def job(tmp_path: Path) -> ClassifyJob:
    return ClassifyJob(data=Data(root=tmp_path / "data"), out=tmp_path / "run")


def test_a_folder_records_options_and_versions(job: ClassifyJob) -> None:
    folder = open_folder(job)
    recorded = yaml.safe_load((folder / "config.yaml").read_text())
    assert recorded["classify"]["grid"] == 4
    assert {"python", "torch", "boxseg"} <= set(json.loads((folder / "versions.json").read_text()))


def test_the_same_job_comes_back_and_keeps_its_results(job: ClassifyJob) -> None:
    folder = open_folder(job)
    (folder / "model.safetensors").write_text("result")
    moved = replace(job, data=Data(root=Path("elsewhere")), trainer=TrainerOptions(workers=3, devices=2))
    assert open_folder(moved) == folder
    assert (folder / "model.safetensors").read_text() == "result"


def test_another_job_is_refused_by_name_of_the_change(job: ClassifyJob) -> None:
    (open_folder(job) / "model.safetensors").write_text("result")
    with pytest.raises(ConfigError, match=r"classify\.grid: 4 → 2.*overwrite=true"):
        open_folder(replace(job, classify=Classify(grid=2)))


@pytest.mark.parametrize("name", ["model.safetensors", "labels/a.png", "metrics.json"])
def test_what_no_command_recorded_is_not_replaced(job: ClassifyJob, name: str) -> None:
    begun: Any = job if name == "model.safetensors" else LabelJob(data=job.data, out=job.out)
    (job.out / name).parent.mkdir(parents=True)
    (job.out / name).write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match="no command recorded that it wrote it: choose another out="):
            open_folder(replace(begun, overwrite=overwrite))
    assert (job.out / name).read_text() == "mine"
    # What this command writes to folders of its stages alone is not in the way.
    if name != "metrics.json":
        open_folder(RunJob(data=job.data, out=job.out))


def test_what_another_command_made_is_called_that(job: ClassifyJob) -> None:
    (open_folder(job) / "model.safetensors").write_text("result")
    with pytest.raises(ConfigError, match=r"the results of another command, with .*classify: choose another"):
        open_folder(LabelJob(data=job.data, checkpoint=job.out, out=job.out))


def test_a_folder_without_results_is_free_for_another_job(job: ClassifyJob) -> None:
    other = replace(job, classify=Classify(grid=2))
    open_folder(job)
    assert yaml.safe_load((open_folder(other) / "config.yaml").read_text())["classify"]["grid"] == 2


def test_overwrite_starts_anew_and_leaves_other_files_alone(job: ClassifyJob) -> None:
    folder = open_folder(job)
    with (folder / "config.yaml").open("a") as config:
        config.write("label: {formats: [voc]}\n")
    (folder / "model.safetensors").write_text("result")
    (folder / "notes.txt").write_text("mine")
    made = [folder / "evaluate-val" / "metrics.json", folder / "voc" / "convert.yaml", folder / "voc" / "a.png"]
    # Not of label.formats: the user's, as is what has no record.
    own = [folder / "coco" / "mine.json", folder / "yolo-seg" / "convert.yaml"]
    for file in (*made, *own):
        file.parent.mkdir(exist_ok=True)
        file.write_text("{}")
    open_folder(replace(job, classify=Classify(grid=2), overwrite=True))
    assert not (folder / "model.safetensors").exists()
    assert (folder / "notes.txt").read_text() == "mine"
    assert not any(file.exists() for file in made)
    assert all(file.exists() for file in own)


def test_a_changed_input_file_is_noticed(job: ClassifyJob, tmp_path: Path) -> None:
    checkpoint = tmp_path / "model"
    checkpoint.write_text("one")
    (open_folder(job, inputs={"checkpoint": checkpoint}) / "metrics.json").write_text("{}")
    open_folder(job, inputs={"checkpoint": checkpoint})
    checkpoint.write_text("two")
    with pytest.raises(ConfigError, match="checkpoint changed"):
        open_folder(job, inputs={"checkpoint": checkpoint})


def weights(job: ClassifyJob, path: Path) -> tuple[ClassifyJob, dict[str, Path]]:
    given = replace(job, model=Model(weights=str(path)))
    return given, weight_inputs(given.model)


def test_a_weight_file_is_recognised_by_its_content(job: ClassifyJob, tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    file.write_text("one")
    given, inputs = weights(job, file)
    (open_folder(given, inputs=inputs) / "model.safetensors").write_text("result")
    moved, inputs = weights(job, file.rename(tmp_path / "moved.pth"))
    open_folder(moved, inputs=inputs)
    (tmp_path / "moved.pth").write_text("two")
    with pytest.raises(ConfigError, match=r"other options \(model\.weights changed\)"):
        open_folder(moved, inputs=inputs)
    with pytest.raises(ConfigError, match=r"model\.weights: .*moved\.pth → imagenet"):
        open_folder(replace(job, model=Model(weights="imagenet")))
    (tmp_path / "moved.pth").unlink()
    gone, inputs = weights(job, tmp_path / "moved.pth")
    assert inputs == {}
    open_folder(gone)  # the result is there and needs it no more
    (tmp_path / "moved.pth").write_text("two")
    with pytest.raises(ConfigError, match=r"model\.weights changed"):
        open_folder(gone, inputs=weight_inputs(gone.model))


def test_the_weight_file_of_a_run_that_did_not_record_it_is_known_by_its_name(
    job: ClassifyJob, tmp_path: Path
) -> None:
    for name in ("w.pth", "v.pth"):
        (tmp_path / name).write_text("one")
    given, inputs = weights(job, tmp_path / "w.pth")
    (open_folder(given) / "model.safetensors").write_text("result")
    other, others = weights(job, tmp_path / "v.pth")
    with pytest.raises(ConfigError, match=r"model\.weights: .*w\.pth → .*v\.pth"):
        open_folder(other, inputs=others)
    open_folder(given, inputs=inputs)


def test_a_file_in_the_place_of_the_folder_is_an_error(job: ClassifyJob) -> None:
    job.out.write_text("not a folder")
    with pytest.raises(ConfigError, match="is a file"):
        open_folder(job)


def test_an_option_newer_than_the_run_had_its_default_there(job: ClassifyJob) -> None:
    folder = open_folder(job)
    (folder / "model.safetensors").write_text("result")
    recorded = yaml.safe_load((folder / "config.yaml").read_text())
    del recorded["scale"], recorded["classify"]["optimiser"]["momentum"]
    (folder / "config.yaml").write_text(yaml.safe_dump(recorded))
    assert open_folder(job) == folder
    (folder / "config.yaml").write_text(yaml.safe_dump(recorded))
    with pytest.raises(ConfigError, match=r"scale: 1\.0 → 0\.1"):
        open_folder(replace(job, scale=0.1))


@pytest.mark.parametrize("option", ["model.weights", "model.backbone"])
def test_stages_notice_another_weight_file_in_the_place_of_theirs(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(_: Any, job: ClassifyJob | SegmentJob, **__: Any) -> None:
        folder = open_folder(job, inputs={option: file})
        (folder / "model.safetensors").write_text("result")

    file = tmp_path / "network" / "model.safetensors"
    file.parent.mkdir()
    write_toy(tmp_path / "toy", train=2, val=1, size=64, seed=1)
    model = Model(backbone="vgg16", weights=str(file))
    if option == "model.backbone":  # a folder of transformers
        model = Model(backbone=f"hf:{file.parent}")
    shared: Any = {"data": Data(root=tmp_path / "toy", val_split=""), "model": model}
    stages: tuple[tuple[Any, Any], ...] = (
        (classify, ClassifyJob(**shared, out=tmp_path / "classify")),
        (segment, SegmentJob(**shared, out=tmp_path / "segment", labels="ground-truth")),
    )
    for stage, job in stages:
        monkeypatch.setattr(stage, "train", train)
        for content in ("one", "one"):
            file.write_text(content)
            assert stage.run(job).checkpoint.read_text() == "result"
        file.write_text("two")
        with pytest.raises(ConfigError, match=rf"{option} changed.*overwrite=true"):
            stage.run(job)
        stage.run(replace(job, overwrite=True))
        stage.run(job)
    whole = RunJob(**shared, out=tmp_path)
    (tmp_path / "model.safetensors").write_text("result")
    monkeypatch.setattr(run, "job_for", lambda *_, **__: pytest.fail("a stage was begun"))
    open_folder(whole, inputs={option: file})
    file.write_text("three")
    with pytest.raises(ConfigError, match=f"{option} changed"):
        run.run(whole)


@pytest.mark.parametrize(
    "refused", [("classify.batch=2", "trainer.accumulate=5"), ("classify.batch=3", "trainer.devices=2")]
)
def test_a_training_that_cannot_begin_overwrites_nothing(refused: tuple[str, ...], tmp_path: Path) -> None:
    write_toy(tmp_path / "toy", train=2, val=1, size=64, seed=1)
    words = ["classify", f"data={tmp_path}/toy", f"out={tmp_path}/c", "model.weights=none", "workers=0"]
    words += ["classify.iterations=1", "classify.augment.crop=33", "classify.batch=1"]
    assert execute(words) == 0
    before = {file: file.read_bytes() for file in (tmp_path / "c").rglob("*") if file.is_file()}
    assert execute([*words, *refused, "overwrite=true"]) == 2
    assert {file: file.read_bytes() for file in (tmp_path / "c").rglob("*") if file.is_file()} == before
    assert execute([*words, "overwrite=true", "trainer.seed=1"]) == 0
    model = tmp_path / "c" / "model.safetensors"
    assert model.read_bytes() != before[model]
