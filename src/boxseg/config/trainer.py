"""Devices, processes and random draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from boxseg.errors import did_you_mean, require

LoggerName = Literal["csv", "tensorboard", "wandb", "mlflow"]

# Lightning's, by their names and the short ones that it takes for them.
PRECISIONS = (
    "32-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "64-true", "32", "16", "bf16", "64",
    "transformer-engine", "transformer-engine-float16",
)  # fmt: skip

# Its short names, and what they mean: two names of one thing are no two runs.
SHORT_PRECISIONS = {"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed", "64": "64-true"}


@dataclass(frozen=True, kw_only=True)
class TrainerOptions:
    """Where and how the networks run.

    Args:
        accelerator: Lightning's name of a device kind: auto, cpu, gpu, mps …
        devices: How many of them, or `auto`. Every stage works in a process for each, on a CPU too, where the
            processes share its cores and `auto` is one. Trainings share each batch among them.
        precision: Lightning's precision: 32-true, bf16-mixed, 16-mixed …
        accumulate: A training computes each batch in so many parts, one after the other: the memory of a part,
            the step of the whole.
        loggers: Where the curves of a training go, one or a list: csv (history.csv, in any case), tensorboard,
            wandb, mlflow.
        workers: Data-loading processes; `-1` chooses by the number of cores.
        seed: Seed of every random draw; the same seed gives the same bytes on the same machine.
        checkpoint_every: Iterations between two resumable checkpoints, of the schedule at full length.
    """

    accelerator: str = "auto"
    devices: int | Literal["auto"] = 1
    precision: str = "32-true"
    accumulate: int = 1
    loggers: LoggerName | list[LoggerName] = "csv"
    workers: int = -1
    seed: int = 0
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        require(
            self.devices == "auto" or self.devices >= 1,
            f"trainer.devices must be 1 or more, got {self.devices}",
        )
        require(
            str(self.precision) in PRECISIONS,
            f"unknown trainer.precision={self.precision}{did_you_mean(str(self.precision), PRECISIONS)} "
            f"(one of {', '.join(PRECISIONS)})",
        )
        named = str(self.precision)
        object.__setattr__(self, "precision", SHORT_PRECISIONS.get(named, named))
        require(self.accumulate >= 1, f"trainer.accumulate must be 1 or more, got {self.accumulate}")
        require(self.workers >= -1, f"trainer.workers must be -1 (choose), 0 or more, got {self.workers}")
        require(
            self.checkpoint_every > 0, f"trainer.checkpoint_every must be positive, got {self.checkpoint_every}"
        )
        # torch's generators take 64 bits, in which the steps of a training have to find room beside the seed.
        require(0 <= self.seed < 2**32, f"trainer.seed must be 0 or more and below {2**32}, got {self.seed}")
