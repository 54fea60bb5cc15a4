"""The verbs: a file for each, with `run(job)`.

`plan` is what `dry_run=true` does instead, `submission` is `predict` for the VOC server.
"""

from __future__ import annotations

import importlib
from typing import Any

from boxseg.collector import collector_paused
from boxseg.jobs import ClassifyJob, Job, LabelJob, RunJob, SegmentJob
from boxseg.results import Result


def run_verb(verb: str, job: Job, **lightnings: Any) -> Result:
    """Do what a job asks for, or where it is a dry run of a stage, plan it.

    Args:
        verb: Which one.
        job: Its options.
        lightnings: `callbacks` and `loggers`, for verbs that train; a plan needs none.

    Raises:
        BoxsegError: Something given cannot be used.
    """
    planned = isinstance(job, (RunJob, ClassifyJob, LabelJob, SegmentJob)) and job.dry_run
    name = "plan" if planned else verb.replace("-", "_")
    with collector_paused():
        stage = importlib.import_module(f"boxseg.stages.{name}")
    result: Result = stage.run(job) if planned else stage.run(job, **lightnings)
    return result
