"""From bounding boxes to segmentation masks and a trained segmentation network.

Importing boxseg imports no torch: every name below is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "BoxClassifierModule": "boxseg.training.box_classifier",
    "BoxDataModule": "boxseg.training.data_module",
    "BoxDataset": "boxseg.dataset",
    "BoxsegError": "boxseg.errors",
    "DenseCRF": "boxseg.crf",
    "LabelDataModule": "boxseg.training.data_module",
    "OnnxPredictor": "boxseg.inference.onnx_predictor",
    "Prediction": "boxseg.inference.prediction",
    "Sample": "boxseg.dataset",
    "SegmenterModule": "boxseg.training.segmenter",
    "classify": "boxseg.api",
    "config": "boxseg.config",
    "convert": "boxseg.api",
    "convert_config": "boxseg.api",
    "demo": "boxseg.api",
    "doctor": "boxseg.api",
    "download": "boxseg.api",
    "evaluate": "boxseg.api",
    "export": "boxseg.api",
    "label": "boxseg.api",
    "load": "boxseg.api",
    "masks": "boxseg.api",
    "predict": "boxseg.api",
    "register": "boxseg.plugins",
    "report": "boxseg.api",
    "reproduce": "boxseg.api",
    "run": "boxseg.api",
    "segment": "boxseg.api",
}

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'boxseg' has no attribute {name!r}")
    home = importlib.import_module(_HOMES[name])
    return home if _HOMES[name] == f"boxseg.{name}" else getattr(home, name)


def __dir__() -> list[str]:
    return __all__
