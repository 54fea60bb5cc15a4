"""What a training shows and writes while it runs: history.csv, a progress bar, and loggers."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import yaml
from lightning.pytorch import loggers as theirs
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from boxseg.atomic import write_text
from boxseg.config import LoggerName
from boxseg.extras import import_extra
from boxseg.options import flatten
from boxseg.progress import Progress
from boxseg.runs.history import write_history
from boxseg.runs.layout import CONFIG, LOGGED_AS, MLFLOW, TENSORBOARD

# The project of boxseg's runs in W&B and MLflow, and MLflow's tag that identifies a run.
PROJECT = "boxseg"
_TAG = "boxseg.run"


class History(Callback):
    """Loss and learning rate of every iteration: a bar, the loggers and, at each checkpoint, history.csv.

    On several devices only the first process writes them.
    """

    def __init__(self, folder: Path, description: str, iterations: int) -> None:
        self.folder = folder
        self.rows: list[tuple[int, float, float]] = []
        self.bar = Progress(description, iterations)

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:  # noqa: D102
        self.rows = [tuple(row) for row in state_dict["rows"]]

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:  # noqa: D102
        options = self.folder / CONFIG
        if trainer.loggers and options.is_file():
            told = flatten(yaml.safe_load(options.read_text(encoding="utf-8")) or {})
            for logger in trainer.loggers:
                logger.log_hyperparams(told)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: D102
        if trainer.is_global_zero:
            self.bar.__enter__()

    def on_train_batch_end(  # noqa: D102
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not trainer.is_global_zero:
            return
        step, loss = trainer.global_step, outputs["loss"].item()
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.rows.append((step, loss, rate))
        for logger in trainer.loggers:
            logger.log_metrics({"loss": loss, "lr": rate}, step=step)
        recent = [loss for _, loss, _ in self.rows[-20:]]
        self.bar.update(step, note=f"loss {sum(recent) / len(recent):.3f}")

    def on_save_checkpoint(  # noqa: D102
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if not trainer.is_global_zero:
            return
        write_history(self.folder, self.rows)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: D102
        self.bar.__exit__(None, None, None)

    def on_exception(  # noqa: D102
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        self.bar.__exit__(type(exception), exception, None)


def make_loggers(names: LoggerName | list[LoggerName], folder: Path) -> list[Logger]:
    """Lightning's loggers of these names; csv needs none: history.csv is always written.

    Args:
        names: One or several.
        folder: Run folder; TensorBoard's files go to FOLDER/tensorboard, MLflow's to FOLDER/mlflow.db unless
            MLFLOW_TRACKING_URI names another place.

    Raises:
        MissingExtraError: The package of one is not installed.
    """
    made = []
    for name in [names] if isinstance(names, str) else dict.fromkeys(names):
        if name != "csv":
            import_extra(name, extra=name, purpose=f"trainer.loggers={name}")
            made.append(LOGGERS[name](folder))
    return made


def _mlflow(folder: Path) -> Logger:
    from mlflow import MlflowClient

    place = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(folder / MLFLOW).resolve().as_posix()}"
    client, name = MlflowClient(place), logged_as(folder)
    # MLflow chooses the ids of runs: ours is a tag.
    experiment = client.get_experiment_by_name(PROJECT)
    wanted = f"tags.`{_TAG}` = '{name}'"
    known = client.search_runs([experiment.experiment_id], wanted) if experiment else []
    return theirs.MLFlowLogger(
        experiment_name=PROJECT,
        run_name=folder.as_posix(),
        tracking_uri=place,
        tags={_TAG: name},
        run_id=known[0].info.run_id if known else None,
    )


def logged_as(folder: Path) -> str:
    """Id of the training in a folder, for loggers: a resumed one keeps it, overwrite=true makes a new one."""
    file = folder / LOGGED_AS
    if not file.is_file():
        write_text(file, uuid.uuid4().hex[:16] + "\n")
    return file.read_text(encoding="utf-8", errors="replace").strip()


LOGGERS: dict[str, Callable[[Path], Logger]] = {
    "tensorboard": lambda folder: theirs.TensorBoardLogger(save_dir=folder, name=TENSORBOARD, version=""),
    "wandb": lambda folder: theirs.WandbLogger(
        project=PROJECT, name=folder.as_posix(), save_dir=folder, id=logged_as(folder), resume="allow"
    ),
    "mlflow": _mlflow,
}
