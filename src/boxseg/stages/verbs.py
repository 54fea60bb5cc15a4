"""From a checked job to what a verb does, or would do."""

from __future__ import annotations

import importlib
from typing import Any

from boxseg.collector import collector_paused
from boxseg.jobs import ClassifyJob, Job, LabelJob, RunJob, SegmentJob


def run_verb(verb: str, job: Job) -> Any:
    """Do what a job asks for, or where it is a dry run of a stage, plan it.

    Raises:
        BoxsegError: Something given cannot be used.
    """
    planned = isinstance(job, (RunJob, ClassifyJob, LabelJob, SegmentJob)) and job.dry_run
    name = "plan" if planned else verb.replace("-", "_")
    with collector_paused():
        stage = importlib.import_module(f"boxseg.stages.{name}")
    return stage.run(job)
