"""Load pretrained weights, report what became of every tensor, and set learning rates by what was loaded."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from boxseg.config import Optimiser
from boxseg.errors import CheckpointError
from boxseg.nn.backbones.base import PREPROCESSING, Backbone, Preprocessing
from boxseg.nn.backbones.efficientnet_lite import EfficientNetLite0
from boxseg.nn.backbones.other_libraries import LibraryBackbone
from boxseg.nn.backbones.registry import BACKBONES
from boxseg.nn.backbones.resnet import ResNet
from boxseg.nn.backbones.vgg import VGG16
from boxseg.nn.checkpoint import require_finite
from boxseg.nn.weights.files import embedded_lite0, read_state, torchvision_file
from boxseg.nn.weights.fresh import settle_fresh
from boxseg.nn.weights.naming import NAMING_SCHEMES, FullyConnected, NamingScheme, convert
from boxseg.wording import counted

# Layers of the original classifier that a file may lack; they then start random.
OPTIONAL = ("fc6.", "fc7.", "conv_head.", "bn1.")
# Layers of VGG-16 that may start random and, with no normalisation before them, need a scale and a rate.
FRESH = ("fc6", "fc7")
# Our names of tensors in a backbone's numbered layers, of which a deeper network has more.
DEEP = re.compile(r"(layer[1-4]\.\d+|conv[1-5]_\d+|blocks\.\d+)\..+")
# Values of model.weights that name no file.
WORDS = ("default", "imagenet", "none")
# Tensors that only boxseg's own files have.
OWN = ("mean", "std", "order", "_extra_state")
SHOWN = 5
NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What became of every tensor. Names are those in the module, for `ignored` those in the file.

    Args:
        source: The file, or `none`.
        scheme: Naming scheme of the file.
        loaded: Taken from the file.
        new: Still random.
        own: The rest of the module: normalisation and counters, which are no weights.
        ignored: In the file, without use here.
        preprocessing: How the network normalises photos from now on.
        rates: Factors on the learning rate of new weights, by name, for those that need less than others.
    """

    source: str
    scheme: str
    loaded: tuple[str, ...]
    new: tuple[str, ...]
    own: tuple[str, ...]
    ignored: tuple[str, ...]
    preprocessing: Preprocessing
    rates: Mapping[str, float] = field(default_factory=dict)

    def summary(self) -> str:
        """Counts of loaded, new and ignored tensors with the first few names, and the normalisation."""
        if not self.loaded:
            lines = [f"weights: {self.source}, all random ({counted(len(self.new), 'tensor')})"]
        else:
            lines = [f"weights: {self.source} ({self.scheme}): {counted(len(self.loaded), 'tensor')} loaded"]
            lines += [f"  new: {_listed(self.new)}", f"  ignored: {_listed(self.ignored)}"]
        return "\n".join([*lines, f"  input: {self.preprocessing}"])

    def as_dict(self) -> dict[str, Any]:
        """Every name, for weights.json."""
        names = {word: list(getattr(self, word)) for word in ("loaded", "new", "own", "ignored")}
        known = {"source": self.source, "names": self.scheme, "input": str(self.preprocessing), **names}
        return {**known, "rates": dict(self.rates)} if self.rates else known


def weight_file(source: str) -> Path | None:
    """The file that `model.weights` names; None for default, imagenet and none."""
    return None if source in WORDS else Path(source).expanduser()


