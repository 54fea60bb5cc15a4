"""Devices for work outside training."""

from __future__ import annotations

import torch

from boxseg.config import TrainerOptions
from boxseg.errors import ConfigError


def torch_device(trainer: TrainerOptions) -> torch.device:
    """The device for work in one process; errors as for `torch_devices`."""
    return torch_devices(trainer)[0]


def torch_devices(trainer: TrainerOptions) -> list[torch.device]:
    """One device for each process that shares a stage's photos; the CPU may appear more than once.

    Raises:
        ConfigError: There is no such accelerator, or fewer than asked for.
    """
    kind = {"gpu": "cuda"}.get(trainer.accelerator, trainer.accelerator)
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(kind)
    except RuntimeError as error:
        raise ConfigError(f"unknown trainer.accelerator={trainer.accelerator}; try auto, cpu or gpu") from error
    if not _is_there(device.type):
        raise ConfigError(f"trainer.accelerator={trainer.accelerator}: torch finds no such device; try auto")
    if kind == "cpu":
        return [device] * (1 if trainer.devices == "auto" else trainer.devices)
    there = torch.cuda.device_count() if kind == "cuda" else 1
    count = there if trainer.devices == "auto" else trainer.devices
    if count > there:
        raise ConfigError(f"trainer.devices={count}, but there are {there} ({kind}); try auto")
    return [device] if count == 1 else [torch.device(kind, place) for place in range(count)]


def _is_there(kind: str) -> bool:
    if kind == "cpu":
        return True
    module = torch.backends.mps if kind == "mps" else getattr(torch, kind, None)
    return bool(getattr(module, "is_available", lambda: False)())
