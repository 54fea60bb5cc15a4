"""Time a training step's network, and the pooling of stage 1 and the losses of stage 3 beside the step.

    python benchmarks/training_step.py                     # 20 crops of 321 pixels, 3 boxes a photo
    python benchmarks/training_step.py --backbone vgg16 --repetitions 1

The network is timed forward and backward, beside the same network layer by layer in torch's own functions.
Freed memory is kept, as the command line keeps it, unless the environment has MALLOC_MMAP_MAX_=65536. The step
is network forward and backward, loss and optimiser; pooling and losses are timed forward and backward on
tensors of the same sizes, losses with the upsampling of the logits. `straightforward` loops over boxes, bins
and grid cells (pooling), or works on full-size maps (losses). Peaks are of tensors, beyond the inputs. Photos
and labels are random: times depend only on the share of doubtful pixels, 7 % as on VOC.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor

from boxseg.config import Classify, Model, Segment
from boxseg.data.geometry import background_map
from boxseg.freed_memory import keep_freed_memory
from boxseg.inference.networks import start_classifier
from boxseg.nn.losses import LOSSES, LossOptions
from boxseg.nn.pooling import PoolingOptions, background_aware_pooling, pooling_loss
from boxseg.plugins import LossName
from boxseg.training.box_classifier import BoxClassifierModule
from boxseg.training.module import TrainingModule
from boxseg.training.segmenter import SegmenterModule
from measure import MEGABYTE, allocated, alternate, parser, settings, table
from straightforward import losses, pooling
from straightforward.layers import layer_by_layer

CLASSES = 20
DOUBTFUL = 0.07
PROGRESS = 0.5

Work = Callable[[], object]


def box_batch(photos: int, crop: int, boxes: int) -> dict[str, Tensor]:
    """A batch of stage 1: random photos with `boxes` boxes each, 0.1 to 0.6 of the crop wide."""
    rng = np.random.default_rng(0)
    sides = rng.uniform(0.1, 0.6, (photos * boxes, 2)) * crop
    corners = rng.uniform(0, crop - sides)
    xyxy = np.concatenate([corners, corners + sides], 1).astype(np.float32)
    index = np.repeat(np.arange(photos), boxes)
    background = np.stack([background_map(xyxy[index == photo], crop, crop) for photo in range(photos)])
    return {
        "images": torch.from_numpy(rng.integers(0, 256, (photos, 3, crop, crop), dtype=np.uint8)),
        "boxes": torch.from_numpy(xyxy),
        "batch_index": torch.from_numpy(index),
        "labels": torch.from_numpy(rng.integers(1, CLASSES + 1, len(index))),
        "background": torch.from_numpy(background),
        "valid": torch.ones(photos, crop, crop, dtype=torch.bool),
    }


def label_batch(photos: int, crop: int) -> dict[str, Tensor]:
    """A batch of stage 3: random photos, blocks of random labels, of which some disagree."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (photos, 3, crop, crop), dtype=np.uint8)
    blocks = (photos, -(-crop // 16), -(-crop // 16))
    y_crf = rng.integers(0, CLASSES + 1, blocks, dtype=np.uint8)
    y_ret = np.where(rng.random(blocks) < DOUBTFUL, (y_crf + 1) % (CLASSES + 1), y_crf).astype(np.uint8)
    full = {
        name: torch.from_numpy(y.repeat(16, 1).repeat(16, 2)[:, :crop, :crop].copy())
        for name, y in (("y_crf", y_crf), ("y_ret", y_ret))
    }
    return {"images": torch.from_numpy(images), **full}


def step(training: TrainingModule, batch: dict[str, Tensor]) -> Work:
    """One whole training step."""
    optimiser = training.configure_optimizers()["optimizer"]

    def run() -> None:
        optimiser.zero_grad()
        training.loss(batch).backward()
        optimiser.step()

    return run


def time_network(options: argparse.Namespace) -> None:
    """Print the table of the network."""
    network, _ = start_classifier(model(options), CLASSES, 0)
    network.train()
    images = box_batch(options.batch, options.crop, 1)["images"]

    def run(layers: Callable[[], AbstractContextManager[None]]) -> None:
        with layers():
            network.features(images).square().mean().backward()

    kinds = {"torch's": layer_by_layer, "boxseg's": nullcontext}
    works = {name: functools.partial(run, layers) for name, layers in kinds.items()}
    cost = alternate(works, options.repetitions)
    best = cost["boxseg's"]
    rows = [(name, ms.wall, ms.cpu, ms.wall / best.wall, ms.cpu / best.cpu) for name, ms in cost.items()]
    print(f"Network, forward and backward, {options.batch} crops of {options.crop} pixels:\n")
    columns = ("layers", "wall, ms", "cpu, ms", "beside boxseg, wall", "beside boxseg, cpu")
    print(table(columns, rows), end="\n\n")


def pool(options: Classify, stride: int, features: Tensor, weight: Tensor, batch: dict[str, Tensor]) -> None:
    """Boxseg's pooling and classifier, forward and backward."""
    pooled = background_aware_pooling(
        features,
        weight,
        batch["boxes"],
        batch["batch_index"],
        batch["background"],
        PoolingOptions(
            stride=stride,
            grid=options.grid,
            roi_bins=options.roi_bins,
            min_background=options.min_background,
            pooling=options.pooling,
        ),
        valid=batch["valid"],
    )
    torch.autograd.grad(pooling_loss(pooled, batch["labels"]), (features, weight))


def pool_plainly(stride: int, features: Tensor, weight: Tensor, batch: dict[str, Tensor]) -> None:
    """The same by loops."""
    given = (batch[name] for name in ("boxes", "batch_index", "background", "valid"))
    roi, query = pooling.bap(features, *given, stride=stride)
    torch.autograd.grad(pooling.bap_loss(roi, query, weight, batch["labels"]), (features, weight))


def time_pooling(options: argparse.Namespace) -> None:
    """Print the tables of stage 1."""
    told = Classify()
    training = BoxClassifierModule(classes=CLASSES, iterations=100, model=model(options), classify=told)
    network = training.network
    batches = {boxes: box_batch(options.batch, options.crop, boxes) for boxes in options.boxes}
    first = batches[options.boxes[0]]
    with torch.no_grad():
        features = network.features(first["images"])
    features.requires_grad_()
    weight, stride = network.weight, network.stride
    cost = alternate(
        {
            "step": step(training, first),
            "pooling": lambda: pool(told, stride, features, weight, first),
            "loops": lambda: pool_plainly(stride, features, weight, first),
        },
        options.repetitions,
    )
    rows = []
    for clock in ("wall", "cpu"):
        whole, ours, plain = (float(getattr(cost[name], clock)) for name in ("step", "pooling", "loops"))
        rows.append((clock, whole, ours, plain, f"{ours / whole:.1%}", plain / ours))
    print(f"Stage 1, {options.boxes[0]} boxes a photo, milliseconds a step:\n")
    columns = ("clock", "step", "pooling and classifier", "straightforward", "share of the step")
    print(table((*columns, "straightforward / boxseg"), rows), end="\n\n")
    rows = []
    for boxes, batch in batches.items():
        work = functools.partial(pool, told, stride, features, weight, batch)
        ms = alternate({"pooling": work}, options.repetitions)["pooling"]
        rows.append((boxes, ms.wall, ms.cpu, allocated(work)))
    print(f"Pooling and more boxes (the features have {features.nbytes / MEGABYTE:.0f} MB):\n")
    print(table(("boxes a photo", "wall, ms", "cpu, ms", "peak, MB"), rows), end="\n\n")


def time_losses(options: argparse.Namespace) -> None:
    """Print the table of stage 3."""
    segment = Segment()
    training = SegmenterModule(classes=CLASSES, iterations=100, model=model(options), segment=segment)
    network = training.network
    batch = label_batch(options.batch, options.crop)
    with torch.no_grad():
        logits = network.logits(network(batch["images"]))
    logits.requires_grad_()
    told = LossOptions(
        stride=network.stride,
        temperature=network.temperature,
        weight=segment.weight,
        gamma=segment.gamma,
        progress=PROGRESS,
        detach_confidence=segment.detach_confidence,
    )
    plain = losses.losses(told.temperature, told.weight, told.gamma, told.progress)
    labels = (batch["y_crf"], batch["y_ret"])
    size = (options.crop, options.crop)

    def ours_of(name: LossName) -> Work:
        return lambda: torch.autograd.grad(LOSSES[name](logits, *labels, told), logits)

    def plain_of(name: LossName) -> Work:
        return lambda: torch.autograd.grad(plain[name](network.upsample(logits, size), *labels), logits)

    works = {"step": step(training, batch)}
    works |= {name: ours_of(name) for name in LOSSES}
    works |= {f"plain {name}": plain_of(name) for name in LOSSES}
    cost = alternate(works, options.repetitions)
    unit = logits.nbytes / logits[0, 0].numel() * options.crop**2 / MEGABYTE
    rows = []
    for name in LOSSES:
        shares = []
        for clock in ("wall", "cpu"):
            whole, own, ce = (float(getattr(cost[part], clock)) for part in ("step", name, "ce_crf"))
            shares += [f"{own / whole:.1%}", f"{(own - ce) / whole:+.1%}"]
        peaks = [allocated(work) / unit for work in (ours_of(name), plain_of(name))]
        rows.append((name, cost[name].wall, cost[name].cpu, *shares, cost[f"plain {name}"].cpu, *peaks))
    whole = cost["step"]
    print(f"Stage 3, step with nal: {whole.wall:.0f} ms, cpu {whole.cpu:.0f} ms; full logits {unit:.0f} MB:\n")
    columns = ("loss", "wall, ms", "cpu, ms", "share, wall", "beside ce_crf", "share, cpu", "beside ce_crf")
    extra = ("straightforward, cpu, ms", "peak / logits", "straightforward, peak / logits")
    print(table((*columns, *extra), rows))


def model(options: argparse.Namespace) -> Model:
    """Options of the network, with embedded weights if there are any."""
    weights = "default" if options.backbone == "efficientnet_lite0" else "none"
    return Model(backbone=options.backbone, weights=weights)


def main(words: Sequence[str] | None = None) -> None:
    """Parse the options and print the tables."""
    command = parser(__doc__)
    command.add_argument("--backbone", default="efficientnet_lite0")
    command.add_argument("--batch", type=int, default=20)
    command.add_argument("--crop", type=int, default=321, help="stride · k + 1, for the plain pooling")
    command.add_argument("--boxes", type=int, nargs="+", default=[3, 30, 300], help="boxes a photo")
    command.add_argument("--part", choices=("network", "pooling", "losses", "all"), default="all")
    options = command.parse_args(words)
    if options.smoke:
        options.batch, options.crop, options.boxes = 2, 33, [1, 2]
    parts = {"network": time_network, "pooling": time_pooling, "losses": time_losses}
    chosen = parts if options.part == "all" else [options.part]
    with settings(options):
        for name in chosen:
            parts[name](options)


if __name__ == "__main__":
    keep_freed_memory()
    main()
