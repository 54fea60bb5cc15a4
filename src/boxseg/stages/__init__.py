"""The verbs, one module each, with `run(job)`.

`plan` runs instead under `dry_run=true`; `submission` is `predict` for the VOC server. Verbs that other verbs
call also take `splits` and `network`, so that nothing is read twice. Every `run` raises a BoxsegError if an
input cannot be used.
"""

from __future__ import annotations

import importlib
from typing import Any

from boxseg.collector import collector_paused
from boxseg.jobs import AdaptJob, ClassifyJob, Job, LabelJob, RunJob, SegmentJob
from boxseg.results import Result


def run_verb(verb: str, job: Job, **lightnings: Any) -> Result:
    """Run the verb of a job, or plan it if the job is a dry run. `lightnings`: `callbacks` and `loggers`."""
    planned = isinstance(job, (RunJob, AdaptJob, ClassifyJob, LabelJob, SegmentJob)) and job.dry_run
    name = "plan" if planned else verb.replace("-", "_")
    with collector_paused():
        stage = importlib.import_module(f"boxseg.stages.{name}")
        from boxseg.runs.lock import locks_of_a_command
    with locks_of_a_command():
        result: Result = stage.run(job) if planned else stage.run(job, **lightnings)
    return result
