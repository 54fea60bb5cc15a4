"""Loggers know a training again that goes on, and take one that starts anew for another."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from boxseg.config import Data
from boxseg.jobs import ClassifyJob
from boxseg.runs.folder import open_folder
from boxseg.training import history
from boxseg.training.history import LOGGERS


@pytest.fixture
def job(tmp_path: Path) -> ClassifyJob:
    return ClassifyJob(data=Data(root=tmp_path / "data"), out=tmp_path / "run")


def test_wandb_goes_on_with_its_run_until_the_folder_is_started_anew(
    job: ClassifyJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(history.theirs, "WandbLogger", lambda **options: made.append(options))
    for overwrite in (False, False, True, False):
        LOGGERS["wandb"](open_folder(replace(job, overwrite=overwrite)))
    LOGGERS["wandb"](open_folder(replace(job, out=job.out.with_name("other"))))
    first, again, anew, gone_on, other = (options["id"] for options in made)
    assert first == again
    assert anew == gone_on
    assert len({first, anew, other}) == 3
    assert {options["resume"] for options in made} == {"allow"}


def test_mlflow_finds_its_run_by_a_tag(job: ClassifyJob, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, str] = {}  # runs by the filter that finds them

    class Client:
        def __init__(self, place: str) -> None:
            assert place.startswith("sqlite:///")

        def get_experiment_by_name(self, name: str) -> Any:
            return SimpleNamespace(experiment_id=name) if kept else None

        def search_runs(self, experiments: list[str], wanted: str) -> list[Any]:
            assert experiments == ["boxseg"]
            return [SimpleNamespace(info=SimpleNamespace(run_id=kept[wanted]))] if wanted in kept else []

    def logger(*, tags: dict[str, str], run_id: str | None, **_: Any) -> str | None:
        [(tag, value)] = tags.items()
        if run_id is None:
            kept[f"tags.`{tag}` = '{value}'"] = f"run {len(kept)}"
        return run_id

    module = ModuleType("mlflow")
    module.MlflowClient = Client  # type: ignore[attr-defined]
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setattr(history.theirs, "MLFlowLogger", logger)
    goes = [
        LOGGERS["mlflow"](open_folder(replace(job, overwrite=anew))) for anew in (False, False, True, False)
    ]
    assert goes == [None, "run 0", None, "run 1"]
