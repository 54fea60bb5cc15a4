"""Label new photos, without boxes, with a segmentation network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boxseg import formats
from boxseg.config.data import MOST_PIXELS
from boxseg.dataset import Sample
from boxseg.errors import ConfigError, DataError
from boxseg.formats.images import write_jpeg
from boxseg.formats.photo_files import find_photos, names_of, photo_sample
from boxseg.formats.splits import Splits
from boxseg.inference.devices import torch_device
from boxseg.inference.multiscale import predict_photos
from boxseg.inference.networks import Loaded, load_segmenter
from boxseg.inference.threads import Skipped
from boxseg.jobs import PredictJob
from boxseg.nn.deeplab import Segmenter
from boxseg.results import Result
from boxseg.runs.folder import check_folder
from boxseg.runs.label_source import record_photos
from boxseg.runs.layout import CONFIDENCE, FINAL, OVERLAYS
from boxseg.runs.lock import hold
from boxseg.scoring.network_scores import one_class_note
from boxseg.spreading.place import Needs, place_of
from boxseg.stages import submission
from boxseg.stages.submission import SubmissionResult
from boxseg.tables import Table
from boxseg.wording import counted


@dataclass(frozen=True, kw_only=True)
class PredictResult(Result):
    """Predictions for photos.

    Attributes:
        folder: Holds labels/NAME.png, overlays/NAME.jpg and confidence/NAME.png.
        images: Photos labelled.
        skipped: Photos that could not be read, with the reason.
        classes: Names of classes 1..L.
        shares: Share of all pixels that each class took, background first.
    """

    folder: Path
    images: int
    skipped: dict[str, str]
    classes: tuple[str, ...]
    shares: tuple[float, ...]

    def tables(self) -> list[Table]:
        """The share of pixels of each class."""
        names = ("background", *self.classes)
        found = [(name, share) for name, share in zip(names, self.shares, strict=True) if share > 0]
        return [Table(title="Predicted", columns=("class", "% of pixels"), rows=tuple(found))]

    def notes(self) -> list[str]:
        """Where the predictions are, and what is wrong with them."""
        names = ("background", *self.classes)
        found = [name for name, share in zip(names, self.shares, strict=True) if share > 0]
        lines = [one_class_note(found, len(names), self.images)] if len(found) == 1 and self.images > 2 else []
        lines += [f"Predictions: {self.folder} ({counted(self.images, 'photo')}, {len(self.skipped)} skipped)"]
        return lines + [f"  skipped {name}: {reason}" for name, reason in self.skipped.items()]


def run(job: PredictJob, splits: Splits | None = None) -> PredictResult | SubmissionResult:
    """Write labels and overlays of all photos, or a submission."""
    if job.submission is not None:
        return submission.run(job, splits)
    if job.comp != "comp6" or job.overwrite:
        raise ConfigError("comp and overwrite apply to submissions only: also give submission=voc2012")
    if (job.images is None) == (job.data is None):
        raise ConfigError("give either images=… (photos) or data.root=… (the photos of a split)")
    check_folder(job.out)
    place = place_of(job.cluster, job.trainer)
    loaded = load_segmenter(job.checkpoint, torch_device(place.at_home(job.trainer)))
    samples, skipped = _photos(job)
    hold(job.out)
    work, needs = partial(_predict_chunk, job=job), Needs(writes=job.out)
    parts = place.spread(work, loaded, samples, "predict", needs=needs)
    missed = {name: reason for _, part in parts for name, reason in part.items()}
    skipped |= missed
    counts = np.sum([part for part, _ in parts], axis=0)
    done = len(samples) - len(missed)
    if not done:
        raise DataError(
            f"none of {counted(len(skipped), 'photo')} could be read: {next(iter(skipped.values()))}"
        )
    record_photos(job.out, loaded.classes, [sample for sample in samples if sample.id not in skipped])
    shares = tuple(float(count) for count in counts / max(1, counts.sum()))
    return PredictResult(folder=job.out, images=done, skipped=skipped, classes=loaded.classes, shares=shares)


def _predict_chunk(
    loaded: Loaded[Segmenter], samples: Sequence[Sample], job: PredictJob
) -> tuple[NDArray[np.int64], dict[str, str]]:
    """Write labels and overlays; returns pixels by class, and unreadable photos with the reason."""
    counts = np.zeros(len(loaded.classes) + 1, dtype=np.int64)
    skipped: dict[str, str] = {}
    for sample, prediction in predict_photos(loaded, samples, job.evaluate, job.trainer):
        if isinstance(prediction, Skipped):
            skipped[sample.id] = prediction.reason
            continue
        prediction.save(job.out / FINAL / f"{sample.id}.png")
        write_jpeg(job.out / OVERLAYS / f"{sample.id}.jpg", prediction.overlay(), quality=90)
        if job.confidence:
            prediction.save_confidence(job.out / CONFIDENCE / f"{sample.id}.png")
        counts += np.bincount(prediction.labels.ravel(), minlength=len(counts))
    return counts, skipped


def _photos(job: PredictJob) -> tuple[Sequence[Sample], dict[str, str]]:
    """The photos to predict, and those that cannot be read, with the reason."""
    if job.data is not None:
        # `max_pixels=` alone names the verb's own option.
        most = job.max_pixels if job.data.max_pixels == MOST_PIXELS else job.data.max_pixels
        dataset = formats.load(replace(job.data, max_pixels=most), boxes=False)
        return dataset.samples, {str(p.file): p.what for p in dataset.problems if p.action == "skipped"}
    assert job.images is not None
    files = find_photos([job.images] if isinstance(job.images, str) else job.images)
    found = [(file, _sample(name, file, job.max_pixels)) for name, file in names_of(files).items()]
    samples = [sample for _, sample in found if isinstance(sample, Sample)]
    return samples, {str(file): sample.reason for file, sample in found if isinstance(sample, Skipped)}


def _sample(name: str, file: Path, max_pixels: int) -> Sample | Skipped:
    try:
        return photo_sample(name, file, max_pixels)
    except DataError as error:
        return Skipped(str(error))
