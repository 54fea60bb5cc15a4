"""Predictions for the PASCAL VOC 2012 evaluation server, the only holder of the test masks."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from boxseg.dataset import VOC_CLASSES, Problem
from boxseg.errors import CheckpointError, ConfigError
from boxseg.formats.problems import Checked, report_problems
from boxseg.formats.splits import Splits
from boxseg.formats.voc_server import check_results, pack, results_folder, split_ids
from boxseg.inference.devices import torch_device
from boxseg.inference.multiscale import write_predictions
from boxseg.inference.networks import load_segmenter
from boxseg.jobs import PredictJob
from boxseg.results import Result
from boxseg.runs.folder import open_folder
from boxseg.runs.layout import checkpoint_file
from boxseg.runs.stage_files import submission_files
from boxseg.spreading.place import Needs, place_of
from boxseg.wording import counted, counted_of

log = logging.getLogger("boxseg")

SERVER = "http://host.robots.ox.ac.uk:8080"


@dataclass(frozen=True, kw_only=True)
class SubmissionResult(Checked, Result):
    """A submission and its problems.

    Attributes:
        folder: Holds the predictions.
        archive: The file to upload; written only if there are no problems.
        written: Photos labelled by this call.
        present: Photos labelled by earlier calls.
        skipped: Photos that could not be read, with the reason.
        problems: What the server would refuse.
    """

    folder: Path
    archive: Path
    written: int
    present: int
    skipped: dict[str, str]
    problems: tuple[Problem, ...]

    def notes(self) -> list[str]:
        """What was written, and what to do next."""
        lines = [f"Predictions: {self.folder} ({self.written} written, {self.present} there already)"]
        lines += [f"  skipped {name}: {reason}" for name, reason in self.skipped.items()]
        if self.problems:
            what = f"No archive, problems: {len(self.problems)}. Fix them and run the same command again."
            return [*lines, what]
        lines.append(f"Archive: {self.archive}, checked; upload it at {SERVER}")
        if not self.archive.stem.endswith("_test_cls"):
            lines.append("  The server scores the test split only; this archive is for your own use.")
        return lines


def run(job: PredictJob, splits: Splits | None = None) -> SubmissionResult:
    """Label the photos that have no prediction yet, check all predictions, and pack them."""
    if job.data is None or job.images is not None:
        raise ConfigError(
            "submission=voc2012 takes its photos from data.root=… data.split=test, not from images="
        )
    data = dataclasses.replace(job.data, format="voc")
    if data.split.startswith("train"):
        raise ConfigError(
            f"submission=voc2012 is for photos without public masks, not for {data.split}: "
            "give data.split=test (or val, to try it out)"
        )
    place = place_of(job.cluster, job.trainer)
    loaded = load_segmenter(job.checkpoint, torch_device(place.at_home(job.trainer)))
    if loaded.classes != VOC_CLASSES:
        raise CheckpointError(
            f"{job.checkpoint} has {counted(len(loaded.classes), 'class')} "
            f"({', '.join(loaded.classes[:4])} …); "
            "a submission needs a network trained on VOC's 20 classes, in VOC's order"
        )
    dataset = (splits or Splits()).load(data, boxes=False)
    split_ids(dataset.root, data.split)
    out = open_folder(job, inputs={"checkpoint": checkpoint_file(job.checkpoint, "segmenter")})
    report_problems(dataset)
    folder = results_folder(out, job.comp, data.split)
    files = submission_files(out, job.comp, data.split, dataset.samples)
    missing = files.missing()
    if len(missing) < len(dataset):
        present = counted_of(len(dataset) - len(missing), len(dataset), "photo")
        log.info(f"predict: labels of {present} are there already")
    work = partial(write_predictions, folder=folder, options=job.evaluate, trainer=job.trainer)
    parts = place.spread(work, loaded, missing, "predict", needs=Needs(writes=folder))
    skipped = {name: reason for part in parts for name, reason in part.items()}
    place.wait_for([folder / f"{sample.id}.png" for sample in missing if sample.id not in skipped])
    (archive,) = files.whole
    problems = check_results(out, dataset.root, data.split)
    if problems:
        archive.unlink(missing_ok=True)  # one of an earlier run does not match these results
    else:
        pack(out, archive)
    return SubmissionResult(
        folder=folder,
        archive=archive,
        written=len(missing) - len(skipped),
        present=len(dataset) - len(missing),
        skipped=skipped,
        problems=tuple(problems),
    )
