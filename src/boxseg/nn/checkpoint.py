"""Checkpoints: a safetensors file that describes its network in its header, as JSON.

It holds no code; the same network gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from boxseg.atomic import atomic_path
from boxseg.documents import as_record
from boxseg.errors import CheckpointError, is_damage, one_line, shown

KEY = "boxseg"
VERSION = 1
KINDS = {
    "box-classifier": "a box classifier",
    "mask-network": "a mask network",
    "segmenter": "a segmentation network",
}


@dataclass(frozen=True)
class _Header:
    version: int
    meta: dict[str, Any]


def save(path: Path | str, model_state: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: Where it goes; missing folders are made.
        model_state: Tensors by name, on any device.
        meta: What else is needed to use them, in JSON types; `kind` is one of KINDS.

    Raises:
        ValueError: `kind` is none of KINDS, or the meta data is no JSON.
    """
    path = Path(path)
    if meta.get("kind") not in KINDS:
        raise ValueError(f"kind of a checkpoint: expected one of {list(KINDS)}, got {meta.get('kind')!r}")
    try:
        text = json.dumps(
            {"version": VERSION, "meta": dict(meta)}, sort_keys=True, ensure_ascii=False, allow_nan=False
        )
    except TypeError as error:
        raise ValueError(f"meta data of a checkpoint: {error}; expected JSON types") from error
    # Copies, because the format refuses tensors that share memory.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model_state.items()}
    content = safetensors.torch.save(tensors, metadata={KEY: text})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def load(path: Path | str, kind: str | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a checkpoint.

    Args:
        path: The file.
        kind: The kind that is needed, one of KINDS; None for any.

    Returns:
        The meta data, and the tensors by name, on the CPU.

    Raises:
        CheckpointError: The file is missing, damaged, not boxseg's, of a newer boxseg or of another kind, or a
            weight is no number.
    """
    path = Path(path)
    meta = read_meta(path, kind)
    with _reading(path):
        tensors: dict[str, Tensor] = safetensors.torch.load_file(path)
    require_finite(tensors, f"checkpoint {path}")
    return meta, tensors


def require_finite(tensors: Mapping[str, Tensor], where: str) -> None:
    """Check that weights are numbers.

    Raises:
        CheckpointError: A tensor holds NaN or infinity.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise CheckpointError(
                f"{where} holds values in {name} that are no numbers (NaN or infinite): a training may have "
                "failed there; use another"
            )


def read_meta(path: Path | str, kind: str | None = None) -> dict[str, Any]:
    """The meta data of a checkpoint alone; arguments and errors as for `load`."""
    path = Path(path)
    if not path.is_file():
        there = "a folder" if path.is_dir() else "no file"
        raise CheckpointError(f"checkpoint {path}: {there} there; expected model.safetensors of a run")
    with _reading(path), safetensors.safe_open(path, framework="pt") as file:
        header = (file.metadata() or {}).get(KEY)
    if header is None:
        raise CheckpointError(
            f"checkpoint {path} was not written by boxseg: expected a run's model.safetensors "
            "(weights of other projects to start from go into model.weights)"
        )
    with _reading(path):
        told = json.loads(header)
    content = as_record(_Header, told, path, "a description of a network", CheckpointError)
    if content.version > VERSION:
        raise CheckpointError(
            f"checkpoint {path} has format {content.version}, expected at most {VERSION}: upgrade boxseg"
        )
    found = content.meta.get("kind")
    if not isinstance(found, str) or found not in KINDS:
        known = ", ".join(KINDS)
        raise CheckpointError(
            f"checkpoint {path} is of kind {shown(found)}, expected one of {known}: it is damaged, or of a "
            "newer boxseg"
        )
    if kind is not None and found != kind:
        raise CheckpointError(f"checkpoint {path} holds {KINDS[found]}; {KINDS[kind]} is needed")
    return content.meta


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever safetensors and JSON raise is damage of the file."""
    try:
        yield
    except Exception as error:
        if not is_damage(error):
            raise
        raise CheckpointError(
            f"checkpoint {path} is damaged or no safetensors file ({one_line(error, 200)}): expected a run's "
            "model.safetensors"
        ) from error
