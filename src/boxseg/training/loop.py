"""What both trainings share: one resumable, reproducible run of Lightning."""

from __future__ import annotations

import logging
import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from boxseg.config import Classify, Optimiser, Segment, TrainerOptions
from boxseg.data.loading import BoxTraining, LabelTraining, StreamLoader, make_loader, split_batch
from boxseg.data.sampler import StreamSampler
from boxseg.errors import BoxsegError, CheckpointError, ConfigError
from boxseg.inference.devices import torch_devices
from boxseg.nn.backbones.other_libraries import LibraryBackbone
from boxseg.nn.weights.loading import parameter_groups
from boxseg.training.history import History, make_loggers
from boxseg.training.processes import SpawnedStrategy, ended_with, quiet_lightning

log = logging.getLogger("boxseg")


class Training(L.LightningModule):
    """A network, its loss and its schedule. Subclasses give `loss(batch)`.

    Args:
        network: The network that is trained.
        new: Names of its parameters that start from random weights.
        optimiser: Learning rates.
        schedule: Factor of the learning rate as a function of the step.
        seed: Seed of dropout.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        new: set[str],
        optimiser: Optimiser,
        schedule: Callable[[int], float],
        seed: int,
    ) -> None:
        super().__init__()
        self.network = network
        self.new = new
        self.optimiser = optimiser
        self.schedule = schedule
        self.seed = seed
        self.parts = 1
        self.automatic_optimization = False

    def counts(self, batch: dict[str, Tensor]) -> Tensor:
        """How many terms each mean of the loss is over, (n,); known without the network."""
        raise NotImplementedError

    def loss(self, batch: dict[str, Tensor], totals: Tensor | None = None) -> Tensor:
        """Scalar loss of a batch.

        Args:
            batch: The batch, or a part of one.
            totals: (n,), what the means of a part are divided by: its share of the mean over the whole.
        """
        raise NotImplementedError

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """A step: the mean over the whole batch, in however many parts and processes it is computed.

        Each part's sums are divided by the numbers of the whole batch, so that gradients add up to those of the
        whole, and not to a mean of means.
        """
        parts = split_batch(batch, self.parts)
        world = self.trainer.world_size
        totals: Tensor | None = None
        if len(parts) * world > 1:
            counts = torch.stack([self.counts(part) for part in parts]).sum(0).float()
            totals = self._sum_of_ranks(counts) / world  # the gradients of the ranks are averaged
        optimiser = self.optimizers()
        assert isinstance(optimiser, LightningOptimizer)
        optimiser.zero_grad()
        losses = []
        for place, part in enumerate(parts):
            self._seed(place)
            with self._gradients_stay_here() if place < len(parts) - 1 else nullcontext():
                loss = self.loss(part, totals)
                self.manual_backward(loss)
            losses.append(loss.detach())
        mean = self._sum_of_ranks(torch.stack(losses).sum()) / world
        if not torch.isfinite(mean):
            raise BoxsegError(
                f"the loss is {mean.item()} at iteration {self.global_step}: try a lower optimiser.lr"
            )
        optimiser.step()
        schedule = self.lr_schedulers()
        assert isinstance(schedule, LRScheduler)
        schedule.step()
        return mean

    def _seed(self, part: int) -> None:
        """Dropout draws from the step's own seed: a resumed run draws what an uninterrupted one does."""
        stream = part + self.parts * self.trainer.global_rank  # 0 where there is one part and one process
        torch.manual_seed(self.seed * 1_000_003 + self.global_step + 1_000_000_007 * stream)

    def _sum_of_ranks(self, value: Tensor) -> Tensor:
        if self.trainer.world_size == 1:
            return value
        total = self.trainer.strategy.reduce(value, reduce_op="sum")
        assert isinstance(total, Tensor)
        return total

    def _gradients_stay_here(self) -> AbstractContextManager[None]:
        """Gradients are not exchanged between processes before those of the last part."""
        strategy = self.trainer.strategy
        return strategy.block_backward_sync() if isinstance(strategy, ParallelStrategy) else nullcontext()

    def configure_optimizers(self) -> Any:  # noqa: D102
        groups = parameter_groups(self.network, self.new, self.optimiser)
        sgd = torch.optim.SGD(groups, lr=self.optimiser.lr, momentum=self.optimiser.momentum)
        schedule = torch.optim.lr_scheduler.LambdaLR(sgd, self.schedule)
        return {"optimizer": sgd, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _Stream(L.LightningDataModule):
    """The training images, of each process its share."""

    def __init__(self, dataset: BoxTraining | LabelTraining, sampler: StreamSampler, workers: int) -> None:
        super().__init__()
        self.dataset = dataset
        self.sampler = sampler
        self.workers = workers

    def train_dataloader(self) -> StreamLoader:
        assert self.trainer is not None
        part = self.sampler.shard(self.trainer.global_rank, self.trainer.world_size)
        return make_loader(self.dataset, part, workers=self.workers)


def iterations_of(images: int, *, batch: int, epochs: float, iterations: int | None, scale: float = 1.0) -> int:
    """Length of a schedule in steps: as given, or so many passes over the images, rounded up.

    A scale shortens that, to the nearest whole step and to at least one. Whatever else depends on the length
    of a schedule is a share of this number: the milestones of stage 1, the end of the polynomial fall, the β
    of bootstrapping.
    """
    whole = iterations if iterations is not None else max(1, math.ceil(epochs * images / batch))
    return max(1, round(whole * scale))


def schedule_length(options: Classify | Segment, images: int, scale: float) -> int:
    """`iterations_of` a stage's options."""
    return iterations_of(
        images, batch=options.batch, epochs=options.epochs, iterations=options.iterations, scale=scale
    )


def checkpoint_interval(every: int, scale: float) -> int:
    """Iterations between two checkpoints of a scaled schedule: fewer, but not below 10 for that reason."""
    return max(min(every, 10), round(every * scale))


def interval_of(checkpoint: Path) -> int:
    """Iterations between two checkpoints of the run that wrote one; a resumed run keeps to them.

    A run goes on at a whole number of intervals: with others it would count its steps wrongly. Where the
    checkpoint is the last one, of a shorter interval, the number found leaves nothing to be done.

    Raises:
        CheckpointError: It cannot be read.
    """
    step, epoch = progress_of(checkpoint)
    return math.ceil(step / (epoch + 1))


def progress_of(checkpoint: Path) -> tuple[int, int]:
    """Step and epoch that a checkpoint of a training was written at.

    Raises:
        CheckpointError: It cannot be read.
    """
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        return int(state["global_step"]), int(state["epoch"])
    except Exception as error:  # of pickle anything, according to what the bytes happen to say
        raise CheckpointError(
            f"{checkpoint} is damaged, as a full disk or a copy cut short leaves it: remove it, and the same "
            "command trains from the start"
        ) from error


def fit(
    module: Training,
    dataset: BoxTraining | LabelTraining,
    *,
    batch: int,
    iterations: int,
    trainer: TrainerOptions,
    scale: float,
    folder: Path,
    description: str,
) -> None:
    """Train from the last checkpoint in the folder, or from the start.

    Args:
        module: What is trained; changed in place.
        dataset: Training images.
        batch: Images a step, over all devices together.
        iterations: Steps of the whole schedule.
        trainer: Devices, precision, seed.
        scale: Length of the schedule; checkpoints are as much closer.
        folder: Run folder; checkpoints/last.ckpt and history.csv are kept there.
        description: Name of the progress bar.

    Raises:
        ConfigError: The batch cannot be shared by the devices, or cut into so many parts, or the device does
            not have this precision.
        CheckpointError: The last checkpoint cannot be read.
    """
    last = folder / "checkpoints" / "last.ckpt"
    every = checkpoint_interval(trainer.checkpoint_every, scale)
    if last.is_file():
        log.info(f"{description}: going on from {last}")
        every = interval_of(last)
    devices = len(torch_devices(trainer))
    sampler = StreamSampler(len(dataset), batch=batch, iterations=iterations, seed=trainer.seed, chunk=every)
    if sampler.shard(0, devices).rank_batch < trainer.accumulate:
        raise ConfigError(
            f"trainer.accumulate={trainer.accumulate}: there are only {batch // devices} images to a step"
            f"{' and device' if devices > 1 else ''}, which make no more parts"
        )
    module.parts = trainer.accumulate
    with quiet_lightning(), torch.random.fork_rng():
        lightning = _lightning(trainer, devices, module, sampler.epochs, folder, description, iterations)
        with ended_with(lightning), _ctrl_c_passes():
            lightning.fit(
                module,
                datamodule=_Stream(dataset, sampler, trainer.workers),
                ckpt_path=str(last) if last.is_file() else None,
            )
    if dataset.unreadable:
        names = ", ".join(dataset.unreadable[:5])
        log.info(
            f"{description}: {len(dataset.unreadable)} photos could not be read and were replaced: {names}"
        )


def _lightning(
    trainer: TrainerOptions,
    devices: int,
    module: Training,
    epochs: int,
    folder: Path,
    description: str,
    iterations: int,
) -> L.Trainer:
    keeper = ModelCheckpoint(
        dirpath=folder / "checkpoints",
        filename="last",
        every_n_epochs=1,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    unused = any(isinstance(part, LibraryBackbone) for part in module.modules())
    loggers = make_loggers(trainer.loggers, folder)
    try:
        return L.Trainer(
            accelerator=trainer.accelerator,
            devices=devices,
            strategy=SpawnedStrategy(unused=unused) if devices > 1 else "auto",
            precision=trainer.precision,  # type: ignore[arg-type]
            # Not max_steps: with it Lightning takes a checkpoint at the end of a chunk for one in its middle.
            max_epochs=epochs,
            callbacks=[History(folder, description, iterations), keeper],
            logger=loggers or False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=folder,
        )
    except Exception as error:  # of what Lightning finds wrong with a device, or a package that one lacks
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"trainer.accelerator={trainer.accelerator} with trainer.precision={trainer.precision} cannot be "
            f"had here: {reason}"
        ) from error


@dataclass(frozen=True)
class Poly:
    """Factor (1 - step / iterations) ** power of the learning rate."""

    iterations: int
    power: float

    def __call__(self, step: int) -> float:  # noqa: D102
        return float(max(0.0, 1 - step / self.iterations) ** self.power)


@dataclass(frozen=True)
class StepsDown:
    """Factor 0.1 after each of these shares of the schedule."""

    iterations: int
    milestones: tuple[float, ...]

    def __call__(self, step: int) -> float:  # noqa: D102
        return float(0.1 ** sum(step >= round(share * self.iterations) for share in self.milestones))


@contextmanager
def _ctrl_c_passes() -> Iterator[None]:
    """Ctrl-C ends a training as it ends anything else; Lightning would exit and leave the signal ignored."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        raise KeyboardInterrupt from stop
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
