"""How long a step of a training takes."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from boxseg.config import TrainerOptions
from boxseg.data.loading import TrainingPhotos, split_batch
from boxseg.data.sampler import StreamSampler
from boxseg.data.workers import choose_workers
from boxseg.inference.devices import torch_device, torch_devices
from boxseg.training.launch import launched
from boxseg.training.module import TrainingModule

# Seconds above which a step is not tried on the whole batch, but extrapolated from a part.
LONGEST = 20.0


def seconds_per_step(
    module: TrainingModule, images: TrainingPhotos, batch: int, trainer: TrainerOptions
) -> float:
    """Seconds of a step on a real batch: loading, forward, backward and optimiser; the weights are changed.

    A step on half the images warms up; if a whole batch would take longer than LONGEST, the time is that of a
    second such step, extrapolated. Machines and GPUs are assumed to share the work without loss, CPU processes
    of one machine to gain none.
    """
    device = torch_device(trainer)
    stream = StreamSampler(len(images), batch=batch, iterations=1, seed=trainer.seed)
    start = time.perf_counter()
    items: list[Any] = [images[key] for key in stream]
    loaded: Any = images.collate(items)
    loading = time.perf_counter() - start
    whole: dict[str, Tensor] = {name: tensor.to(device) for name, tensor in loaded.items()}
    module.to(device).train()
    optimiser = module.configure_optimizers()["optimizer"]

    few = split_batch(whole, max(1, batch // 2))[0]
    share = len(few["images"]) / batch
    cold = _step(module, optimiser, [few], trainer) / share
    if cold < LONGEST:
        parts = split_batch(whole, min(batch, trainer.accumulate))
        computing = _step(module, optimiser, parts, trainer)
        if computing < LONGEST / 4:
            computing = _step(module, optimiser, parts, trainer)  # its memory is allocated now
    else:
        computing = _step(module, optimiser, [few], trainer) / share
    nodes, devices = machines(trainer)
    computing /= nodes if device.type == "cpu" else nodes * devices
    loading /= nodes
    workers = choose_workers(len(images)) if trainer.workers < 0 else trainer.workers
    return max(computing, loading / workers) if workers else computing + loading


def machines(trainer: TrainerOptions) -> tuple[int, int]:
    """The number of machines that share a training, and of devices of each: as started, or as planned."""
    launch = launched()
    if launch:
        return launch.nodes, launch.local_world
    return 1 if trainer.num_nodes == "auto" else trainer.num_nodes, len(torch_devices(trainer))


def _step(
    module: TrainingModule,
    optimiser: torch.optim.Optimizer,
    parts: list[dict[str, Tensor]],
    trainer: TrainerOptions,
) -> float:
    device = parts[0]["images"].device
    kind = torch.bfloat16 if "bf16" in trainer.precision else torch.float16
    start = time.perf_counter()
    optimiser.zero_grad()
    for part in parts:
        with torch.autocast(device.type, dtype=kind, enabled="16" in trainer.precision):
            loss = module.loss(part)
        loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
