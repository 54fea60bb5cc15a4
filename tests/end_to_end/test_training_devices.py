"""Trainings on two processes, in parts, in half precision, and with loggers, by the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from boxseg.cli import execute
from boxseg.inference.mask_networks import shipped_weights

CLASSIFY = (
    "classify", "classify.iterations=4", "classify.batch=4", "classify.augment.crop=65", "checkpoint_every=2",
    "trainer.workers=0",
)  # fmt: skip


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same_training(folder: Path, other: Path) -> None:
    """Equal up to the order of sums; a single wrong step would differ by more than the learning rate allows."""
    one, two = weights(folder), weights(other)
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=2e-6, rtol=1e-4)
    rows = [(f / "history.csv").read_text().splitlines()[1:] for f in (folder, other)]
    assert len(rows[0]) == len(rows[1])
    for row, same in zip(*rows, strict=True):
        values = [[float(value) for value in text.split(",")] for text in (row, same)]
        assert values[1] == pytest.approx(values[0], rel=1e-4)


@pytest.fixture(scope="module")
def whole(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process, one part."""
    out = tmp_path_factory.mktemp("whole")
    assert execute([*CLASSIFY, f"data={toy}", f"out={out}"]) == 0
    return out


def test_two_parts_are_the_whole_batch(whole: Path, toy: Path, tmp_path: Path) -> None:
    assert execute([*CLASSIFY, f"data={toy}", f"out={tmp_path}", "accumulate=2"]) == 0
    assert_same_training(whole, tmp_path)


def test_two_processes_interrupted_and_gone_on_with_are_one(whole: Path, toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "c"
    words = [*CLASSIFY, f"data={toy}", f"out={out}", "devices=2", "accumulate=2"]
    process: subprocess.Popen[Any] = subprocess.Popen(
        [sys.executable, "-m", "boxseg", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while not (out / "checkpoints" / "last.ckpt").exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=120)
    assert "Traceback" not in errors
    if not (out / "model.safetensors").exists():
        assert process.returncode == 130, errors
        assert errors.splitlines()[-1] == "boxseg: interrupted; the same command goes on where it stopped"
    time.sleep(2)  # Python's own helper of multiprocessing outlives it by a moment
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    again = subprocess.run(
        [sys.executable, "-m", "boxseg", *words], capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    assert "GLOBAL_RANK" not in again.stderr  # nothing that Lightning says of itself
    assert_same_training(whole, out)


def test_the_mask_network_on_two_processes_is_that_of_one(toy: Path, tmp_path: Path) -> None:
    """Steps of 0.007 in the decoder; its targets are computed, and it is saved, in half precision."""
    words = ["adapt", "adapt.iterations=2", "adapt.batch=4", "adapt.lr=1e-3", "warm_up=0", "workers=0"]
    words += ["adapt.average=0", f"data={toy}"]
    assert execute([*words, f"out={tmp_path}/one"]) == 0
    subprocess.run(
        [sys.executable, "-m", "boxseg", *words, f"out={tmp_path}/two", "devices=2"],
        capture_output=True,
        check=True,
    )
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    before = load_file(shipped_weights())
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=2e-3, rtol=1e-2)
    moved = (one["at_4.0.0.weight"].float() - before["at_4.0.0.weight"].float()).abs().median()
    apart = (one["at_4.0.0.weight"].float() - two["at_4.0.0.weight"].float()).abs().median()
    assert moved > 20 * apart
    losses = [
        [float(row.split(",")[1]) for row in (tmp_path / name / "history.csv").read_text().splitlines()[1:]]
        for name in ("one", "two")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)


def test_an_error_in_a_process_is_one_line(toy: Path, tmp_path: Path) -> None:
    """The photos are there, and the network's numbers overflow: each process finds out, one tells."""
    words = ["classify", "iterations=2", "batch=2", "crop=65", "workers=0", f"data={toy}", f"out={tmp_path}/c"]
    done = subprocess.run(
        [sys.executable, "-m", "boxseg", *words, "devices=2", "optimiser.lr=1e30"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last == "boxseg: the loss is nan at iteration 1: try a lower optimiser.lr"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["devices=3"], "a batch of 4 images cannot be shared by 3 processes"),
        (["accumulate=5"], "trainer.accumulate=5: a step has only 4 images, so it can have at most 4 parts"),
        (["devices=2", "accumulate=3"], "trainer.accumulate=3: a step has only 2 images on each device"),
        (["accumulate=0"], "trainer.accumulate must be 1 or more"),
        (["loggers=tensorbored"], "tensorbored"),
    ],
)
def test_what_cannot_be_shared_is_named(
    words: list[str], message: str, toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute([*CLASSIFY, f"data={toy}", f"out={tmp_path}/c", *words]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_mixed_precision_trains_nearly_the_same(whole: Path, toy: Path, tmp_path: Path) -> None:
    assert execute([*CLASSIFY, f"data={toy}", f"out={tmp_path}", "precision=bf16-mixed"]) == 0
    ours, theirs = (weights(folder)["weight"] for folder in (tmp_path, whole))
    assert not torch.equal(ours, theirs)
    torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0.05)
    assert ours.dtype == torch.float32


def test_tensorboard_has_the_curves_and_the_options(toy: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    words = [*CLASSIFY, f"data={toy}", f"out={tmp_path}", "loggers=[csv,tensorboard]"]
    assert execute(words) == 0
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    rows = [row.split(",") for row in (tmp_path / "history.csv").read_text().splitlines()[1:]]
    for column, name in ((1, "loss"), (2, "lr")):
        logged = [(event.step, event.value) for event in events.Scalars(name)]
        assert logged == [(int(row[0]), pytest.approx(float(row[column]), rel=1e-4)) for row in rows]
    assert (tmp_path / "tensorboard" / "hparams.yaml").read_text().count("classify.batch: 4") == 1
    (tmp_path / "tensorboard" / "notes.txt").touch()
    assert execute([*words, "overwrite=true"]) == 0  # other curves, in the place of these
    again = EventAccumulator(str(tmp_path / "tensorboard"))
    again.Reload()
    assert [event.step for event in again.Scalars("loss")] == [int(row[0]) for row in rows]
    assert len(list((tmp_path / "tensorboard").glob("events*"))) == 1
    assert (tmp_path / "tensorboard" / "notes.txt").is_file()


def test_mlflow_has_the_curves(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    place = f"file://{tmp_path}/mlruns"  # also mlflow-skinny can write there, which has no data base
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    words = [*CLASSIFY, f"data={toy}", f"out={tmp_path}", "loggers=mlflow"]
    assert execute(words) == 0
    client = mlflow.MlflowClient(place)
    experiment = client.get_experiment_by_name("boxseg")
    (run,) = client.search_runs([experiment.experiment_id])
    assert [metric.step for metric in client.get_metric_history(run.info.run_id, "loss")] == [1, 2, 3, 4]
    (tmp_path / "model.safetensors").unlink()
    assert execute(words) == 0  # goes on after its last checkpoint
    assert len(client.search_runs([experiment.experiment_id])) == 1
    assert execute([*words, "overwrite=true"]) == 0
    assert len(client.search_runs([experiment.experiment_id])) == 2


def test_wandb_writes_a_run(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert execute([*CLASSIFY, f"data={toy}", f"out={tmp_path}", "loggers=wandb"]) == 0
    assert list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))


def test_a_missing_logger_is_one_line(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert execute([*CLASSIFY, f"data={toy}", f"out={tmp_path}/c", "loggers=wandb"]) == 2
    assert "pip install 'boxseg[wandb]'" in capsys.readouterr().err.splitlines()[-1]
