"""What both trainings share: one resumable, reproducible run of Lightning."""

from __future__ import annotations

import csv
import io
import logging
import math
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor, nn

from boxseg.atomic import write_text
from boxseg.config import Optimiser, Trainer
from boxseg.data.loading import BoxTraining, LabelTraining, make_loader
from boxseg.data.sampler import StreamSampler
from boxseg.errors import BoxsegError, ConfigError
from boxseg.nn.weights import parameter_groups
from boxseg.progress import Progress

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

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Scalar loss of a batch."""
        raise NotImplementedError

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:  # noqa: D102
        # Dropout draws from the step's own seed, so that a resumed run draws what an uninterrupted one does.
        torch.manual_seed(self.seed * 1_000_003 + self.global_step)
        loss = self.loss(batch)
        if not torch.isfinite(loss):
            raise BoxsegError(
                f"the loss is {loss.item()} at iteration {self.global_step}: try a lower optimiser.lr"
            )
        return loss

    def configure_optimizers(self) -> Any:  # noqa: D102
        groups = parameter_groups(self.network, self.new, self.optimiser)
        sgd = torch.optim.SGD(groups, lr=self.optimiser.lr, momentum=self.optimiser.momentum)
        schedule = torch.optim.lr_scheduler.LambdaLR(sgd, self.schedule)
        return {"optimizer": sgd, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class History(Callback):
    """Loss and learning rate of every iteration: a progress bar and, at each checkpoint, history.csv."""

    def __init__(self, folder: Path, description: str, iterations: int) -> None:
        self.file = folder / "history.csv"
        self.rows: list[tuple[int, float, float]] = []
        self.bar = Progress(description, iterations)

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:  # noqa: D102
        self.rows = [tuple(row) for row in state_dict["rows"]]

    def on_train_batch_end(  # noqa: D102
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.rows.append((trainer.global_step, outputs["loss"].item(), rate))
        recent = [loss for _, loss, _ in self.rows[-20:]]
        self.bar.update(trainer.global_step, note=f"loss {sum(recent) / len(recent):.3f}")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: D102
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("iteration", "loss", "lr"))
        writer.writerows((step, f"{loss:.6g}", f"{rate:.6g}") for step, loss, rate in self.rows)
        write_text(self.file, text.getvalue())


def iterations_of(images: int, *, batch: int, epochs: float, iterations: int | None, scale: float = 1.0) -> int:
    """Length of a schedule in steps: as given, or so many passes over the images, rounded up.

    A scale shortens that, to the nearest whole step and to at least one. Whatever else depends on the length
    of a schedule is a share of this number: the milestones of stage 1, the end of the polynomial fall, the β
    of bootstrapping.
    """
    whole = iterations if iterations is not None else max(1, math.ceil(epochs * images / batch))
    return max(1, round(whole * scale))


def checkpoint_interval(every: int, scale: float) -> int:
    """Iterations between two checkpoints of a scaled schedule: fewer, but not below 10 for that reason."""
    return max(min(every, 10), round(every * scale))


def interval_of(checkpoint: Path) -> int:
    """Iterations between two checkpoints of the run that wrote one; a resumed run keeps to them.

    A run goes on at a whole number of intervals: with others it would count its steps wrongly. Where the
    checkpoint is the last one, of a shorter interval, the number found leaves nothing to be done.
    """
    state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    return math.ceil(int(state["global_step"]) / (int(state["epoch"]) + 1))


def fit(
    module: Training,
    dataset: BoxTraining | LabelTraining,
    *,
    batch: int,
    iterations: int,
    trainer: Trainer,
    scale: float,
    folder: Path,
    description: str,
) -> None:
    """Train from the last checkpoint in the folder, or from the start.

    Args:
        module: What is trained; changed in place.
        dataset: Training images.
        batch: Images a step.
        iterations: Steps of the whole schedule.
        trainer: Device, precision, seed.
        scale: Length of the schedule; checkpoints are as much closer.
        folder: Run folder; checkpoints/last.ckpt and history.csv are kept there.
        description: Name of the progress bar.
    """
    last = folder / "checkpoints" / "last.ckpt"
    every = checkpoint_interval(trainer.checkpoint_every, scale)
    if last.is_file():
        log.info(f"{description}: going on from {last}")
        every = interval_of(last)
    sampler = StreamSampler(len(dataset), batch=batch, iterations=iterations, seed=trainer.seed, chunk=every)
    loader = make_loader(dataset, sampler, workers=trainer.workers)
    keeper = ModelCheckpoint(
        dirpath=folder / "checkpoints",
        filename="last",
        every_n_epochs=1,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    history = History(folder, description, iterations)
    with _quiet_lightning(), history.bar, torch.random.fork_rng():
        lightning = L.Trainer(
            accelerator=trainer.accelerator,
            devices=trainer.devices,
            precision=trainer.precision,  # type: ignore[arg-type]
            # Not max_steps: with it Lightning takes a checkpoint at the end of a chunk for one in its middle.
            max_epochs=sampler.epochs,
            callbacks=[history, keeper],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=folder,
        )
        if lightning.world_size > 1:
            raise ConfigError(f"trainer.devices={trainer.devices}: training runs on one device as yet, give 1")
        with _ctrl_c_passes():
            lightning.fit(module, loader, ckpt_path=str(last) if last.is_file() else None)
    if dataset.unreadable:
        names = ", ".join(dataset.unreadable[:5])
        log.info(
            f"{description}: {len(dataset.unreadable)} photos could not be read and were replaced: {names}"
        )


def poly(iterations: int, power: float) -> Callable[[int], float]:
    """Factor (1 - step / iterations) ** power of the learning rate."""
    return lambda step: max(0.0, 1 - step / iterations) ** power


def steps_down(iterations: int, milestones: tuple[float, ...]) -> Callable[[int], float]:
    """Factor 0.1 after each of these shares of the schedule."""
    edges = [round(share * iterations) for share in milestones]
    return lambda step: 0.1 ** sum(step >= edge for edge in edges)


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


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Leave out what Lightning says of its own set-up; errors pass."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        # `fit` says so once, with their names.
        warnings.filterwarnings("ignore", message=".*training uses the next photo instead")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
