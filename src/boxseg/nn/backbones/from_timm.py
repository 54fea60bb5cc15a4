"""Backbones of timm: `timm:convnext_tiny`."""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

from torch import Tensor

from boxseg.errors import CheckpointError, ConfigError, did_you_mean
from boxseg.nn.backbones.base import TORCHVISION, Preprocessing
from boxseg.nn.backbones.other_libraries import Found, LibraryBackbone, measure, short
from boxseg.wording import counted

# Options with which a model takes images of any size: vision transformers, windowed transformers, all others.
ANY_SIZE: tuple[dict[str, Any], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})


class TimmBackbone(LibraryBackbone):
    """Any model of timm that gives feature maps."""

    library = "timm"
    prefix = "timm"

    @classmethod
    def find(cls, name: str, stage: int | None) -> Found:
        """A model that gives one stage's features, for images of any size."""
        timm: Any = importlib.import_module("timm")
        plain = name.partition(".")[0]  # the rest names one of several pretrained weights
        if not timm.is_model(plain):
            raise ConfigError(f"timm has no model {name!r}{did_you_mean(plain, timm.list_models())}")
        failed = ""
        for sizes in ANY_SIZE:
            try:
                whole = cls.create(name, {"options": sizes})
                places = whole.feature_info.out_indices
                options = {**sizes, "out_indices": [places[min(stage or len(places), len(places)) - 1]]}
                network = cls.create(name, {"options": options}).eval()
                last = None if stage in (None, len(places)) else partial(cls.features, whole.eval())
                geometry = measure(partial(cls.features, network), last)
            except Exception as error:  # noqa: PERF203  timm's own: unknown options, sizes it does not take
                failed = short(error)
            else:
                if stage is not None and stage > len(places):
                    raise ConfigError(f"model.stage={stage}: timm:{name} has {counted(len(places), 'stage')}")
                return Found(network, {"options": options}, geometry, _preprocessing(network))
        raise ConfigError(f"timm:{name} cannot be a backbone here: {failed}")

    @classmethod
    def create(cls, name: str, description: dict[str, Any], *, pretrained: bool = False) -> Any:
        """The model, made with the options of its description."""
        timm: Any = importlib.import_module("timm")
        options = description["options"]
        return timm.create_model(name, pretrained=pretrained, features_only=True, **options)

    @staticmethod
    def features(network: Any, x: Tensor) -> Tensor:
        """Features (B, C, h, w) of the chosen stage."""
        y: Tensor = network(x)[-1]
        # Some models give their channels last, whatever they are asked for.
        channels = network.feature_info.channels()[-1]
        return y.permute(0, 3, 1, 2) if y.shape[1] != channels and y.shape[-1] == channels else y

    def load_pretrained(self) -> tuple[list[str], list[str]]:
        """Load timm's weights; returns the names loaded, and no unused ones, as timm does not tell them."""
        try:
            state = self.create(self.short_name, self.description, pretrained=True).state_dict()
        except Exception as error:  # anything from the hub, the network or the file system
            raise CheckpointError(
                f"cannot load the weights of {self.name}: {short(error)} (name a file by model.weights=FILE)"
            ) from error
        self.network.load_state_dict(state)
        return [f"network.{key}" for key in state], []


def _preprocessing(network: Any) -> Preprocessing:
    """The model's own mean and deviation; ImageNet's if it has none."""
    told = getattr(network, "pretrained_cfg", None) or getattr(network, "default_cfg", None) or {}
    if "mean" not in told or "std" not in told:
        return TORCHVISION
    mean, std = (tuple(255 * float(number) for number in told[key]) for key in ("mean", "std"))
    return Preprocessing(mean=mean, std=std)  # type: ignore[arg-type]
