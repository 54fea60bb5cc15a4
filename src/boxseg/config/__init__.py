"""Every option of boxseg and its default: the single source for the command line, YAML and Python.

A section is a frozen dataclass; the Args of its docstring are the help texts. The defaults suit a small data
set on a laptop; the papers' schedules are in `recipes/`.
"""

from __future__ import annotations

from boxseg.config.adapt import Adapt
from boxseg.config.crf import Crf
from boxseg.config.data import Data
from boxseg.config.masks import Masks
from boxseg.config.model import Model
from boxseg.config.results import Evaluate, Report
from boxseg.config.shards import Shards
from boxseg.config.stages import Augment, Classify, Label, LabelFormat, Optimiser, Segment
from boxseg.config.trainer import PRECISIONS, SHORT_PRECISIONS, LoggerName, TrainerOptions

__all__ = [
    "PRECISIONS",
    "SHORT_PRECISIONS",
    "Adapt",
    "Augment",
    "Classify",
    "Crf",
    "Data",
    "Evaluate",
    "Label",
    "LabelFormat",
    "LoggerName",
    "Masks",
    "Model",
    "Optimiser",
    "Report",
    "Segment",
    "Shards",
    "TrainerOptions",
]
