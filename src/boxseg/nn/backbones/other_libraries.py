"""Networks of other libraries as backbones: where their cells lie, and how images are padded for them.

There are two kinds. Networks of overlapping windows (ResNets) have a cell centred over every stride-th pixel,
as ours do. Networks of patches (vision transformers, ConvNeXt, Swin) have a cell for every tile of stride x
stride pixels: the image is moved by half a tile, so that each tile is centred where our grid has its cell. For
even strides the centre lies between pixels, half a pixel above and left of the grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from boxseg.errors import one_line
from boxseg.extras import import_extra
from boxseg.nn.backbones.base import TORCHVISION, Backbone, BatchNorm, Preprocessing

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing since Python 3.11

# Side of the image that measures a stride, pixels: some networks of patches need a multiple of 32.
MEASURED = 256


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Where the cells of a network lie.

    Args:
        channels: C, of the features.
        stride: Pixels between two cells.
        patches: Whether a cell is a tile of the image: cell i of a row covers the pixels from stride · i to
            before stride · (i + 1). Otherwise it is centred over pixel stride · i.
        multiple: For patches, what the sides of images must be a multiple of: the stride of the last stage.
    """

    channels: int
    stride: int
    patches: bool
    multiple: int


class Found(NamedTuple):
    """A network with random weights, and the description, in JSON types, to build it again."""

    network: nn.Module
    description: dict[str, Any]
    geometry: Geometry
    preprocessing: Preprocessing


class LibraryBackbone(Backbone):
    """A network of another library, made by `build`.

    A checkpoint holds the network's description (`architecture`), so that loading it needs neither the
    library's hub nor its cache. A subclass finds and describes networks (`find`), builds them from their
    descriptions (`create`), calls them (`features`) and fetches their pretrained weights (`load_pretrained`).
    """

    library: ClassVar[str]
    prefix: ClassVar[str]  # of `model.backbone`, before the colon; also the extra that installs the library

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
            name: Name of the network, after the colon.
            stage: Stage that gives the features, counted from 1; None for the last.
            architecture: From a checkpoint; None to ask the library.
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
        """The network of that name; arguments and errors as for `build`."""
        raise NotImplementedError

    @classmethod
    def create(cls, name: str, description: dict[str, Any]) -> Any:
        """The network of this description."""
        raise NotImplementedError

    @staticmethod
    def features(network: Any, x: Tensor) -> Tensor:
        """Features (B, C, h, w) of images of a size that the network takes."""
        raise NotImplementedError

    def __reduce__(self) -> tuple[Any, ...]:
        # The receiver builds it again: models of other libraries hold functions that cannot be pickled.
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
        """For patches: half a tile at the left and top, and the rest to whole tiles of the last stage."""
        if not self.geometry.patches:
            return super().padding(height, width)
        half, multiple = self.stride // 2, self.geometry.multiple
        rows, columns = (
            -(-self.stride * count // multiple) * multiple for count in self.feature_size(height, width)
        )
        return half, columns - width - half, half, rows - height - half

    def extract(self, x: Tensor) -> Tensor:
        """Features (B, C, h, w) of normalised, padded images (B, 3, H, W), with cells of extra padding."""
        return self.features(self.network, x)

    def forward(self, images: Tensor) -> Tensor:
        """Features of raw photos, as `Backbone.forward`."""
        y: Tensor = super().forward(images)
        if self.geometry.multiple == self.stride:
            return y
        rows, columns = self.feature_size(images.shape[-2], images.shape[-1])
        return y[..., :rows, :columns]


def measure(features: Callable[[Tensor], Tensor], last: Callable[[Tensor], Tensor] | None = None) -> Geometry:
    """Measure where the cells of a network lie.

    The stride is the size of an image over that of its features. Then the last pixels before a multiple of the
    stride are changed: if cells are tiles, this changes the cell before it most, otherwise the cell after it.
    `features` maps images (B, 3, H, W) to features (B, C, h, w), with random weights in evaluation mode; `last`
    does so for the last stage, if that is another.
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
    """An error's text on one line, cut after 200 characters."""
    text = one_line(error) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]} …"
