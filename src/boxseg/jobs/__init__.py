"""What each verb takes: inputs, outputs and the sections of options it reads.

One dataclass a verb, used alike by the command line, YAML files and the Python functions of the same name.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from boxseg.config import POSITIONAL
from boxseg.jobs.experiments import TABLE_RECIPES, ReproduceJob
from boxseg.jobs.preparation import ConvertConfigJob, DoctorJob, DownloadJob, MasksJob
from boxseg.jobs.training import ClassifyJob, DemoJob, LabelJob, RunJob, SegmentJob
from boxseg.jobs.use import ConvertJob, EvaluateJob, ExportJob, PredictJob, ReportJob

Job = (
    ClassifyJob
    | LabelJob
    | SegmentJob
    | EvaluateJob
    | ReportJob
    | PredictJob
    | ExportJob
    | ConvertJob
    | DoctorJob
    | MasksJob
    | DownloadJob
    | ConvertConfigJob
    | RunJob
    | ReproduceJob
    | DemoJob
)

JOBS: dict[str, type[Job]] = {
    "run": RunJob,
    "classify": ClassifyJob,
    "label": LabelJob,
    "segment": SegmentJob,
    "evaluate": EvaluateJob,
    "report": ReportJob,
    "predict": PredictJob,
    "export": ExportJob,
    "convert": ConvertJob,
    "doctor": DoctorJob,
    "masks": MasksJob,
    "download": DownloadJob,
    "reproduce": ReproduceJob,
    "convert-config": ConvertConfigJob,
    "demo": DemoJob,
}

__all__ = [
    "JOBS",
    "POSITIONAL",
    "TABLE_RECIPES",
    "ClassifyJob",
    "ConvertConfigJob",
    "ConvertJob",
    "DemoJob",
    "DoctorJob",
    "DownloadJob",
    "EvaluateJob",
    "ExportJob",
    "Job",
    "LabelJob",
    "MasksJob",
    "PredictJob",
    "ReportJob",
    "ReproduceJob",
    "RunJob",
    "SegmentJob",
    "job_for",
]

JobT = TypeVar("JobT", bound=Job)


def job_for(kind: type[JobT], job: Job, **changes: Any) -> JobT:
    """A job of one kind with the sections it shares with another."""
    names = {item.name for item in dataclasses.fields(kind)}
    shared = {name: value for name, value in vars(job).items() if name in names}
    return kind(**{**shared, **changes})
