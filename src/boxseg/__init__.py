"""From bounding boxes to segmentation masks and a trained segmentation network.

Importing boxseg imports no torch: each name below is loaded on first use. Type checkers and editors read
`__init__.pyi` instead, which `scripts/make_stubs.py` writes from this table and the options of the verbs.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Public names by defining module.
_MODULES = {
    "boxseg.api": (
        "adapt background_masks classify convert convert_config demo doctor download evaluate export label "
        "load predict report reproduce run segment"
    ),
    "boxseg.config": "config",
    "boxseg.crf": "DenseCRF",
    "boxseg.dataset": "BoxDataset Sample",
    "boxseg.errors": (
        "BoxsegError CheckpointError ConfigError DataError DownloadError ExportError MissingExtraError"
    ),
    "boxseg.inference.onnx_predictor": "OnnxPredictor",
    "boxseg.inference.prediction": "BasePredictor Prediction",
    "boxseg.labelling.masker": "Masker ObjectMasks masks",
    "boxseg.plugins": "register",
    "boxseg.progress": "ProgressState",
    "boxseg.results": "Result",
    "boxseg.stages.adapt": "AdaptResult",
    "boxseg.stages.background_masks": "BackgroundMasksResult",
    "boxseg.stages.classify": "ClassifyResult",
    "boxseg.stages.convert": "ConvertResult",
    "boxseg.stages.convert_config": "ConvertConfigResult",
    "boxseg.stages.doctor": "DoctorResult SubmissionCheckResult",
    "boxseg.stages.download": "DownloadResult",
    "boxseg.stages.evaluate": "EvaluateResult",
    "boxseg.stages.export": "ExportResult",
    "boxseg.stages.label": "LabelResult",
    "boxseg.stages.plan": "PlanResult",
    "boxseg.stages.predict": "PredictResult",
    "boxseg.stages.report": "ReportResult",
    "boxseg.stages.reproduce": "ReproducePlan ReproduceResult",
    "boxseg.stages.run": "RunResult",
    "boxseg.stages.segment": "SegmentResult",
    "boxseg.stages.submission": "SubmissionResult",
    "boxseg.training.box_classifier": "BoxClassifierModule",
    "boxseg.training.data_module": "BoxDataModule LabelDataModule",
    "boxseg.training.mask_network": "MaskNetworkModule",
    "boxseg.training.segmenter": "SegmenterModule",
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'boxseg' has no attribute {name!r}")
    home = importlib.import_module(_HOMES[name])
    return home if _HOMES[name] == f"boxseg.{name}" else getattr(home, name)


def __dir__() -> list[str]:
    return __all__
