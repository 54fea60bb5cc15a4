"""The demo: make the demo set and run all stages on it."""

from __future__ import annotations

from boxseg.config import Data
from boxseg.data.toy import write_toy
from boxseg.jobs import DemoJob, RunJob, job_for
from boxseg.runs.folder import check_folder
from boxseg.stages.run import RunResult
from boxseg.stages.run import run as run_all


def run(job: DemoJob) -> RunResult:
    """Make the demo set if it is missing, and run every stage that is not done."""
    check_folder(job.out)
    root = job.out / f"data-{job.count}"
    if not (root / "ImageSets" / "Segmentation" / "val.txt").is_file():  # the last file that is written
        write_toy(root, train=job.count, val=max(1, job.count // 4))
    return run_all(job_for(RunJob, job, data=Data(root=root)))
