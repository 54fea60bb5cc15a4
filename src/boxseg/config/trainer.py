"""Devices, processes and random draws."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from boxseg.errors import did_you_mean, require

LoggerName = Literal["csv", "tensorboard", "wandb", "mlflow"]

# The names that Lightning knows, long and short, but for those of nothing but half precision.
PRECISIONS = (
    "32-true", "16-mixed", "bf16-mixed", "64-true", "32", "16", "bf16", "64",
    "transformer-engine", "transformer-engine-float16",
)  # fmt: skip

# Short names are replaced: two names of one precision must not count as different options.
SHORT_PRECISIONS = {"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed", "64": "64-true"}


@dataclass(frozen=True, kw_only=True)
class TrainerOptions:
    """Devices, precision, data loading and seed.

    Args:
        accelerator: Device type, by its name in Lightning: auto, cpu, gpu, mps …
        devices: Number of devices, or `auto`. Each device gets its own process, on a CPU too: there the
            processes share the cores, and `auto` is 1. Trainings split each batch among the devices. Under
            torchrun or SLURM a training has the processes that these have started.
        num_nodes: Number of machines that share a training, started on each by torchrun or SLURM; `auto` is
            what these say.
        precision: Number format, by its name in Lightning: 32-true, bf16-mixed, 16-mixed …
        accumulate: Split each training batch into this many parts and add up their gradients: needs the memory
            of one part, and the step stays that of the whole batch.
        loggers: Where to log training curves, one or a list: csv (history.csv, always written), tensorboard,
            wandb, mlflow.
        workers: Number of data-loading processes; -1 chooses by the number of cores.
        seed: Random seed; the same seed gives the same bytes on the same machine.
        checkpoint_every: Iterations between two resumable checkpoints; `scale` shortens this, too.
        checkpoint_minutes: On a processor, minutes after which a checkpoint is written at the latest.
    """

    accelerator: str = "auto"
    devices: int | Literal["auto"] = 1
    num_nodes: int | Literal["auto"] = "auto"
    precision: str = "32-true"
    accumulate: int = 1
    loggers: LoggerName | list[LoggerName] = "csv"
    workers: int = -1
    seed: int = 0
    checkpoint_every: int = 100
    checkpoint_minutes: float = 1.0

    def __post_init__(self) -> None:
        require(
            self.devices == "auto" or self.devices >= 1,
            f"trainer.devices must be 1 or more, got {self.devices}",
        )
        require(
            self.num_nodes == "auto" or self.num_nodes >= 1,
            f"trainer.num_nodes must be 1 or more, or auto, got {self.num_nodes}",
        )
        named = str(self.precision)
        require(
            named not in ("16-true", "bf16-true"),
            f"trainer.precision={named} would also round the corners of boxes: take {named[:-4]}mixed",
        )
        require(
            named in PRECISIONS,
            f"unknown trainer.precision={named}{did_you_mean(named, PRECISIONS)} "
            f"(one of {', '.join(PRECISIONS)})",
        )
        object.__setattr__(self, "precision", SHORT_PRECISIONS.get(named, named))
        require(self.accumulate >= 1, f"trainer.accumulate must be 1 or more, got {self.accumulate}")
        require(self.workers >= -1, f"trainer.workers must be -1 (choose), 0 or more, got {self.workers}")
        require(
            self.checkpoint_every > 0, f"trainer.checkpoint_every must be positive, got {self.checkpoint_every}"
        )
        require(
            0 <= self.checkpoint_minutes < math.inf,
            f"trainer.checkpoint_minutes must be 0 or more, got {self.checkpoint_minutes}",
        )
        # A training's seed and step share the 64 bits of a seed of torch's generators.
        require(0 <= self.seed < 2**32, f"trainer.seed must be 0 or more and below {2**32}, got {self.seed}")
