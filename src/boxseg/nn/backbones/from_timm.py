"""Backbones of timm: `timm:convnext_tiny`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from torch import Tensor

from boxseg.errors import CheckpointError, ConfigError, did_you_mean
from boxseg.extras import import_extra
from boxseg.nn.backbones.base import TORCHVISION, BatchNorm, Preprocessing
from boxseg.nn.backbones.other_libraries import Geometry, LibraryBackbone, measure, short

# What lets a model take images of any size: vision transformers, windowed transformers, all others.
ANY_SIZE: tuple[dict[str, Any], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})


class TimmBackbone(LibraryBackbone):
    """Any model of timm that gives feature maps; made by `build`.

    Args:
        name: After the colon.
        network: The model, of one stage.
        options: What it was made with.
        geometry: Where its cells lie.
        preprocessing: What it expects of a photo.
        batch_norm: `frozen` or `train`.
    """

    library = "timm"

    def __init__(
        self,
        name: str,
        network: Any,
        *,
        options: dict[str, Any],
        geometry: Geometry,
        preprocessing: Preprocessing,
        batch_norm: BatchNorm,
    ) -> None:
        super().__init__(f"timm:{name}", geometry=geometry, preprocessing=preprocessing, batch_norm=batch_norm)
        self.network = network
        self.options = options
        self.train()

    @classmethod
    def build(
        cls,
        name: str,
        *,
        stage: int | None = None,
        architecture: dict[str, Any] | None = None,
        batch_norm: BatchNorm = "frozen",
    ) -> TimmBackbone:
        """The network with random weights; arguments and errors as of every other library's."""
        timm = import_extra("timm", extra="timm", purpose=f"backbone=timm:{name}")
        if architecture is not None:
            options, geometry = architecture["options"], Geometry(**architecture["geometry"])
            network = timm.create_model(name, pretrained=False, features_only=True, **options)
        else:
            _check_name(timm, name)
            network, options, geometry = _fitted(timm, name, stage)
        return cls(
            name,
            network,
            options=options,
            geometry=geometry,
            preprocessing=_preprocessing(network),
            batch_norm=batch_norm,
        )

    @property
    def architecture(self) -> dict[str, Any]:
        """What timm makes the model with, and where its cells lie."""
        return {"options": self.options, "geometry": asdict(self.geometry)}

    def features(self, x: Tensor) -> Tensor:
        """Features (B, C, h, w) of the chosen stage."""
        return _features(self.network, x)

    def load_pretrained(self) -> tuple[list[str], list[str]]:
        """Load timm's weights of that name; the names loaded, and those of no use here (timm does not tell)."""
        timm = import_extra("timm", extra="timm", purpose=f"backbone={self.name}")
        try:
            pretrained = timm.create_model(
                self.name.partition(":")[2], pretrained=True, features_only=True, **self.options
            )
        except Exception as error:  # of the hub, the network, the file system …
            raise CheckpointError(
                f"cannot load the weights of {self.name}: {short(error)} (name a file by model.weights=FILE)"
            ) from error
        state = pretrained.state_dict()
        self.network.load_state_dict(state)
        return [f"network.{key}" for key in state], []


def _check_name(timm: Any, name: str) -> None:
    """Make sure that timm has a model of this name.

    Raises:
        ConfigError: It has none.
    """
    plain = name.partition(".")[0]  # what follows names one of several pretrained weights
    if not timm.is_model(plain):
        raise ConfigError(f"timm has no model {name!r}{did_you_mean(plain, timm.list_models())}")


def _fitted(timm: Any, name: str, stage: int | None) -> tuple[Any, dict[str, Any], Geometry]:
    """A model of one stage that takes images of any size, what it was made with, and where its cells lie.

    Raises:
        ConfigError: There is no such stage, or there is no way to such a model.
    """
    failed = ""
    for sizes in ANY_SIZE:
        try:
            whole = timm.create_model(name, pretrained=False, features_only=True, **sizes)
            places = whole.feature_info.out_indices
            options = {**sizes, "out_indices": [places[min(stage or len(places), len(places)) - 1]]}
            network = timm.create_model(name, pretrained=False, features_only=True, **options).eval()
            geometry = _measure(network, None if stage in (None, len(places)) else whole.eval())
        except Exception as error:  # noqa: PERF203  timm's own: unknown options, sizes it does not take
            failed = short(error)
        else:
            if stage is not None and stage > len(places):
                raise ConfigError(f"model.stage={stage}: timm:{name} has {len(places)} stages")
            return network, options, geometry
    raise ConfigError(f"timm:{name} cannot be a backbone here: {failed}")


def _measure(network: Any, last: Any | None) -> Geometry:
    return measure(lambda x: _features(network, x), None if last is None else lambda x: _features(last, x))


def _features(network: Any, x: Tensor) -> Tensor:
    y: Tensor = network(x)[-1]
    # Some models give their channels last, whatever they are asked for.
    channels = network.feature_info.channels()[-1]
    return y.permute(0, 3, 1, 2) if y.shape[1] != channels and y.shape[-1] == channels else y


def _preprocessing(network: Any) -> Preprocessing:
    """Mean and deviation of the model's own description; ImageNet's where it has none."""
    told = getattr(network, "pretrained_cfg", None) or getattr(network, "default_cfg", None) or {}
    if "mean" not in told or "std" not in told:
        return TORCHVISION
    mean, std = (tuple(255 * float(number) for number in told[key]) for key in ("mean", "std"))
    return Preprocessing(mean=mean, std=std)  # type: ignore[arg-type]
