"""The training of a stage: resumable and reproducible, by Lightning, in a run folder."""

from __future__ import annotations

import logging
import math
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from boxseg.atomic import write_json
from boxseg.config import TrainerOptions
from boxseg.data.loading import TrainingPhotos
from boxseg.data.sampler import StreamSampler
from boxseg.errors import ConfigError
from boxseg.inference.devices import torch_devices
from boxseg.plugins import require_sendable
from boxseg.progress import relayed
from boxseg.runs.layout import LAST, WEIGHTS
from boxseg.training.checkpoints import LastCheckpoint, WholeCheckpoints, last_checkpoint
from boxseg.training.data_module import StreamDataModule
from boxseg.training.history import History, make_loggers
from boxseg.training.module import TrainingModule
from boxseg.training.processes import SpawnedStrategy, ended_with, quiet_lightning
from boxseg.training.schedule import checkpoint_interval, resume_points
from boxseg.wording import counted

log = logging.getLogger("boxseg")


def fit(
    module: TrainingModule,
    images: TrainingPhotos,
    folder: Path,
    *,
    trainer: TrainerOptions,
    scale: float,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
) -> None:
    """Train from the folder's last checkpoint, or from the start, after `check_training`.

    Args:
        module: What is trained; changed in place.
        images: Training images.
        folder: Run folder, for weights.json, checkpoints/ and history.csv.
        trainer: Devices, precision, seed.
        scale: Factor of the schedule's length and of the iterations between checkpoints.
        callbacks: Lightning's, in addition to ours.
        loggers: Lightning's, in addition to those of `trainer.loggers`.

    Raises:
        ConfigError: The device does not have this precision.
        CheckpointError: No checkpoint of the folder can be read, or one is of another stage.
    """
    write_json(folder / WEIGHTS, module.weights.as_dict())
    log.info(module.weights.summary())
    name = module.stage
    every = checkpoint_interval(trainer.checkpoint_every, scale)
    devices = torch_devices(trainer)
    chunk = resume_points(every) if devices[0].type == "cpu" else every
    if last := last_checkpoint(folder, name):
        log.info(f"{name}: resuming from {last.file}")
        # A resumed run keeps its chunks, or it would count steps wrongly. If the last was shorter, this is too
        # small, but then the training is complete.
        chunk = math.ceil(last.step / (last.epoch + 1))
    sampler = _stream(module, images, trainer, chunk)
    with quiet_lightning(), torch.random.fork_rng(), relayed() if len(devices) > 1 else nullcontext():
        ours = [
            History(folder, name, module.iterations),
            LastCheckpoint(folder / LAST, every, trainer.checkpoint_minutes, module.iterations),
        ]
        wanted = [*make_loggers(trainer.loggers, folder), *loggers]
        lightning = _lightning(
            trainer, len(devices), module, sampler.epochs, [*ours, *callbacks], wanted, folder
        )
        with ended_with(lightning), _ctrl_c_passes():
            lightning.fit(
                module,
                datamodule=StreamDataModule(images, sampler, trainer.workers),
                ckpt_path=str(last.file) if last else None,
            )
    if images.unreadable:
        names = ", ".join(images.unreadable[:5])
        log.warning(
            f"{name}: {counted(len(images.unreadable), 'photo')} could not be read and were replaced: {names}"
        )


def check_training(
    module: TrainingModule,
    images: TrainingPhotos,
    trainer: TrainerOptions,
    callbacks: Sequence[Callback] = (),
    loggers: Sequence[Logger] = (),
) -> None:
    """Check that a training can begin, before anything is written; arguments as for `fit`.

    Raises:
        ConfigError: The batch cannot be split over the devices or into that many parts; or a callback, logger
            or plug-in cannot be used, or not sent to other processes.
    """
    devices, parts = len(torch_devices(trainer)), module.accumulate
    share = _stream(module, images, trainer).shard(0, devices).rank_batch
    if share < parts:
        raise ConfigError(
            f"trainer.accumulate={parts}: a step has only {counted(share, 'image')}"
            f"{' on each device' if devices > 1 else ''}, so it can have at most {counted(share, 'part')}"
        )
    _check_given(module, callbacks, loggers, devices)


def _stream(
    module: TrainingModule,
    images: TrainingPhotos,
    trainer: TrainerOptions,
    chunk: int | None = None,
) -> StreamSampler:
    batch, iterations = module.options.batch, module.iterations
    return StreamSampler(len(images), batch=batch, iterations=iterations, seed=trainer.seed, chunk=chunk)


def _check_given(
    module: TrainingModule, callbacks: Sequence[Callback], loggers: Sequence[Logger], devices: int
) -> None:
    """Check that callbacks and loggers are Lightning's, and that other processes can import all they need."""
    for option, given, kind in (("callbacks", callbacks, Callback), ("loggers", loggers, Logger)):
        for thing in given:
            if not isinstance(thing, kind):
                raise ConfigError(
                    f"{option}: expected objects of lightning.pytorch's {kind.__name__}, got a "
                    f"{type(thing).__module__}.{type(thing).__name__} (pytorch_lightning is another package)"
                )
    if devices > 1:
        for part in (*callbacks, *loggers, *module.plugged_in()):
            name = getattr(part, "__qualname__", type(part).__qualname__)
            require_sendable(part, f"{module.stage}: {name}")


def _lightning(
    trainer: TrainerOptions,
    devices: int,
    module: TrainingModule,
    epochs: int,
    callbacks: list[Callback],
    loggers: list[Logger],
    folder: Path,
) -> L.Trainer:
    try:
        return L.Trainer(
            accelerator=trainer.accelerator,
            devices=devices,
            # Backbones of other libraries may have layers that their features do not use.
            strategy=SpawnedStrategy(unused=not module.network.backbone.own_layers) if devices > 1 else "auto",
            precision=trainer.precision,  # type: ignore[arg-type]
            # Not max_steps: with it Lightning resumes wrongly from a checkpoint at the end of an epoch, until
            # https://github.com/Lightning-AI/pytorch-lightning/issues/19617.
            max_epochs=epochs,
            callbacks=callbacks,
            logger=loggers or False,
            plugins=WholeCheckpoints(),
            log_every_n_steps=0,  # History logs every step
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=folder,
        )
    except Exception as error:  # Lightning raises many kinds for a device or a missing package
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"trainer.accelerator={trainer.accelerator} with trainer.precision={trainer.precision} does not "
            f"work on this machine: {reason}"
        ) from error


@contextmanager
def _ctrl_c_passes() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt; Lightning would exit and leave the signal ignored.

    Until https://github.com/Lightning-AI/pytorch-lightning/issues/11924.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        raise KeyboardInterrupt from stop
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