def load_weights(
    module: nn.Module,
    source: str,
    *,
    fully_connected: FullyConnected = "subsample",
    preprocessing: Literal["auto", "torchvision", "caffe"] = "auto",
) -> LoadReport:
    """Load pretrained weights into a backbone, or into the backbone of a network, in place.

    The weights also set the normalisation, and for a ResNet where its blocks stride. Where VGG-16's fc6 and fc7
    start random, they are scaled to the features below them, and the report has factors on their rates.

    Args:
        module: A Backbone, or a network with one as its attribute `backbone`.
        source: `default` (embedded for efficientnet_lite0, the library's own for `hf:` and `timm:`, else
            `imagenet`), `imagenet` (torchvision's file, downloaded once), `none`, or a file.
        fully_connected: VGG-16's full fc6 and fc7: `subsample` them as DeepLab did, or start `fresh`.
        preprocessing: Normalisation that the weights expect; `auto` takes the file's own, and changes nothing
            without weights.

    Raises:
        CheckpointError: The file cannot be fetched or read, is of another network or depth, or lacks tensors.
    """
    backbone, prefix = _backbone_of(module)
    names: list[str] = []
    ignored: list[str] = []
    scheme, shown = "", source
    if type(backbone) not in BACKBONES.values() and source in ("default", "imagenet"):
        shown = _name_of(backbone)
        if source == "imagenet":
            raise CheckpointError(
                f"model.weights=imagenet: torchvision has no file for {shown}; default takes its own"
            )
        names, ignored = backbone.load_pretrained()
        scheme = getattr(backbone, "library", "its own")
    elif source != "none":
        path = weight_file(source) or _published(backbone)
        state = read_state(path)
        require_finite(state, f"model.weights={path}")
        shown = path.name if source in ("default", "imagenet") else source
        found = _scheme(backbone, state, path)
        scheme = found.title
        tensors, origin = convert(found, state, fully_connected=fully_connected)
        names = _fill(backbone, tensors, found, path)
        ignored = sorted(set(state).difference(*(origin[name] for name in names)))
    if preprocessing != "auto":
        backbone.set_preprocessing(PREPROCESSING[preprocessing])
    rates = settle_fresh(backbone, _fresh_layers(backbone, names))
    loaded = {prefix + name for name in names}
    new = [name for name, _ in module.named_parameters() if name not in loaded]
    return LoadReport(
        source=shown,
        scheme=scheme,
        loaded=tuple(sorted(loaded)),
        new=tuple(new),
        own=tuple(name for name in module.state_dict() if name not in loaded and name not in set(new)),
        ignored=tuple(ignored),
        preprocessing=backbone.preprocessing,
        rates={prefix + name: rate for name, rate in rates.items()},
    )


