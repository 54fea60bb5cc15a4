"""Label new photos and videos, without boxes, with a segmentation network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boxseg import formats
from boxseg.atomic import atomic_path
from boxseg.config.data import MOST_PIXELS
from boxseg.data.loading import LoadedPhoto
from boxseg.dataset import Sample
from boxseg.errors import ConfigError, DataError
from boxseg.formats.georeference import (
    Georeference,
    require_georeferences,
    unplaced_line,
    write_geotiff,
)
from boxseg.formats.images import write_jpeg
from boxseg.formats.photo_files import find_photos, names_of, photo_sample, unboxed_sample
from boxseg.formats.splits import Splits
from boxseg.formats.video import count_frames, is_video, read_frames
from boxseg.inference.devices import torch_device
from boxseg.inference.multiscale import predict_loaded, predict_photos
from boxseg.inference.networks import Loaded, load_segmenter
from boxseg.inference.prediction import LabelledPhoto
from boxseg.inference.threads import Skipped
from boxseg.jobs import PredictJob
from boxseg.nn.deeplab import Segmenter
from boxseg.remote.hooks import sending, together
from boxseg.results import Result
from boxseg.runs.folder import check_folder
from boxseg.runs.label_records import check_predictions, record_classes, record_photos
from boxseg.runs.layout import AT_ADDRESS, CONFIDENCE, FINAL, FRAMES, GEOTIFFS, OVERLAYS
from boxseg.runs.lock import hold
from boxseg.scoring.network_scores import one_class_note
from boxseg.spreading.place import Needs, place_of
from boxseg.stages import submission
from boxseg.stages.submission import SubmissionResult
from boxseg.tables import Table
from boxseg.wording import counted


@dataclass(frozen=True, kw_only=True)
class PredictResult(Result):
    """Predictions for photos and the frames of videos.

    Attributes:
        folder: Holds labels/NAME.png, overlays/NAME.jpg and confidence/NAME.png.
        images: Photos labelled.
        skipped: Photos and videos that could not be read, or not to the end, with the reason.
        classes: Names of classes 1..L.
        shares: Share of all pixels that each class took, background first.
        frames: Frames labelled, of each video.
        unplaced: Photos without a GeoTIFF, as they do not say where they lie; None if there was to be none.
    """

    folder: Path
    images: int
    skipped: dict[str, str]
    classes: tuple[str, ...]
    shares: tuple[float, ...]
    frames: dict[str, int] = field(default_factory=dict)
    unplaced: int | None = None

    def tables(self) -> list[Table]:
        """The share of pixels of each class."""
        names = ("background", *self.classes)
        found = [(name, share) for name, share in zip(names, self.shares, strict=True) if share > 0]
        return [Table(title="Predicted", columns=("class", "% of pixels"), rows=tuple(found))]

    def notes(self) -> list[str]:
        """Where the predictions are, and what is wrong with them."""
        names = ("background", *self.classes)
        found = [name for name, share in zip(names, self.shares, strict=True) if share > 0]
        labelled = self.images + sum(self.frames.values())
        lines = [one_class_note(found, len(names), labelled)] if len(found) == 1 and labelled > 2 else []
        parts = [counted(self.images, "photo")] if self.images or not self.frames else []
        parts += [f"{counted(count, 'frame')} of {name}" for name, count in self.frames.items()]
        lines += [f"Predictions: {self.folder} ({', '.join(parts)}, {len(self.skipped)} skipped)"]
        lines += [unplaced_line(self.unplaced)] if self.unplaced else []
        return lines + [f"  skipped {name}: {reason}" for name, reason in self.skipped.items()]


@dataclass(frozen=True, kw_only=True)
class _Given:
    """What is to be labelled.

    Attributes:
        samples: Photos.
        videos: Videos, by name, with the number of frames to be labelled; None if it is not known.
        skipped: What cannot be read, with the reason.
    """

    samples: Sequence[Sample]
    videos: Mapping[str, tuple[Path, int | None]] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What became of some photos, or of the frames of a video.

    Attributes:
        counts: Pixels by class, (L + 1,).
        labelled: Photos or frames with labels.
        skipped: What could not be read, with the reason.
        kept: Samples of the frames that were written, too.
    """

    counts: NDArray[np.int64]
    labelled: int
    skipped: dict[str, str]
    kept: tuple[Sample, ...] = ()


