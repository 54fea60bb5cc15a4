"""Backbones of Hugging Face's transformers: `hf:facebook/dinov2-small`, or `hf:FOLDER`."""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from boxseg.errors import CheckpointError, ConfigError
from boxseg.nn.backbones.base import TORCHVISION, Preprocessing
from boxseg.nn.backbones.other_libraries import Found, LibraryBackbone, measure, short
from boxseg.wording import counted

log = logging.getLogger("boxseg")


class HuggingFaceBackbone(LibraryBackbone):
    """Any model that transformers' `AutoBackbone` knows."""

    library = "transformers"
    prefix = "hf"

    @classmethod
    def find(cls, name: str, stage: int | None) -> Found:
        """The model that `config.json` in a folder or on the hub describes."""
        config = _config_of(name)
        last = cls.create(name, {"config": config}).eval()
        stages = [word for word in last.config.stage_names if word != "stem"]
        if stage is not None and stage > len(stages):
            raise ConfigError(f"model.stage={stage}: hf:{name} has {counted(len(stages), 'stage')}")
        chosen = stages[(stage or len(stages)) - 1]
        network, beyond = last, None
        if chosen != stages[-1]:
            config = {**config, "out_features": [chosen], "out_indices": None}
            network, beyond = cls.create(name, {"config": config}).eval(), partial(cls.features, last)
        try:
            geometry = measure(partial(cls.features, network), beyond)
        except Exception as error:
            raise ConfigError(
                f"hf:{name} ({last.config.model_type}) cannot be a backbone here: it does not take "
                f"photos of every size ({short(error)})"
            ) from error
        return Found(network, {"config": _in_json(network.config)}, geometry, _preprocessing(name))

    @classmethod
    def create(cls, name: str, description: dict[str, Any]) -> Any:
        """The model of a configuration."""
        theirs: Any = importlib.import_module("transformers")
        kind = description["config"].get("model_type")
        try:
            settings = theirs.CONFIG_MAPPING[kind].from_dict(description["config"])
            with quiet_transformers():
                return theirs.AutoBackbone.from_config(settings, dtype=torch.float32)
        except Exception as error:
            raise ConfigError(
                f"hf:{name} (model_type {kind}) cannot be a backbone: {short(error)}; transformers' "
                "AutoBackbone takes dinov2, convnext, swin, resnet and others, see docs/backbones.md"
            ) from error

    @staticmethod
    def features(network: Any, x: Tensor) -> Tensor:
        """Features (B, C, h, w) of the chosen stage."""
        y: Tensor = network(x).feature_maps[-1]
        return y

    def load_pretrained(self) -> tuple[list[str], list[str]]:
        """Load the weights of the folder or the hub; returns the names loaded, and those without use here."""
        try:
            with quiet_transformers():
                pretrained, told = type(self.network).from_pretrained(
                    self.short_name, config=self.network.config, dtype=torch.float32, output_loading_info=True
                )
        except Exception as error:  # anything from the hub, the network or the file system
            raise CheckpointError(
                f"cannot load the weights of {self.name}: {short(error)} (give a folder that holds the model, "
                "or model.weights=FILE)"
            ) from error
        if told.get("mismatched_keys"):
            raise CheckpointError(f"the weights of {self.name} do not fit it: {short(told['mismatched_keys'])}")
        state = pretrained.state_dict()
        missing = set(told["missing_keys"])
        if missing.issuperset(state):
            raise CheckpointError(f"{self.name} holds no weights of a {self.network.config.model_type}")
        self.network.load_state_dict(state)
        loaded = [f"network.{key}" for key in state if key not in missing]
        return loaded, sorted(told["unexpected_keys"])


def _config_of(name: str) -> dict[str, Any]:
    """A model's configuration with the last stage as output, in JSON types."""
    theirs: Any = importlib.import_module("transformers")
    try:
        with quiet_transformers():
            config = theirs.AutoConfig.from_pretrained(name)
    except Exception as error:
        raise ConfigError(
            f"cannot find hf:{name}: {short(error)} (give a name on huggingface.co, or a folder that holds "
            "config.json)"
        ) from error
    return {**_in_json(config), "out_features": None, "out_indices": None}


def _in_json(config: Any) -> dict[str, Any]:
    """All settings of a configuration, defaults too, in JSON types."""
    told: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    return told


def _preprocessing(name: str) -> Preprocessing:
    """Mean and deviation of the model's own processor; ImageNet's if it has none."""
    theirs: Any = importlib.import_module("transformers.image_processing_base")
    try:
        with quiet_transformers():
            told, _ = theirs.ImageProcessingMixin.get_image_processor_dict(name)
        mean, std = told["image_mean"], told["image_std"]
        factor = float(told.get("rescale_factor", 1 / 255)) if told.get("do_rescale", True) else 1.0
    except Exception as error:
        log.warning(f"hf:{name}: no mean and deviation found ({short(error)}), ImageNet's are taken")
        return TORCHVISION
    if not told.get("do_normalize", True):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    red, green, blue = (round(float(number) / factor, 6) for number in mean)
    deviations = (round(float(number) / factor, 6) for number in std)
    return Preprocessing(mean=(red, green, blue), std=tuple(deviations))  # type: ignore[arg-type]


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers: no progress bars, notes on weights, or warnings of each failed download."""
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
