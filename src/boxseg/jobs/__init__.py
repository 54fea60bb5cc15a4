"""What each verb takes: inputs, outputs and the sections of options it reads.

One dataclass per verb, shared by the command line, YAML files and the Python function of the same name.
"""

from __future__ import annotations

from boxseg.jobs.experiments import TABLE_RECIPES, ReproduceJob
from boxseg.jobs.job import POSITIONAL, Job, job_for
from boxseg.jobs.preparation import BackgroundMasksJob, ConvertConfigJob, DoctorJob, DownloadJob
from boxseg.jobs.training import AdaptJob, ClassifyJob, DemoJob, LabelJob, RunJob, SegmentJob
from boxseg.jobs.use import ConvertJob, EvaluateJob, ExportJob, PredictJob, ReportJob

JOBS: dict[str, type[Job]] = {
    "run": RunJob,
    "adapt": AdaptJob,
    "classify": ClassifyJob,
    "label": LabelJob,
    "segment": SegmentJob,
    "evaluate": EvaluateJob,
    "report": ReportJob,
    "predict": PredictJob,
    "export": ExportJob,
    "convert": ConvertJob,
    "doctor": DoctorJob,
    "background-masks": BackgroundMasksJob,
    "download": DownloadJob,
    "reproduce": ReproduceJob,
    "convert-config": ConvertConfigJob,
    "demo": DemoJob,
}

__all__ = [
    "JOBS",
    "POSITIONAL",
    "TABLE_RECIPES",
    "AdaptJob",
    "BackgroundMasksJob",
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
    "PredictJob",
    "ReportJob",
    "ReproduceJob",
    "RunJob",
    "SegmentJob",
    "job_for",
]