def run(job: PredictJob, splits: Splits | None = None) -> PredictResult | SubmissionResult:
    """Write labels and overlays of all photos and frames, or a submission."""
    if job.submission is not None:
        return submission.run(job, splits)
    if job.comp != "comp6" or job.overwrite:
        raise ConfigError("comp and overwrite apply to submissions only: also give submission=voc2012")
    if (job.images is None) == (job.data is None):
        raise ConfigError("give either images=… (photos or videos) or data.root=… (the photos of a split)")
    check_folder(job.out)
    place = place_of(job.cluster, job.trainer)
    loaded = load_segmenter(job.checkpoint, torch_device(place.at_home(job.trainer)))
    given = _given(job)
    if given.videos and job.cluster:
        raise ConfigError(
            "cluster= is for photos: the frames of a video are read one after another; leave it out"
        )
    places = require_georeferences(given.samples, "geotiff=true") if job.geotiff else {}
    check_predictions(job.out, loaded.classes, given.samples)
    hold(job.out)
    record_classes(job.out, loaded.classes)
    work, needs = partial(_predict_chunk, job=job, places=places), Needs(writes=job.out)
    photos = place.spread(work, loaded, given.samples, "predict", needs=needs) if given.samples else []
    videos = {name: _predict_video(loaded, job, name, *video) for name, video in given.videos.items()}
    parts = [*photos, *videos.values()]
    skipped = {**given.skipped, **{name: why for part in parts for name, why in part.skipped.items()}}
    if not sum(part.labelled for part in parts):
        what = "file" if job.every is not None or videos else "photo"
        raise DataError(f"none of {counted(len(skipped), what)} could be read: {next(iter(skipped.values()))}")
    done = [sample for sample in given.samples if sample.id not in skipped]
    record_photos(job.out, [*done, *(sample for part in parts for sample in part.kept)])
    counts = np.sum([part.counts for part in parts], axis=0)
    return PredictResult(
        folder=job.out,
        images=len(done),
        skipped=skipped,
        classes=loaded.classes,
        shares=tuple(float(count) for count in counts / max(1, counts.sum())),
        frames={given.videos[name][0].name: part.labelled for name, part in videos.items()},
        unplaced=len([sample for sample in done if sample.id not in places]) if job.geotiff else None,
    )


def _predict_chunk(
    loaded: Loaded[Segmenter], samples: Sequence[Sample], job: PredictJob, places: Mapping[str, Georeference]
) -> _Part:
    """Write labels and overlays of photos."""
    part = _Part(counts=np.zeros(len(loaded.classes) + 1, dtype=np.int64), labelled=0, skipped={})
    with sending(job.out, AT_ADDRESS) as send:
        for sample, prediction in predict_photos(loaded, samples, job.evaluate, job.trainer):
            part = _with(part, sample, prediction, job)
            if isinstance(prediction, Skipped):
                continue
            if sample.id in places:
                file = job.out / GEOTIFFS / f"{sample.id}.tif"
                write_geotiff(file, prediction.labels, sample, places[sample.id], loaded.classes)
            send(_files(job, sample))
    return part


def _files(job: PredictJob, sample: Sample) -> list[Path]:
    """The files of a photo, all or some of which were written."""
    places = {FINAL: "png", OVERLAYS: "jpg", CONFIDENCE: "png", GEOTIFFS: "tif"}
    return [job.out / folder / f"{sample.id}.{suffix}" for folder, suffix in places.items()]


