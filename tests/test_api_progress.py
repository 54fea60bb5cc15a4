"""Progress and messages of calls from Python: shown, silenced, or handed to the caller."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import boxseg
from boxseg.data.toy import write_toy
from boxseg.jobs import JOBS

TRAINING = {"iterations": 2, "batch": 2, "crop": 49, "weights": "none", "scores": False, "workers": 0}


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    write_toy(tmp_path / "toy", train=4, val=2, size=64)
    return tmp_path / "toy"


@pytest.mark.parametrize("verb", JOBS)
def test_every_verb_takes_it(verb: str) -> None:
    with pytest.raises(boxseg.ConfigError, match="progress='bar': expected True, False or a function"):
        getattr(boxseg, verb.replace("-", "_"))(progress="bar")


def test_nothing_is_written_with_progress_off(
    toy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    boxseg.doctor(data=toy, progress=False)
    boxseg.label(data=toy, out=tmp_path / "label", progress=False)
    boxseg.adapt(data=toy, out=tmp_path / "adapt", iterations=1, batch=2, progress=False)
    boxseg.segment(data=toy, labels=tmp_path / "label", out=tmp_path / "s", progress=False, **TRAINING)
    boxseg.predict(checkpoint=tmp_path / "s", images=toy / "JPEGImages", out=tmp_path / "p", progress=False)
    boxseg.convert(source=tmp_path / "label", out=tmp_path / "coco", format="coco", progress=False)
    boxseg.report(run=tmp_path / "label", progress=False)
    boxseg.export(checkpoint=tmp_path / "s", out=tmp_path / "m.safetensors", progress=False)
    assert capfd.readouterr() == ("", "")


def test_progress_goes_to_stderr_else(toy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    boxseg.label(data=toy, out=tmp_path / "label", method="box")
    written = capfd.readouterr()
    assert written.out == ""
    assert "label: 4 of 4 · 0:0" in written.err


@pytest.mark.parametrize("devices", [1, 2])
def test_a_function_gets_the_progress_of_a_training(
    devices: int, toy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A function of this test: with several devices, the training runs in processes that cannot import it."""
    states: list[boxseg.ProgressState] = []

    def note(state: boxseg.ProgressState) -> None:
        states.append(state)

    options = {**TRAINING, "devices": devices, "accelerator": "cpu"}
    boxseg.segment(data=toy, labels="ground-truth", out=tmp_path / "s", progress=note, **options)
    steps = [state for state in states if state.description == "segment"]
    assert [state.completed for state in steps] == [1, 2, 2]
    assert [state.ended for state in steps] == [False, False, True]
    assert steps[-1].total == 2
    assert steps[-1].note.startswith("loss ")
    assert "elapsed" not in "".join(capfd.readouterr())


def test_what_the_function_raises_ends_the_call(toy: Path, tmp_path: Path) -> None:
    def stop(state: boxseg.ProgressState) -> None:
        raise InterruptedError(state.description)

    with pytest.raises(InterruptedError, match="decode"):
        boxseg.doctor(data=toy, progress=stop)


def test_messages_go_through_logging(
    toy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    (toy / "JPEGImages" / "train_0000.jpg").write_bytes(b"no photo")
    out = tmp_path / "label"
    log = logging.getLogger("boxseg")
    log.propagate = True  # which the command line turns off
    with caplog.at_level(logging.DEBUG, logger="boxseg"):
        boxseg.label(data=toy, out=out, method="box", progress=False)
        boxseg.label(data=toy, out=out, method="box", progress=False)
    levels = {record.levelname: record.getMessage() for record in caplog.records}
    assert set(levels) == {"DEBUG", "INFO", "WARNING"}
    assert levels["INFO"] == "label: labels of 3 of 3 photos are there already"
    assert "train_0000.jpg" in levels["WARNING"]
    assert {record.name for record in caplog.records} == {"boxseg"}
    assert capfd.readouterr().out == ""
