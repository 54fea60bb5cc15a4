"""The training of a stage: resumable and reproducible, by Lightning, in a run folder."""

from __future__ import annotations

import logging
import math
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import lightning as L
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import Strategy
from torch.distributed import Store  # type: ignore[attr-defined]

from boxseg.atomic import write_json
from boxseg.config import TrainerOptions
from boxseg.data.loading import TrainingPhotos
from boxseg.data.sampler import StreamSampler
from boxseg.errors import ConfigError
from boxseg.inference.devices import torch_devices
from boxseg.plugins import require_sendable
from boxseg.progress import relayed
from boxseg.runs.layout import LAST, WEIGHTS
from boxseg.training import crew as crews
from boxseg.training.checkpoints import LastCheckpoint, WholeCheckpoints, last_checkpoint
from boxseg.training.data_module import StreamDataModule
from boxseg.training.history import History, make_loggers
from boxseg.training.launch import Launch
from boxseg.training.module import TrainingModule
from boxseg.training.processes import (
    LaunchedStrategy,
    SpawnedStrategy,
    ended_with,
    launched_devices,
    quiet_lightning,
)
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
    name, crew = module.stage, crews.current()
    every = checkpoint_interval(trainer.checkpoint_every, scale)
    devices = torch_devices(trainer)
    chunk = resume_points(every) if devices[0].type == "cpu" else every
    if crew:
        log.info(f"{name}: {crew.launch}")
    if last := last_checkpoint(folder, name):
        log.info(f"{name}: resuming from {last.file}")
        # A resumed run keeps its chunks, or it would count steps wrongly. If the last was shorter, this is too
        # small, but then the training is complete.
        chunk = math.ceil(last.step / (last.epoch + 1))
    task = Task(
        module=module,
        images=images,
        sampler=_stream(module, images, trainer, chunk),
        trainer=trainer,
        folder=folder,
        every=every,
        callbacks=tuple(callbacks),
    )
    wanted, file = [*make_loggers(trainer.loggers, folder), *loggers], last.file if last else None
    if crew:
        unreadable: Sequence[str] = crew.train(task, file, wanted)
    else:
        with relayed() if len(devices) > 1 else nullcontext():
            task.alone(len(devices), wanted)(file)
        unreadable = images.unreadable
    if unreadable:
        names = ", ".join(unreadable[:5])
        log.warning(f"{name}: {counted(len(unreadable), 'photo')} could not be read and were replaced: {names}")


@dataclass(frozen=True, kw_only=True)
class Task:
    """A training, as each of its processes does it. It can be pickled.

    Attributes:
        module: What is trained.
        images: Training images.
        sampler: Their order.
        trainer: Devices, precision, seed.
        folder: Run folder, in which only the first process writes.
        every: Iterations between checkpoints.
        callbacks: Lightning's, in addition to ours.
    """

    module: TrainingModule
    images: TrainingPhotos
    sampler: StreamSampler
    trainer: TrainerOptions
    folder: Path
    every: int
    callbacks: tuple[Callback, ...]

    def alone(self, devices: int, loggers: Sequence[Logger] = ()) -> crews.Fitting:
        """Prepare the training in this process, or with several devices in as many that Lightning starts."""
        strategy = SpawnedStrategy(unused=self._unused) if devices > 1 else "auto"
        return self._prepared(strategy, devices, 1, loggers)

    def launched(self, launch: Launch, store: Store, loggers: Sequence[Logger] = ()) -> crews.Fitting:
        """Prepare the training in this process and others that a launcher has started."""
        strategy = LaunchedStrategy(launch, store, unused=self._unused)
        return self._prepared(strategy, len(launched_devices(launch, self.trainer)), launch.nodes, loggers)

    @property
    def _unused(self) -> bool:
        """Backbones of other libraries may have layers that their features do not use."""
        return not self.module.network.backbone.own_layers

    def _prepared(
        self, strategy: Strategy | str, devices: int, nodes: int, loggers: Sequence[Logger]
    ) -> crews.Fitting:
        with quiet_lightning():
            lightning = self._lightning(strategy, devices, nodes, loggers)
            data = StreamDataModule(self.images, self.sampler, self.trainer.workers)

        def fit(checkpoint: Path | None) -> None:
            ckpt = str(checkpoint) if checkpoint else None
            with quiet_lightning(), torch.random.fork_rng(), ended_with(lightning), _ctrl_c_passes():
                lightning.fit(self.module, datamodule=data, ckpt_path=ckpt)

        return fit

    def _lightning(
        self, strategy: Strategy | str, devices: int, nodes: int, loggers: Sequence[Logger]
    ) -> L.Trainer:
        options, module = self.trainer, self.module
        history = History(self.folder, module.stage, module.iterations)
        last = LastCheckpoint(self.folder / LAST, self.every, options.checkpoint_minutes, module.iterations)
        # Lightning would take an allocation of SLURM for a start by srun. Other strategies name their place.
        place = [LightningEnvironment()] if strategy == "auto" else []
        try:
            return L.Trainer(
                accelerator=options.accelerator,
                devices=devices,
                num_nodes=nodes,
                strategy=strategy,
                precision=options.precision,  # type: ignore[arg-type]
                # Not max_steps: with it Lightning resumes wrongly from a checkpoint at the end of an epoch,
                # until https://github.com/Lightning-AI/pytorch-lightning/issues/19617.
                max_epochs=self.sampler.epochs,
                callbacks=[history, last, *self.callbacks],
                logger=list(loggers) or False,
                plugins=[WholeCheckpoints(), *place],
                log_every_n_steps=0,  # History logs every step
                enable_progress_bar=False,
                enable_model_summary=False,
                use_distributed_sampler=False,
                default_root_dir=self.folder,
            )
        except Exception as error:  # Lightning raises many kinds for a device or a missing package
            reason = " ".join(str(error).split())[:300]
            raise ConfigError(
                f"trainer.accelerator={options.accelerator} with trainer.precision={options.precision} does "
                f"not work on this machine: {reason}"
            ) from error


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
    crew, parts = crews.current(), module.accumulate
    if crew:
        launched_devices(crew.launch, trainer)
    devices = crew.launch.world if crew else len(torch_devices(trainer))
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
    return StreamSampler(
        len(images),
        batch=batch,
        iterations=iterations,
        seed=trainer.seed,
        chunk=chunk,
        repeats=images.repeats,
    )


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