def parameter_groups(
    model: nn.Module, new: set[str], optimiser: Optimiser, rates: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """Parameter groups of SGD with the papers' multipliers, in a fixed order; each trainable parameter once.

    Weights learn at lr with weight decay, biases at lr · bias_lr without; `new` parameters, which start random,
    at new_lr times that. Scale and shift of norms, and other scales of single channels, learn like weights but
    without decay. Groups hold `name`, `params`, `lr` and `weight_decay`; empty ones are left out.

    `rates` are factors on the rates of some new weights, each of which then has a group of its own. What decay
    takes from them in a step stays the same.
    """
    rates = {name: rate for name, rate in (rates or {}).items() if rate != 1}
    norms = {
        f"{path}.{name}" if path else name
        for path, module in model.named_modules()
        if isinstance(module, NORMS)
        for name, _ in module.named_parameters(recurse=False)
    }
    groups: dict[str, dict[str, Any]] = {}
    for label in (prefix + kind for prefix in ("", "new ") for kind in ("weights", "biases", "norms")):
        lr = optimiser.lr * (optimiser.bias_lr if label.endswith("biases") else 1)
        lr *= optimiser.new_lr if label.startswith("new ") else 1
        decay = optimiser.weight_decay if label.endswith("weights") else 0.0
        groups[label] = {"name": label, "params": [], "lr": lr, "weight_decay": decay}
    for name, parameter in model.named_parameters():
        kind = "norms" if name in norms else "biases" if name.split(".")[-1] == "bias" else "weights"
        kind = "norms" if kind == "weights" and parameter.ndim < 2 else kind
        group = groups[f"new {kind}" if name in new else kind]
        if name in rates:
            lr, decay = group["lr"] * rates[name], group["weight_decay"] / rates[name]
            group = groups[name] = {"name": name, "params": [], "lr": lr, "weight_decay": decay}
        if parameter.requires_grad:
            group["params"].append(parameter)
    return [group for group in groups.values() if group["params"]]


def _backbone_of(module: nn.Module) -> tuple[Backbone, str]:
    """The backbone, and the prefix of its tensors' names in the module."""
    if isinstance(module, Backbone):
        return module, ""
    backbone = getattr(module, "backbone", None)
    if not isinstance(backbone, Backbone):
        raise TypeError(f"a Backbone or a network with one is expected, got {type(module).__name__}")
    return backbone, "backbone."


def _fresh_layers(backbone: Backbone, loaded: Collection[str]) -> list[str]:
    if not isinstance(backbone, VGG16) or not backbone.includes_largefov:
        return []
    return [name for name in FRESH if f"{name}.weight" not in loaded]


def _name_of(backbone: Backbone) -> str:
    if isinstance(backbone, LibraryBackbone):
        return backbone.name
    known = {kind: name for name, kind in BACKBONES.items()}
    return known.get(type(backbone), type(backbone).__name__)


def _published(backbone: Backbone) -> Path:
    if isinstance(backbone, EfficientNetLite0):
        return embedded_lite0()
    return torchvision_file(_name_of(backbone))


def _scheme(backbone: Backbone, state: dict[str, Tensor], path: Path) -> NamingScheme:
    schemes = [scheme for scheme in NAMING_SCHEMES if isinstance(backbone, scheme.backbone)]
    for scheme in schemes:
        if any(re.fullmatch(scheme.telltale, name) for name in state):
            return scheme
    known = ", ".join(scheme.title for scheme in schemes)
    raise CheckpointError(
        f"{path} has no weights of {_name_of(backbone)} (its tensors: {_listed(sorted(state))}); "
        f"expected names of one of: {known}"
    )


def _fill(backbone: Backbone, tensors: dict[str, Tensor], scheme: NamingScheme, path: Path) -> list[str]:
    """Load all tensors or none; returns the names loaded."""
    own = backbone.state_dict()
    counters = {name for name in own if name.endswith("num_batches_tracked")}
    # Layers may be absent as a whole, but not in part.
    absent = tuple(layer for layer in OPTIONAL if not any(name.startswith(layer) for name in tensors))
    optional = set() if isinstance(backbone, ResNet) else {name for name in own if name.startswith(absent)}
    optional |= counters | (set(OWN) if scheme.preprocessing is not None else set())
    missing = [name for name in own if name not in tensors and name not in optional]
    wrong = [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    lacking = _lacking(backbone, tensors)
    if missing or wrong or lacking:
        faults = {"missing": missing, "of another shape": wrong, "of layers that it lacks": lacking}
        told = "; ".join(f"{fault} {_listed(names)}" for fault, names in faults.items() if names)
        raise CheckpointError(
            f"{path} ({scheme.title}) does not fit {_name_of(backbone)}: {told}: "
            "choose the model.backbone that it was made for"
        )
    loaded = [name for name in own if name in tensors]
    backbone.load_state_dict({name: tensors[name] for name in loaded}, strict=False)
    if scheme.preprocessing is not None:
        backbone.set_preprocessing(scheme.preprocessing)
    if isinstance(backbone, ResNet) and scheme.style is not None:
        backbone.set_style(scheme.style)
    return loaded


def _lacking(backbone: Backbone, tensors: Collection[str]) -> list[str]:
    """Tensors of layers that the backbone lacks: a deeper network's file must not load in part."""
    if isinstance(backbone, LibraryBackbone):  # may be cut at a stage, and has names of its own
        return []
    layers = {name for name, _ in backbone.named_modules()}
    return [name for name in tensors if DEEP.fullmatch(name) and name.rpartition(".")[0] not in layers]


def _listed(names: list[str] | tuple[str, ...]) -> str:
    if not names:
        return "none"
    return f"{len(names)} ({', '.join(names[:SHOWN])}{' …' if len(names) > SHOWN else ''})"
