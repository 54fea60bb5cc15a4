"""The verbs, one module each, with `run(job)`.

`plan` runs instead under `dry_run=true`; `submission` is `predict` for the VOC server. Verbs that other verbs
call also take `splits` and `network`, so that nothing is read twice. Every `run` raises a BoxsegError if an
input cannot be used.
"""

from __future__ import annotations

import importlib
import logging
import platform
import shlex
import time
from typing import Any

from boxseg import __version__
from boxseg.collector import collector_paused
from boxseg.jobs import AdaptJob, ClassifyJob, Job, LabelJob, RunJob, SegmentJob
from boxseg.options import to_words
from boxseg.remote.places import at_home, check_addresses
from boxseg.results import Result
from boxseg.training.launch import check_launch, launched

log = logging.getLogger("boxseg")


def run_verb(verb: str, job: Job, **lightnings: Any) -> Result:
    """Run the verb of a job, or plan it if the job is a dry run. `lightnings`: `callbacks` and `loggers`.

    Where a launcher has started several processes, the first runs it, and all return or raise the same.
    """
    launch = launched()
    planned = isinstance(job, (RunJob, AdaptJob, ClassifyJob, LabelJob, SegmentJob)) and job.dry_run
    check_launch(verb, getattr(job, "trainer", None), launch, planned=planned)
    if launch is None:
        return _run(verb, job, planned, **lightnings)
    from boxseg.training import crew

    if crew.current():  # as the command line, which has seen to it
        return _run(verb, job, planned, **lightnings)
    if launch.rank:
        result: Result = crew.follow(launch).given()
        return result
    with crew.leading(launch) as leader:
        leader.result = found = _run(verb, job, planned, **lightnings)
        return found


def _run(verb: str, job: Job, planned: bool, **lightnings: Any) -> Result:
    name = "plan" if planned else verb.replace("-", "_")
    start = time.monotonic()
    check_addresses(verb, job)
    if log.isEnabledFor(logging.DEBUG):
        log.debug(f"boxseg {__version__}, Python {platform.python_version()}, {platform.platform()}")
        log.debug(f"boxseg {shlex.join(to_words(verb, job))}")
    with collector_paused():
        stage = importlib.import_module(f"boxseg.stages.{name}")
        from boxseg.runs.layout import AT_ADDRESS
        from boxseg.runs.lock import locks_of_a_command
        from boxseg.shards.find import forget_shards
    forget_shards()
    with locks_of_a_command(), at_home(verb, job, AT_ADDRESS, planned=planned) as (own, results):
        results.append(stage.run(own) if planned else stage.run(own, **lightnings))
    result: Result = results[0]
    log.debug(f"{verb}: {time.monotonic() - start:.1f} s")
    return result
