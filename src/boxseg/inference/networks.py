"""Networks from options, and to and from checkpoints."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from boxseg import plugins
from boxseg.config import Classify, Model, Segment, TrainerOptions
from boxseg.dataset import IGNORE, BoxDataset
from boxseg.documents import as_record
from boxseg.errors import CheckpointError, ConfigError, is_damage, one_line, shown
from boxseg.inference.devices import torch_device
from boxseg.nn import checkpoint
from boxseg.nn.backbones.base import fold_batch_norm, hurry_pointwise
from boxseg.nn.deeplab import BoxClassifier, Segmenter, build_classifier, build_segmenter
from boxseg.nn.weights.loading import LoadReport, load_weights, weight_file
from boxseg.palette import voc_palette
from boxseg.runs.layout import CheckpointKind, checkpoint_file
from boxseg.wording import counted

Network = BoxClassifier | Segmenter
NetworkT = TypeVar("NetworkT", BoxClassifier, Segmenter)


@dataclass(frozen=True, kw_only=True)
class Loaded(Generic[NetworkT]):
    """A network from a checkpoint, on its device, in evaluation mode.

    Attributes:
        network: The network, its batch norm folded into the convolutions: it can neither be trained nor saved.
        classes: Names of classes 1..L.
        options: Options it was trained with, by section.
    """

    network: NetworkT
    classes: tuple[str, ...]
    device: torch.device
    options: dict[str, Any]

    def on(self, device: torch.device) -> Loaded[NetworkT]:
        """The same on another device."""
        network = self.network if device == self.device else copy.deepcopy(self.network).to(device)
        # On the same device too: a network of another library loses this when it is pickled.
        hurry_pointwise(network, cpu=device.type == "cpu")
        return dataclasses.replace(self, network=network, device=device)


def weight_inputs(model: Model) -> dict[str, Path]:
    """The weight files that a network starts from, by option."""
    library, _, folder = model.backbone.partition(":")
    files = {"model.weights": weight_file(model.weights)}
    if library == "hf" and model.weights == "default":  # a folder, or a name on the hub
        files["model.backbone"] = Path(folder) / "model.safetensors"
    return {name: path for name, path in files.items() if path and path.is_file()}


def start_classifier(model: Model, classes: int, seed: int) -> tuple[BoxClassifier, LoadReport]:
    """A box classifier on pretrained features, and a report on every tensor."""
    return _start(build_classifier, model, classes, seed)


def start_segmenter(model: Model, classes: int, seed: int) -> tuple[Segmenter, LoadReport]:
    """A segmentation network on pretrained features, and a report on every tensor."""
    return _start(build_segmenter, model, classes, seed)


def _start(
    build: Callable[[Model, int], NetworkT], model: Model, classes: int, seed: int
) -> tuple[NetworkT, LoadReport]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build(model, classes)
    report = load_weights(
        network, model.weights, fully_connected=model.fully_connected, preprocessing=model.preprocessing
    )
    _channels_last(network)
    return network, report


def _channels_last(network: Network) -> None:
    """Use the layout that convolutions read: on a CPU a step takes two thirds of the time."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def save_network(
    path: Path, network: Network, *, classes: tuple[str, ...], model: Model, options: Classify | Segment
) -> None:
    """Write a checkpoint that is enough to predict: weights, architecture, class names, palette, options."""
    kind: CheckpointKind = "box-classifier" if isinstance(network, BoxClassifier) else "segmenter"
    meta = {
        "kind": kind,
        "classes": list(classes),
        "palette": voc_palette(len(classes) + 1).tolist(),
        "model": dataclasses.asdict(model),
        "backbone": network.backbone.architecture,
        "options": dataclasses.asdict(options),
    }
    if package := plugins.package_of("backbone", model.backbone):
        meta["plugin"] = package
    checkpoint.save(path, network.state_dict(), meta)


def load_classifier(path: Path, device: torch.device) -> Loaded[BoxClassifier]:
    """A box classifier from its checkpoint.

    Raises:
        CheckpointError: The file is missing, damaged, or holds something else.
    """
    return _load(path, "box-classifier", build_classifier, device)


def load_segmenter(path: Path, device: torch.device) -> Loaded[Segmenter]:
    """A segmentation network from its checkpoint; errors as for `load_classifier`."""
    return _load(path, "segmenter", build_segmenter, device)


@dataclass(frozen=True, kw_only=True)
class KeptSegmenter:
    """A segmentation network that is loaded when first asked for, and kept."""

    path: Path
    trainer: TrainerOptions

    @cached_property
    def loaded(self) -> Loaded[Segmenter]:
        """The network; errors as for `load_segmenter`."""
        return load_segmenter(self.path, torch_device(self.trainer))


def check_classes(known: Sequence[str], dataset: BoxDataset, checkpoint: Path) -> None:
    """Raise a CheckpointError if a network and a data set have different classes."""
    if tuple(known) != dataset.classes:
        other = sorted(set(known) ^ set(dataset.classes))
        differ = f"; not in both: {', '.join(other[:6])}" if other else "; their order differs"
        raise CheckpointError(
            f"{checkpoint} was trained on {counted(len(known), 'class')}, "
            f"{dataset.root} has {len(dataset.classes)}{differ}"
        )


@dataclass(frozen=True, kw_only=True)
class _Described:
    """What a checkpoint says of its network."""

    classes: list[str]
    model: dict[str, Any]
    options: dict[str, Any]
    backbone: dict[str, Any] | None = None
    plugin: str | None = None


def _model_of(said: _Described, path: Path) -> Model:
    """The network's options; a CheckpointError if its plug-in's backbone is missing."""
    name = said.model.get("backbone")
    if isinstance(name, str) and ":" not in name and not plugins.is_known("backbone", name):
        package = said.plugin
        origin = f"of the package {package}: install it, or" if package else "that a script has added:"
        raise CheckpointError(
            f"{path} has the backbone {name!r} {origin} call boxseg.register('backbone', {name!r}, …) first"
        )
    if foreign := said.model.keys() - {item.name for item in dataclasses.fields(Model)}:
        known = ", ".join(sorted(foreign)[:4])
        raise CheckpointError(f"{path} is of a newer boxseg, with options of {known}: upgrade boxseg")
    try:
        return as_record(Model, said.model, path, "the options of a network", CheckpointError)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _load(
    path: Path, kind: CheckpointKind, build: Callable[..., NetworkT], device: torch.device
) -> Loaded[NetworkT]:
    meta, state = checkpoint.load(checkpoint_file(path, kind), kind)
    said = as_record(_Described, meta, path, "the description of a network", CheckpointError)
    if not 0 < len(said.classes) < IGNORE or len(set(said.classes)) < len(said.classes):
        raise CheckpointError(f"{path} describes a network of the classes {shown(said.classes)}: it is damaged")
    model = _model_of(said, path)
    try:
        network = build(model, len(said.classes), said.backbone or None)
        network.load_state_dict(state)
    except ConfigError as error:
        raise CheckpointError(f"{path} describes a network that cannot be built: {error}") from error
    except Exception as error:  # a description may be of anything
        if not is_damage(error):
            raise
        raise CheckpointError(
            f"{path} does not fit the network it describes: {one_line(error, 300)}"
        ) from error
    network.eval().to(device)
    if network.backbone.own_layers:
        fold_batch_norm(network)
    _channels_last(network)
    hurry_pointwise(network, cpu=device.type == "cpu")
    return Loaded(network=network, classes=tuple(said.classes), device=device, options=said.options)
