"""File formats of exported networks: how to write each, and open it as its users do."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from boxseg import __version__
from boxseg.extras import import_extra
from boxseg.inference.networks import load_segmenter
from boxseg.nn import checkpoint
from boxseg.nn.portable import DYNAMIC, PortableSegmenter, example
from boxseg.palette import voc_palette

# Probabilities (B, L + 1, H, W) of photos (B, H, W, 3).
Compute = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

# Understood by onnxruntime since 1.14 and by TensorRT since 8.6.
OPSET = 18


@dataclass(frozen=True, kw_only=True)
class Format:
    """A file format.

    Attributes:
        needs: Packages it needs, of the extra `onnx`.
        write: Writes a file from a network and its checkpoint.
        open: Opens a file as its users do.
        usage: A line of Python that uses a file.
    """

    suffix: str
    write: Callable[[Path, PortableSegmenter, Path], None]
    open: Callable[[Path], Compute]
    usage: str
    needs: tuple[str, ...] = ()


def describe(source: Path) -> dict[str, str]:
    """What users of an exported file must know, from its checkpoint; lists as JSON."""
    meta = checkpoint.read_meta(source)
    return {
        "boxseg": __version__,
        "classes": json.dumps(["background", *meta["classes"]], ensure_ascii=False),
        "palette": json.dumps(voc_palette(len(meta["classes"]) + 1).tolist()),
        "photos": "uint8 RGB (batch, height, width, 3), 0..255, any size; normalisation and padding are inside",
        "probabilities": "float32 (batch, classes, height, width), sum 1 over axis 1; its argmax is the label",
    }


def _write_onnx(path: Path, network: PortableSegmenter, source: Path) -> None:
    with _quiet_exporter():
        program = torch.onnx.export(
            network,
            (example(),),
            dynamo=True,
            dynamic_shapes=DYNAMIC,
            input_names=["photos"],
            output_names=["probabilities"],
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props.update(describe(source))
    program.save(path, external_data=False)


def _open_onnx(path: Path) -> Compute:
    runtime = import_extra("onnxruntime", extra="onnx", purpose="checking an ONNX file")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda photos: np.asarray(session.run(None, {"photos": photos})[0])


def _write_program(path: Path, network: PortableSegmenter, source: Path) -> None:
    with torch.no_grad(), _quiet_exporter():
        shapes = {
            name: {axis: torch.export.Dim(text) for axis, text in axes.items()}
            for name, axes in DYNAMIC.items()
        }
        program = torch.export.export(network, (example(),), dynamic_shapes=shapes)
        with path.open("wb") as file:  # given a path, torch hides why it cannot be written
            torch.export.save(program, file, extra_files={"boxseg.json": json.dumps(describe(source))})


def _open_program(path: Path) -> Compute:
    module = torch.export.load(path).module()
    return lambda photos: np.asarray(module(torch.from_numpy(photos)))


def _write_checkpoint(path: Path, network: PortableSegmenter, source: Path) -> None:
    meta, state = checkpoint.load(source)  # `network` has its batch norm folded
    checkpoint.save(path, state, meta)


def _open_checkpoint(path: Path) -> Compute:
    network = PortableSegmenter(load_segmenter(path, torch.device("cpu")).network)
    return lambda photos: np.asarray(network(torch.from_numpy(photos)))


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Hide torch's warnings about its own code and about torchvision's operators, which are not used.

    No issue found; remove when an export without torchvision prints nothing.
    """
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


FORMATS: dict[str, Format] = {
    "onnx": Format(
        suffix=".onnx",
        write=_write_onnx,
        open=_open_onnx,
        usage='boxseg.OnnxPredictor("{path}")("photo.jpg").overlay()',
        needs=("onnx", "onnxscript", "onnxruntime"),
    ),
    "torch-export": Format(
        suffix=".pt2",
        write=_write_program,
        open=_open_program,
        usage='torch.export.load("{path}").module()(photos)',
    ),
    "safetensors": Format(
        suffix=".safetensors",
        write=_write_checkpoint,
        open=_open_checkpoint,
        usage='boxseg.load("{path}")("photo.jpg").overlay()',
    ),
}
