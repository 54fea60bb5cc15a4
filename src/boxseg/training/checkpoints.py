"""The checkpoints of a training: written whole, and the one before is kept."""

from __future__ import annotations

import logging
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from boxseg.atomic import atomic_path
from boxseg.errors import CheckpointError, refusal_of
from boxseg.nn.weights.saved import load_saved
from boxseg.runs.layout import BEFORE_LAST, LAST

log = logging.getLogger("boxseg")

# Key of what boxseg itself says in a checkpoint of Lightning's.
OURS = "boxseg"


@dataclass(frozen=True)
class Progress:
    """A checkpoint that a training can go on from, and how far it was."""

    file: Path
    step: int
    epoch: int


class LastCheckpoint(ModelCheckpoint):
    """Writes a training's last checkpoint at the end of an epoch, in Lightning's sense, where one is due.

    Args:
        file: The checkpoint.
        every: One is due this many iterations after the one before,
        minutes: or this many minutes,
        iterations: or when the training has come to its last iteration.
    """

    def __init__(self, file: Path, every: int, minutes: float, iterations: int) -> None:
        super().__init__(
            dirpath=file.parent,
            filename=file.stem,
            every_n_epochs=1,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        self.every, self.seconds, self.iterations = every, 60 * minutes, iterations

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: D102
        super().on_train_start(trainer, pl_module)
        self.step, self.time = trainer.global_step, time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: D102
        step, now = trainer.global_step, time.monotonic()
        due = step >= min(self.step + self.every, self.iterations) or now - self.time >= self.seconds
        # Clocks differ: all devices write, or none.
        if trainer.strategy.reduce_boolean_decision(due, all=False):
            super().on_train_epoch_end(trainer, pl_module)
            self.step, self.time = step, now


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's checkpoints, never half written.

    Lightning writes to the folder for temporary files and moves the file from there. If that is on another
    disk, moving is copying over the old checkpoint, and a process that is killed then leaves neither.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint beside the old one, keep that as the one before, and take its place."""
        file = Path(path)
        with atomic_path(file) as temporary:
            _save(checkpoint, temporary)
            if file.is_file():
                file.replace(file.with_name(Path(BEFORE_LAST).name))


def _save(checkpoint: dict[str, Any], file: Path) -> None:
    """Write a checkpoint; where the system refuses, raise its OSError. Given a path, torch would hide it."""
    try:
        with file.open("wb") as stream:
            torch.save(checkpoint, stream)
    except RuntimeError as error:
        raise refusal_of(error) or error from None


def last_checkpoint(folder: Path, stage: str) -> Progress | None:
    """The checkpoint that a training goes on from: the last one, or if it is damaged the one before.

    Args:
        folder: Run folder of the training.
        stage: What is trained: `adapt`, `classify` or `segment`.

    Returns:
        None if there is no checkpoint.

    Raises:
        CheckpointError: There are only damaged ones, or one of another stage.
    """
    damaged: CheckpointError | None = None
    for name in (LAST, BEFORE_LAST):
        file = folder / name
        if not file.is_file():
            continue
        try:
            found = _read(file, stage)
        except CheckpointError as error:
            damaged = damaged or error
            continue
        if damaged:
            log.warning(f"{stage}: {folder / LAST} is damaged: going on from {file}, iteration {found.step}")
        return found
    if damaged:
        raise damaged
    return None


def _read(file: Path, stage: str) -> Progress:
    try:
        # torch does not compare the checksums that it writes.
        with zipfile.ZipFile(file) as archive:
            if (name := archive.testzip()) is not None:
                raise zipfile.BadZipFile(name)
        state = load_saved(file, mmap=True)
        of = state.get(OURS, {}).get("stage", stage)
        step, epoch = int(state["global_step"]), int(state["epoch"])
    except Exception as error:  # pickle raises anything, depending on the bytes
        raise CheckpointError(
            f"{file} is damaged (a full disk or an interrupted copy can be the reason): remove it, and "
            "the same command trains from the start"
        ) from error
    if of != stage:
        raise CheckpointError(f"{file} is a checkpoint of {of}, not of {stage}: choose another out=…")
    return Progress(file=file, step=step, epoch=epoch)
