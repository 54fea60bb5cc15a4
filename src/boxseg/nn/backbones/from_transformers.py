"""Backbones of Hugging Face's transformers: `hf:facebook/dinov2-small`, or `hf:FOLDER`."""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from boxseg.errors import CheckpointError, ConfigError
from boxseg.extras import import_extra
from boxseg.nn.backbones.base import TORCHVISION, BatchNorm, Preprocessing
from boxseg.nn.backbones.other_libraries import Geometry, LibraryBackbone, measure, short

log = logging.getLogger("boxseg")


class HuggingFaceBackbone(LibraryBackbone):
    """Any model of transformers that its `AutoBackbone` knows; made by `build`.

    Args:
        name: After the colon.
        network: The model.
        geometry: Where its cells lie.
        preprocessing: What it expects of a photo.
        batch_norm: `frozen` or `train`.
    """

    library = "transformers"

    def __init__(
        self,
        name: str,
        network: Any,
        *,
        geometry: Geometry,
        preprocessing: Preprocessing,
        batch_norm: BatchNorm,
    ) -> None:
        super().__init__(f"hf:{name}", geometry=geometry, preprocessing=preprocessing, batch_norm=batch_norm)
        self.network = network
        self.train()

    @classmethod
    def build(
        cls,
        name: str,
        *,
        stage: int | None = None,
        architecture: dict[str, Any] | None = None,
        batch_norm: BatchNorm = "frozen",
    ) -> HuggingFaceBackbone:
        """The network with random weights; arguments and errors as of every other library's."""
        import_extra("transformers", extra="hf", purpose=f"backbone=hf:{name}")
        if architecture is not None:
            return cls(
                name,
                _network(name, architecture["config"]),
                geometry=Geometry(**architecture["geometry"]),
                preprocessing=TORCHVISION,  # the true one is in the state dict
                batch_norm=batch_norm,
            )
        config = _config_of(name)
        last = _network(name, config).eval()
        chosen = _choose_stage(name, last.config.stage_names, stage)
        network = last
        if chosen != last.config.stage_names[-1]:
            network = _network(name, {**config, "out_features": [chosen], "out_indices": None}).eval()
        try:
            geometry = measure(
                lambda x: _features(network, x), None if network is last else lambda x: _features(last, x)
            )
        except Exception as error:
            raise ConfigError(
                f"hf:{name} ({last.config.model_type}) cannot be a backbone here: it takes no photos of "
                f"any size ({short(error)})"
            ) from error
        return cls(name, network, geometry=geometry, preprocessing=_preprocessing(name), batch_norm=batch_norm)

    @property
    def architecture(self) -> dict[str, Any]:
        """The model's configuration and where its cells lie."""
        return {
            "config": json.loads(self.network.config.to_json_string(use_diff=False)),
            "geometry": asdict(self.geometry),
        }

    def features(self, x: Tensor) -> Tensor:
        """Features (B, C, h, w) of the chosen stage."""
        return _features(self.network, x)

    def load_pretrained(self) -> tuple[list[str], list[str]]:
        """Load the weights of the folder or the hub; the names loaded, and those of no use here."""
        name = self.name.partition(":")[2]
        try:
            with quiet_transformers():
                pretrained, told = type(self.network).from_pretrained(
                    name, config=self.network.config, dtype=torch.float32, output_loading_info=True
                )
        except Exception as error:  # of the hub, the network, the file system …
            raise CheckpointError(
                f"cannot load the weights of hf:{name}: {short(error)} (give a folder that holds the model, or "
                "model.weights=FILE)"
            ) from error
        if told.get("mismatched_keys"):
            raise CheckpointError(f"the weights of hf:{name} do not fit it: {short(told['mismatched_keys'])}")
        state = pretrained.state_dict()
        missing = set(told["missing_keys"])
        if missing.issuperset(state):
            raise CheckpointError(f"hf:{name} holds no weights of a {self.network.config.model_type}")
        self.network.load_state_dict(state)
        loaded = [f"network.{key}" for key in state if key not in missing]
        return loaded, sorted(told["unexpected_keys"])


def _network(name: str, config: dict[str, Any]) -> Any:
    """The model that a configuration describes, with random weights.

    Raises:
        ConfigError: transformers has no backbone of this kind.
    """
    theirs: Any = importlib.import_module("transformers")
    kind = config.get("model_type")
    try:
        settings = theirs.CONFIG_MAPPING[kind].from_dict(config)
        with quiet_transformers():
            network = theirs.AutoBackbone.from_config(settings, dtype=torch.float32)
    except Exception as error:
        raise ConfigError(
            f"hf:{name} (model_type {kind}) cannot be a backbone: {short(error)}; transformers' AutoBackbone "
            "takes dinov2, convnext, swin, resnet and others, see docs/backbones.md"
        ) from error
    return network


def _config_of(name: str) -> dict[str, Any]:
    """The configuration of a model, of its last stage, in JSON types.

    Raises:
        ConfigError: There is none.
    """
    theirs: Any = importlib.import_module("transformers")
    try:
        with quiet_transformers():
            config: dict[str, Any] = json.loads(
                theirs.AutoConfig.from_pretrained(name).to_json_string(use_diff=False)
            )
    except Exception as error:
        raise ConfigError(
            f"cannot find hf:{name}: {short(error)} (give a name on huggingface.co, or a folder that holds "
            "config.json)"
        ) from error
    return {**config, "out_features": None, "out_indices": None}


def _preprocessing(name: str) -> Preprocessing:
    """Mean and deviation of the model's own processor; ImageNet's where it has none."""
    theirs: Any = importlib.import_module("transformers.image_processing_base")
    try:
        with quiet_transformers():
            told, _ = theirs.ImageProcessingMixin.get_image_processor_dict(name)
        mean, std = told["image_mean"], told["image_std"]
        factor = float(told.get("rescale_factor", 1 / 255)) if told.get("do_rescale", True) else 1.0
    except Exception as error:
        log.info(f"hf:{name}: no mean and deviation found ({short(error)}), ImageNet's are taken")
        return TORCHVISION
    if not told.get("do_normalize", True):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    red, green, blue = (round(float(number) / factor, 6) for number in mean)
    deviations = (round(float(number) / factor, 6) for number in std)
    return Preprocessing(mean=(red, green, blue), std=tuple(deviations))  # type: ignore[arg-type]


def _features(network: nn.Module, x: Tensor) -> Tensor:
    y: Tensor = network(x).feature_maps[-1]
    return y


def _choose_stage(name: str, names: list[str], stage: int | None) -> str:
    """The name of a stage.

    Raises:
        ConfigError: There are not so many.
    """
    stages = [word for word in names if word != "stem"]
    if stage is None:
        return stages[-1]
    if stage > len(stages):
        raise ConfigError(f"model.stage={stage}: hf:{name} has {len(stages)} stages")
    return stages[stage - 1]


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without bars, remarks on weights, which the load report has, and a word on each try to reach the hub."""
    theirs: Any = importlib.import_module("transformers.utils.logging")
    hub = logging.getLogger("huggingface_hub")
    level, bars, hub_level = theirs.get_verbosity(), theirs.is_progress_bar_enabled(), hub.level
    theirs.set_verbosity_error()
    theirs.disable_progress_bar()
    hub.setLevel(logging.ERROR)
    try:
        yield
    finally:
        hub.setLevel(hub_level)
        theirs.set_verbosity(level)
        if bars:
            theirs.enable_progress_bar()
