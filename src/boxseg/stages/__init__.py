"""The verbs: a file for each, with `run(job)`.

`plan` is what `dry_run=true` does instead, `submission` is `predict` for the VOC server. A verb that others run
takes from them, too, what they have read: `splits` and `network`. Every `run` raises a BoxsegError where
something given cannot be used.
"""

from __future__ import annotations

import importlib
from typing import Any

from boxseg.collector import collector_paused
from boxseg.jobs import ClassifyJob, Job, LabelJob, RunJob, SegmentJob
from boxseg.results import Result


def run_verb(verb: str, job: Job, **lightnings: Any) -> Result:
    """Do what a job asks for, or where it is a dry run of a stage, plan it.

    `lightnings` are `callbacks` and `loggers`, for verbs that train; a plan needs none.
    """
    planned = isinstance(job, (RunJob, ClassifyJob, LabelJob, SegmentJob)) and job.dry_run
    name = "plan" if planned else verb.replace("-", "_")
    with collector_paused():
        stage = importlib.import_module(f"boxseg.stages.{name}")
    result: Result = stage.run(job) if planned else stage.run(job, **lightnings)
    return result
