"""Every option of boxseg and its default: the single source for the command line, YAML and Python.

A section is a frozen dataclass; the Args of its docstring are the help texts. The defaults suit a small data
set on a laptop; the papers' schedules are the recipes in `configs/`.
"""

from __future__ import annotations

from boxseg.config.crf import Crf
from boxseg.config.data import Data
from boxseg.config.model import LIBRARIES, Model, require_backbone
from boxseg.config.results import Evaluate, Report
from boxseg.config.stages import Classify, Label, LabelFormat, Segment
from boxseg.config.trainer import PRECISIONS, SHORT_PRECISIONS, LoggerName, TrainerOptions
from boxseg.config.training import Augment, Optimiser
from boxseg.plugins import BackboneName, LabelMethod, LossName

__all__ = [
    "LIBRARIES",
    "POSITIONAL",
    "PRECISIONS",
    "SHORT_PRECISIONS",
    "Augment",
    "BackboneName",
    "Classify",
    "Crf",
    "Data",
    "Evaluate",
    "Label",
    "LabelFormat",
    "LabelMethod",
    "LoggerName",
    "LossName",
    "Model",
    "Optimiser",
    "Report",
    "Segment",
    "TrainerOptions",
    "require_backbone",
]

# `field(metadata=POSITIONAL)` marks options that the command line also takes as bare words.
POSITIONAL = {"positional": True}
