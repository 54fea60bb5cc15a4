"""Networks of other libraries as backbones: where their cells lie, and what images they are given.

Two kinds of networks are told apart. Those of overlapping windows (ResNets) have a cell centred over every
stride-th pixel, as ours do. Those of patches (vision transformers, ConvNeXt, Swin) have a cell for every tile
of stride x stride pixels: they see the image moved by half a tile, so that a tile is centred where our grid has
its cell. For even strides the centre of a tile lies between pixels: half a pixel above and left of the grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from boxseg.extras import import_extra
from boxseg.nn.backbones.base import TORCHVISION, Backbone, BatchNorm, Preprocessing

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing since Python 3.11

# Side in pixels of the image that a stride is measured with: some networks of patches need a multiple of 32.
MEASURED = 256


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Where the cells of a network lie.

    Args:
        channels: C, of its features.
        stride: Pixels between two cells.
        patches: Whether a cell is a tile of the image: cell i of a row covers the pixels from stride · i to
            before stride · (i + 1); otherwise it is centred over pixel stride · i.
        multiple: Of what the sides of images of a network of patches are: the stride of its last stage.
    """

    channels: int
    stride: int
    patches: bool
    multiple: int


class Found(NamedTuple):
    """A network with random weights; its library builds it again from the description, in JSON types."""

    network: nn.Module
    description: dict[str, Any]
    geometry: Geometry
    preprocessing: Preprocessing


class LibraryBackbone(Backbone):
    """A network of another library, made by `build`.

    A checkpoint describes the network (`architecture`), so that loading it asks neither the library's hub nor
    its cache. A subclass finds and describes networks (`find`), builds them from their descriptions (`create`),
    calls them (`features`) and fetches their pretrained weights (`load_pretrained`).

    Args:
        name: Of the network, without the prefix.
        found: The network.
        batch_norm: `frozen` or `train`.
    """

    library: ClassVar[str]
    prefix: ClassVar[str]  # before the colon of `model.backbone`; the extra that brings the library, too

    def __init__(self, name: str, found: Found, *, batch_norm: BatchNorm) -> None:
        super().__init__(
            channels=found.geometry.channels,
            stride=found.geometry.stride,
            preprocessing=found.preprocessing,
            batch_norm=batch_norm,
        )
        self.name, self.short_name = f"{self.prefix}:{name}", name
        self.geometry = found.geometry
        self.description = found.description
        self.network: Any = found.network
        self.train()

    @classmethod
    def build(
        cls,
        name: str,
        *,
        stage: int | None = None,
        architecture: dict[str, Any] | None = None,
        batch_norm: BatchNorm = "frozen",
    ) -> Self:
        """The network with random weights.

        Args:
            name: Of the network, after the colon.
            stage: Whose features are taken, counted from 1; None for the last.
            architecture: That of a checkpoint, instead of asking the library.
            batch_norm: `frozen` or `train`.

        Raises:
            ConfigError: There is no such network or stage, or it cannot be used.
            MissingExtraError: The library is not installed.
        """
        import_extra(cls.library, extra=cls.prefix, purpose=f"backbone={cls.prefix}:{name}")
        if architecture is None:
            return cls(name, cls.find(name, stage), batch_norm=batch_norm)
        description = dict(architecture)
        geometry = Geometry(**description.pop("geometry"))
        # The true preprocessing is in the checkpoint's state dict.
        found = Found(cls.create(name, description), description, geometry, TORCHVISION)
        return cls(name, found, batch_norm=batch_norm)

    @property
    def architecture(self) -> dict[str, Any]:
        """The network's description and where its cells lie."""
        return {**self.description, "geometry": asdict(self.geometry)}

    @classmethod
    def find(cls, name: str, stage: int | None) -> Found:
        """The network of that name; arguments and errors as of `build`."""
        raise NotImplementedError

    @classmethod
    def create(cls, name: str, description: dict[str, Any]) -> Any:
        """The network of this description."""
        raise NotImplementedError

    @staticmethod
    def features(network: Any, x: Tensor) -> Tensor:
        """The network's own output for images of a size it takes."""
        raise NotImplementedError

    def __reduce__(self) -> tuple[Any, ...]:
        # Built again where it is sent: models of other libraries hold functions that cannot be sent.
        build = partial(type(self).build, architecture=self.architecture, batch_norm=self.batch_norm)
        state = {
            "tensors": self.state_dict(),
            "learning": [parameter.requires_grad for parameter in self.parameters()],
            "modes": [module.training for module in self.modules()],
            "frozen": self.frozen,
        }
        return build, (self.short_name,), state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.load_state_dict(state["tensors"], assign=True)
        for parameter, learns in zip(self.parameters(), state["learning"], strict=True):
            parameter.requires_grad_(learns)
        for module, training in zip(self.modules(), state["modes"], strict=True):
            module.training = training
        self.frozen = state["frozen"]

    def padding(self, height: int, width: int) -> tuple[int, int, int, int]:
        """For a network of patches half a tile at the left and top, and up to whole tiles of its last stage."""
        if not self.geometry.patches:
            return super().padding(height, width)
        half, multiple = self.stride // 2, self.geometry.multiple
        rows, columns = (
            -(-self.stride * count // multiple) * multiple for count in self.feature_size(height, width)
        )
        return half, columns - width - half, half, rows - height - half

    def extract(self, x: Tensor) -> Tensor:
        """Features (B, C, h, w) of normalised, padded images (B, 3, H, W); more than needed where those are."""
        return self.features(self.network, x)

    def forward(self, images: Tensor) -> Tensor:
        """As of every backbone."""
        y: Tensor = super().forward(images)
        if self.geometry.multiple == self.stride:
            return y
        rows, columns = self.feature_size(images.shape[-2], images.shape[-1])
        return y[..., :rows, :columns]


def measure(features: Callable[[Tensor], Tensor], last: Callable[[Tensor], Tensor] | None = None) -> Geometry:
    """Find out where the cells of a network lie, by looking.

    Its stride is the ratio of an image to its features. A mark on the last pixels before a multiple of the
    stride changes the cell before most where cells are tiles, and the cell after where they are centred there.

    Args:
        features: From images (B, 3, H, W) to features (B, C, h, w); with random weights, in evaluation mode.
        last: The same with the last stage's features, where those are of another stage.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        out = features(torch.zeros(1, 3, MEASURED, MEASURED))
        stride = round(MEASURED / out.shape[-1])
        multiple = stride if last is None else measure(last).stride
        side = multiple * max(2, -(-5 * stride // multiple))
        before = torch.randn(4, 3, side, side, generator=generator)
        edge = 2 * stride
        mark = slice(edge - max(1, stride // 4), edge)
        after = before.clone()
        after[..., mark, mark] += 3
        change = (features(after) - features(before)).abs().sum((0, 1))
    patches = bool(change[1, 1] > change[2, 2])
    return Geometry(channels=out.shape[1], stride=stride, patches=patches, multiple=multiple)


def short(error: object) -> str:
    """What went wrong, on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]} …"
