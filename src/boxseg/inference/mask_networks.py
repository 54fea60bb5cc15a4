"""The mask network from its weights, and to and from checkpoints."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from boxseg.config import Adapt
from boxseg.errors import CheckpointError, did_you_mean, one_line
from boxseg.nn import checkpoint
from boxseg.nn.backbones.base import fold_batch_norm, hurry_pointwise
from boxseg.nn.mask_network import MaskNetwork
from boxseg.nn.weights import loading
from boxseg.nn.weights.loading import LoadReport, load_weights
from boxseg.runs.layout import CheckpointKind, checkpoint_file

# Words that `adapt.weights` may be, beside a file.
SHIPPED, IMAGENET = "shipped", "imagenet"
_KIND: CheckpointKind = "mask-network"


@dataclass(frozen=True, kw_only=True)
class LoadedMaskNetwork:
    """A mask network on its device, in evaluation mode.

    Attributes:
        network: Its batch norm is folded into the convolutions: it can neither be trained nor saved.
        device: Where it is.
        file: Where it comes from.
    """

    network: MaskNetwork
    device: torch.device
    file: Path

    def on(self, device: torch.device) -> LoadedMaskNetwork:
        """The same on another device."""
        network = self.network if device == self.device else copy.deepcopy(self.network).to(device)
        hurry_pointwise(network, cpu=device.type == "cpu")
        return dataclasses.replace(self, network=network, device=device)


def shipped_weights() -> Path:
    """The trained mask network that comes with boxseg.

    Raises:
        CheckpointError: The installation lacks it.
    """
    file = Path(loading.__file__).parent / "mask_network.safetensors"
    if not file.is_file():
        raise CheckpointError(f"{file} is missing: install boxseg again, or give checkpoint=FILE")
    return file


def start_mask_network(weights: str, seed: int) -> tuple[MaskNetwork, LoadReport]:
    """A mask network to train, and how its weights were loaded.

    Args:
        weights: As `adapt.weights`: `shipped`, `imagenet`, or a checkpoint.
        seed: Seed of a new decoder.

    Raises:
        CheckpointError: There is no such checkpoint, or it holds another network.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = MaskNetwork()
    if weights == IMAGENET:
        report = load_weights(network, "default")
    else:
        file = weight_file(weights)
        _fill(network, file)
        report = LoadReport(
            source=str(file),
            scheme="boxseg",
            loaded=tuple(network.state_dict()),
            new=(),
            own=(),
            ignored=(),
            preprocessing=network.backbone.preprocessing,
        )
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network, report


def weight_file(weights: str | Path) -> Path:
    """The checkpoint that `adapt.weights` or `checkpoint` names, in a run folder too.

    Raises:
        CheckpointError: There is no such file.
    """
    if weights == SHIPPED:
        return shipped_weights()
    file = checkpoint_file(Path(weights).expanduser(), _KIND)
    if not file.is_file():
        hint = did_you_mean(str(weights), (SHIPPED, IMAGENET))
        raise CheckpointError(
            f"no mask network at {file}{hint}: expected model.safetensors of a run of adapt, or its folder"
        )
    return file


def save_mask_network(path: Path, network: MaskNetwork, options: Adapt) -> None:
    """Write a checkpoint, in half precision."""
    state = {name: _half(tensor) for name, tensor in network.state_dict().items()}
    checkpoint.save(path, state, {"kind": _KIND, "options": dataclasses.asdict(options)})


def load_mask_network(path: Path | str, device: torch.device) -> LoadedMaskNetwork:
    """A mask network from its checkpoint, a file or run folder, or from `shipped`.

    Raises:
        CheckpointError: The file is missing, damaged, or holds something else.
    """
    file = weight_file(path)
    network = MaskNetwork()
    _fill(network, file)
    network.eval().to(device).requires_grad_(False)
    fold_batch_norm(network)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    hurry_pointwise(network, cpu=device.type == "cpu")
    return LoadedMaskNetwork(network=network, device=device, file=file)


def _fill(network: MaskNetwork, file: Path) -> None:
    """Load a checkpoint's tensors into a network of single precision."""
    _, state = checkpoint.load(file, _KIND)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{file} does not fit the mask network: {one_line(error, 300)}") from error


def _half(tensor: Tensor) -> Any:
    return tensor.half() if tensor.is_floating_point() else tensor