def _predict_video(
    loaded: Loaded[Segmenter], job: PredictJob, name: str, file: Path, total: int | None
) -> _Part:
    """Write labels and overlays of the frames of a video, of which a few are held at a time."""
    part = _Part(counts=np.zeros(len(loaded.classes) + 1, dtype=np.int64), labelled=0, skipped={})
    kept = []
    frames, description = _frames(name, file, job), f"predict {file.name}"
    for sample, prediction in predict_loaded(loaded, frames, job.evaluate, description, total):
        part = _with(part, sample, prediction, job)
        if job.frames and not isinstance(prediction, Skipped):
            kept.append(replace(sample, image=job.out / FRAMES / f"{sample.id}.png"))
            with atomic_path(kept[-1].image, sync=False) as temporary:
                Image.fromarray(prediction.image).save(temporary, format="PNG")
    return replace(part, kept=tuple(kept))


def _frames(name: str, file: Path, job: PredictJob) -> Iterator[LoadedPhoto]:
    """The frames of a video that are to be labelled; if it is damaged, its name and the reason come last."""
    try:
        for frame in read_frames(file, job.every or 1, job.max_pixels):
            height, width = frame.image.shape[:2]
            yield LoadedPhoto(unboxed_sample(f"{name}/{frame.name}", file, (width, height)), frame.image, None)
    except DataError as error:
        yield LoadedPhoto(unboxed_sample(file.name, file, (0, 0)), None, str(error))


def _with(part: _Part, sample: Sample, prediction: LabelledPhoto | Skipped, job: PredictJob) -> _Part:
    """Write what was predicted for one more photo or frame."""
    if isinstance(prediction, Skipped):
        return replace(part, skipped=part.skipped | {sample.id: prediction.reason})
    prediction.save(job.out / FINAL / f"{sample.id}.png")
    write_jpeg(job.out / OVERLAYS / f"{sample.id}.jpg", prediction.overlay(), quality=90)
    if job.confidence:
        prediction.save_confidence(job.out / CONFIDENCE / f"{sample.id}.png")
    counts = part.counts + np.bincount(prediction.labels.ravel(), minlength=len(part.counts))
    return replace(part, counts=counts, labelled=part.labelled + 1)


def _given(job: PredictJob) -> _Given:
    """The photos and videos to label, and those that cannot be read."""
    if job.data is not None and not is_video(job.data.root):
        _refuse_video_options(job)
        # `max_pixels=` alone names the verb's own option.
        most = job.max_pixels if job.data.max_pixels == MOST_PIXELS else job.data.max_pixels
        dataset = formats.load(replace(job.data, max_pixels=most), boxes=False)
        skipped = {str(p.file): p.what for p in dataset.problems if p.action == "skipped"}
        return _Given(samples=dataset.samples, skipped=skipped)
    images = [str(job.data.root)] if job.data is not None else job.images
    files = names_of(find_photos([images] if isinstance(images, str) else images or []))
    samples: list[Sample] = []
    videos: dict[str, tuple[Path, int | None]] = {}
    unreadable: dict[str, str] = {}
    if not any(is_video(file) for file in files.values()):
        _refuse_video_options(job)
    elif job.geotiff and all(is_video(file) for file in files.values()):
        raise ConfigError("geotiff=true is for photos that say where they lie on the ground, not for videos")
    read = together(lambda each: _read(*each, job), list(files.items()), files.values())
    for (name, file), found in zip(files.items(), read, strict=True):
        if isinstance(found, Skipped):
            unreadable[str(file)] = found.reason
        elif isinstance(found, Sample):
            samples.append(found)
        else:
            videos[name] = file, found
    return _Given(samples=samples, videos=videos, skipped=unreadable)


def _read(name: str, file: Path, job: PredictJob) -> Sample | int | Skipped | None:
    """The sample of a photo, or the number of frames of a video, None if it is not known."""
    try:
        if is_video(file):
            return count_frames(file, job.every or 1, job.max_pixels)
        return photo_sample(name, file, job.max_pixels)
    except DataError as error:
        return Skipped(str(error))


def _refuse_video_options(job: PredictJob) -> None:
    if job.every is not None or job.frames:
        option = "every" if job.every is not None else "frames"
        raise ConfigError(
            f"{option}= is for videos, and no video is given: give images=FILE.mp4, or leave it out"
        )
